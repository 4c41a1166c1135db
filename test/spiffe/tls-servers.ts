// Real TLS servers: one that speaks HTTP, and one that only writes down what it is told.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls'

export interface TestServer {
  readonly url: string
  readonly port: number
  /** Connections that are open now. */
  readonly sockets: Set<Socket>
  close(): Promise<void>
}

export async function serveHttps(
  options: TlsOptions,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<TestServer & { readonly server: HttpsServer }> {
  const server = createHttpsServer({ ...LEGACY_OFF, ...options }, answer)
  return { ...(await listen(server)), server }
}

/** Takes part in handshakes, and keeps every byte that it is sent afterwards. */
export async function serveEar(
  options: TlsOptions,
): Promise<TestServer & { readonly heard: Buffer[]; readonly handshakes: () => number }> {
  const heard: Buffer[] = []
  let handshakes = 0
  const server = createServer(options, (socket) => {
    handshakes += 1
    socket.on('data', (chunk) => heard.push(chunk))
    socket.on('error', () => {})
  })
  return { ...(await listen(server)), heard, handshakes: () => handshakes }
}

/** A client connection that resumes an earlier session with the same server. */
export async function resume(port: number): Promise<TLSSocket> {
  const options = { port, host: '127.0.0.1', rejectUnauthorized: false, ca: [] }
  const session = await new Promise<Buffer>((resolve) => {
    const first = connect(options)
    first.once('session', (ticket) => {
      resolve(ticket)
      first.destroy()
    })
    first.on('error', () => {})
    first.resume()
  })
  return await new Promise((resolve) => {
    const second = connect({ ...options, session }, () => resolve(second))
  })
}

const LEGACY_OFF: TlsOptions = { minVersion: 'TLSv1.3' }

async function listen(server: HttpsServer | ReturnType<typeof createServer>): Promise<TestServer> {
  const sockets = new Set<Socket>()
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
