import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Fetch, WritError } from '../../src/agent/index.ts'

/** Belong to one connection, or are made anew by the next sender. */
const OWN_HEADERS = [
  'connection',
  'content-encoding',
  'content-length',
  'host',
  'transfer-encoding',
]

/**
 * A loopback server that sends what it gets on to an MCP server through an agent. The suite tests
 * servers without credentials; through this, it tests a server behind a gate.
 */
export async function throughAgent(
  resource: string,
  fetch: Fetch,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString('utf8')
    const { method = 'GET' } = request
    try {
      const answer = await fetch(resource, {
        method,
        headers: withoutOwn(new Headers(request.headers as Record<string, string>)),
        ...(method === 'POST' && { body }),
      })
      response.writeHead(answer.status, [...withoutOwn(answer.headers)].flat())
      if (answer.body === null) response.end()
      else await pipeline(Readable.fromWeb(answer.body as never), response)
    } catch (error) {
      if (response.headersSent) return void response.destroy()
      const status = error instanceof WritError ? (error.status ?? 400) : 502
      response.writeHead(status).end((error as Error).message)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function withoutOwn(headers: Headers): Headers {
  const kept = new Headers(headers)
  for (const name of OWN_HEADERS) kept.delete(name)
  return kept
}
