/** A verifier process: an MCP server of a few lines behind the gate, which counts what it runs. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { redisLedger } from '../../src/ledger/redis.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { httpFeed } from '../../src/revocation/http-feed.ts'
import { createVerifier, memoryLedger, nodeGate } from '../../src/verifier/index.ts'
import type { ReportsOption } from '../../src/verifier/options.ts'

export interface VerifierSettings {
  readonly issuer: string
  readonly resource: string
  /** Without it, the ledger is this process' own. */
  readonly redis?: {
    readonly url?: string
    readonly sentinel?: { name: string; sentinels: { host: string; port: number }[] }
    readonly replicas?: number
    readonly username?: string
    readonly password?: string
  }
  /** Instead of `<issuer>/revocations` or the store's own. */
  readonly feed?: string
  readonly definitions: readonly JsonObject[] | 'unchecked'
  readonly audit: string
  readonly staleAfterMs: number
  /** Any free one when not given. */
  readonly port?: number
  /** With it, a stop is a clean one. */
  readonly reports?: ReportsOption
}

const settings = JSON.parse(process.argv[2] ?? '{}') as VerifierSettings
const { issuer, resource, definitions, staleAfterMs, redis, feed, reports } = settings
const ledger =
  redis === undefined ? memoryLedger() : redisLedger({ ...redis, role: 'verifier', resource })
const verifier = createVerifier({
  issuer,
  resource,
  ledger,
  definitions,
  audit: { file: settings.audit },
  staleAfterMs,
  ...(feed === undefined ? {} : { feed: httpFeed({ url: feed }) }),
  ...(reports === undefined ? {} : { reports }),
})

const runs: Record<string, number> = {}
const gate = nodeGate(verifier)
const server = createServer(async (req, res) => {
  try {
    if (!(await gate(req, res))) return
    const jti = (req as { auth?: { token: string } }).auth?.token ?? ''
    runs[jti] = (runs[jti] ?? 0) + 1
    const text = JSON.stringify({ jsonrpc: '2.0', id: 1, result: { content: [] } })
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': text.length })
    res.end(text)
  } catch (error) {
    console.error(error)
    res.writeHead(500).end()
  }
})

process.on('message', () => process.send?.({ runs }))
process.once('SIGTERM', async () => {
  if (reports !== undefined) await verifier.close()
  process.exit(0)
})
process.once('disconnect', () => process.exit(0))

await verifier.ready()
server.listen(settings.port ?? 0, '127.0.0.1', () => {
  process.send?.({ port: (server.address() as AddressInfo).port })
})
