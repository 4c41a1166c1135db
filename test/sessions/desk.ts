/** The broker's `/reports` over HTTP on loopback, with a store of its own, for verifiers and forgers. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa, { type Context } from 'koa'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { Client } from '../../src/server/parts.ts'
import { type ReportDesk, reports } from '../../src/server/reports.ts'
import type { Report } from '../../src/sessions/report.ts'
import { sessionId } from '../../src/token/session-id.ts'
import { ISSUER, RESOURCE } from '../verifier/rig.ts'

export const AGENT = 'spiffe://corp.example/agents/report-bot'
export const JKT = 'A'.repeat(43)

export interface ReporterClient {
  readonly client: Client
  readonly key: KeyObject
  readonly privateJwk: Readonly<Record<string, unknown>>
}

export function reporterClient(clientId = 'notes', extra: Partial<Client> = {}): ReporterClient {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const kid = `${clientId}-1`
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256' }
  return {
    client: {
      clientId,
      jwks: { keys: [jwk] },
      scopes: ['writ:report'],
      resources: [RESOURCE],
      ...extra,
    },
    key: privateKey,
    privateJwk: { ...privateKey.export({ format: 'jwk' }), kid, alg: 'ES256' },
  }
}

export interface Desk {
  readonly url: string
  readonly ledger: Ledger
  readonly records: AuditRecord[]
  /** Every report that came, answered or not. */
  readonly bodies: string[]
  /** The next requests are answered by this instead, or before it. */
  before: ((ctx: Context, answer: () => Promise<void>) => Promise<void>) | undefined
  /** Stops listening, and cuts every connection; the store stays. */
  down(): Promise<void>
  up(): Promise<void>
  close(): Promise<void>
}

export async function startDesk(
  clients: readonly Client[],
  change: Partial<ReportDesk> = {},
): Promise<Desk> {
  const ledger = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 })
  const records: AuditRecord[] = []
  const bodies: string[] = []
  const answer = reports({
    clients,
    book: ledger.sessions!,
    documents: ledger.documents!,
    audit: { record: async (record) => void records.push(record) },
    issuer: ISSUER,
    ...change,
  })
  let server: Server
  let port = 0
  const desk: Desk = {
    get url() {
      return `http://127.0.0.1:${port}/reports`
    },
    ledger,
    records,
    bodies,
    before: undefined,
    async down() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
    async up() {
      server = createServer(koa.callback()).listen(port, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      port = (server.address() as AddressInfo).port
    },
    async close() {
      if (server.listening) await desk.down()
      await ledger.close()
    },
  }
  const koa = new Koa()
  koa.silent = true
  koa.use(async (ctx, next) => {
    const chunks: Buffer[] = []
    ctx.req.on('data', (chunk: Buffer) => chunks.push(chunk))
    ctx.req.on('end', () => bodies.push(Buffer.concat(chunks).toString()))
    const ours = async () => void (await answer(ctx, next))
    await (desk.before === undefined ? ours() : desk.before(ctx, ours))
  })
  await desk.up()
  return desk
}

/** One session with one use. */
export function session(change: Readonly<Record<string, unknown>> = {}): never {
  const at = Date.now() / 1000 - 1
  return {
    id: sessionId(AGENT, AGENT, { jkt: JKT }),
    workload: AGENT,
    principal: AGENT,
    actors: [],
    key: JKT,
    firstAt: at,
    lastAt: at,
    spent: 1,
    refused: 0,
    actions: [
      { at, outcome: 'spent', method: 'tools/call', name: 'add_note', jti: 'j', address: '::1' },
    ],
    ...change,
  } as never
}

export function report(change: Partial<Record<keyof Report, unknown>> = {}): Report {
  return {
    resource: RESOURCE,
    holder: 'holder-of-a-test',
    kind: 'verifier',
    sequence: 1,
    hearing: { heard: { origin: Date.now() / 1000 }, fresh: true },
    lost: 0,
    sessions: [session()],
    ...change,
  } as Report
}
