// An admin side that answers as a test tells it: for what a real one does rarely, or never.
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Cuts the connection instead. */
  readonly cut?: true
  /** Never comes to an end of the answer, and is never silent for long. */
  readonly endless?: true
}

export interface StandIn {
  readonly url: string
  readonly received: Received[]
  close(): Promise<void>
}

/** @param reply is told what came; objects are sent as JSON, texts as they are */
export async function standIn(
  reply: (received: Received, url: string) => Reply | Promise<Reply>,
): Promise<StandIn> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const { method = '', url: path = '', headers } = request
    const one = { method, path, headers, body: Buffer.concat(chunks).toString() }
    received.push(one)
    const { status = 200, headers: sent = {}, body = {}, cut, endless } = await reply(one, url)
    if (cut) return void request.socket.destroy()
    response.writeHead(status, { 'content-type': 'application/json', ...sent })
    if (endless) {
      const timer = setInterval(() => response.write(' '), 500)
      return void response.on('close', () => clearInterval(timer))
    }
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    received,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export const METADATA = '/.well-known/oauth-authorization-server'

export function metadataOf(url: string): Record<string, string> {
  return {
    issuer: url,
    token_endpoint: `${url}/oauth/token`,
    device_authorization_endpoint: `${url}/oauth/device_authorization`,
    revocation_endpoint: `${url}/oauth/revoke`,
  }
}
