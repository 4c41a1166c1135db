// A real MCP server's gate over TLS, which takes tokens bound to keys and to certificates.
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { AuditRecord } from '../../src/audit/record.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { makeProof, type SenderKey } from '../../src/token/proof.ts'
import { createVerifier, nodeGate, type Verifier } from '../../src/verifier/index.ts'
import { TOOLS } from '../matrix/servers.ts'
import type { Identity } from '../server/tls.ts'
import { send } from './ask.ts'
import { identityBy, makeAuthority, seconds } from './domain.ts'

export interface Mcp {
  /** Its resource URI. */
  readonly url: string
  readonly records: AuditRecord[]
  /** How often something behind the gate ran. */
  runs(): number
  /** Whether the last request came over a TLS session that was resumed. */
  resumed(): boolean
  /** The gate opens: the broker is there to get keys and revocations from. */
  open(issuer: string, trustedProxies?: readonly string[]): Promise<void>
}

/** Listens until the end of what `t` stands for. */
export async function startMcp(t: { after(hook: () => Promise<void>): void }): Promise<Mcp> {
  const { cert, key } = identityBy(makeAuthority('mcp'), 'spiffe://corp.test/mcp')
  // Sessions are resumed here, as they are by default.
  const server = createServer({ cert, key, requestCert: true, rejectUnauthorized: false })
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  const records: AuditRecord[] = []
  let runs = 0
  let resumed = false
  let verifier: Verifier | undefined
  t.after(async () => {
    await verifier?.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    url,
    records,
    runs: () => runs,
    resumed: () => resumed,
    async open(issuer, trustedProxies = []) {
      verifier = createVerifier({
        issuer,
        resource: url,
        ledger: memoryLedger({ clock: () => Date.now() / 1000 - 60 }),
        definitions: TOOLS,
        audit: (record) => void records.push(record),
        certificates: true,
        trustedProxies,
      })
      await verifier.ready()
      const gate = nodeGate(verifier)
      server.on('request', async (request, response) => {
        resumed = (request.socket as TLSSocket).isSessionReused()
        if (!(await gate(request, response))) return
        runs += 1
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0"}')
      })
    },
  }
}

export interface Call {
  readonly token: string
  /** Makes the proof of possession; without one the token goes as `Bearer`. */
  readonly key?: SenderKey
  readonly by?: Identity
  /** Of an earlier connection. */
  readonly session?: Buffer
  readonly headers?: Readonly<Record<string, string>>
  readonly from?: string
  readonly text?: string
}

/** Calls the tool `add`. */
export async function callTool(mcp: Pick<Mcp, 'url'>, call: Call): Promise<number> {
  const { token, key, by, session, headers, from, text = 'hello' } = call
  const proof = key && {
    dpop: makeProof(key, { method: 'POST', url: mcp.url, now: seconds(), accessToken: token }),
  }
  const params = { name: 'add', arguments: { text } }
  const { status } = await send(mcp.url, {
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      authorization: `${key === undefined ? 'Bearer' : 'DPoP'} ${token}`,
      ...proof,
      ...headers,
    },
    from,
    tls: { rejectUnauthorized: false, ...by, ...(session && { session }) },
  })
  return status
}
