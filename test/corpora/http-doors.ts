/** Both doors for DPoP proofs as strangers reach them: a broker's token endpoint, a guarded server. */
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { createVerifier, nodeGate } from '../../src/verifier/index.ts'
import { startReal } from '../peers/real.ts'
import type { Door } from './dpop-mutation.ts'

const TOOL = { name: 'add', description: 'adds a note', inputSchema: { type: 'object' } }
/** Where the corpus sends tokens that are for somebody else. */
export const OTHER_RESOURCE = 'https://not-this-server.example/mcp'

export type Fields = readonly (readonly [name: string, value: string])[]

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Readonly<Record<string, unknown>>
}

export type Doors = Awaited<ReturnType<typeof openDoors>>

export async function openDoors(withNonces: boolean) {
  const http = createServer()
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const resource = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
  const real = await startReal({
    servers: { Here: resource, There: OTHER_RESOURCE },
    tools: [TOOL],
    policies: `permit (principal, action in Action::"mcp:sessions", resource);`,
    nonces: withNonces,
  })
  const verifier = createVerifier({
    issuer: real.issuer,
    resource,
    ledger: memoryLedger(),
    definitions: [TOOL],
    audit: () => {},
    ...(withNonces ? { dpop: { nonceSecret: Buffer.alloc(32, 5) } } : {}),
  })
  const gate = nodeGate(verifier)
  http.on('request', async (req, res) => {
    if (await gate(req, res)) res.end('{}')
  })
  await verifier.ready()
  const svid = await real.svid()
  const urls: Record<Door, string> = {
    'token endpoint': `${real.issuer}/token`,
    'resource server': resource,
  }
  const toMcp: Fields = [
    ['Content-Type', 'application/json'],
    ['Accept', 'application/json, text/event-stream'],
  ]
  const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'

  return {
    real,
    urls,
    /** Asks for a session token, or pings the server; `fields` are all that is special. */
    send(door: Door, fields: Fields, audience = resource): Promise<Answer> {
      if (door === 'resource server') return post(resource, [...toMcp, ...fields], ping)
      const form = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        resource: audience,
        subject_token: svid,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      })
      const type = ['Content-Type', 'application/x-www-form-urlencoded'] as const
      return post(urls['token endpoint'], [type, ...fields], String(form))
    },
    async close() {
      await verifier.close()
      http.closeAllConnections()
      await new Promise((resolve) => http.close(resolve))
      await real.stop()
    },
  }
}

/** One request with exactly these fields, in this spelling and order. */
function post(url: string, fields: Fields, body: string): Promise<Answer> {
  const all: Fields = [
    ['Host', new URL(url).host],
    ['Content-Length', String(Buffer.byteLength(body))],
    ['Connection', 'close'],
    ...fields,
  ]
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent: false, headers: all.flat() }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, body: text.startsWith('{') ? JSON.parse(text) : {} })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
