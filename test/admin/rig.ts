// The admin API on loopback, over real stores, revocations, policies, keys and an audit of its own.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Koa from 'koa'
import { createAdminApi } from '../../src/admin/api.ts'
import type { AdminParts } from '../../src/admin/parts.ts'
import { openAuditLog } from '../../src/audit/file.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { catalogueOf } from '../../src/catalogue/catalogue.ts'
import { makePin } from '../../src/catalogue/pin.ts'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import type { Documents } from '../../src/ledger/documents.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { SessionBook, SessionUpdate } from '../../src/ledger/session-book.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { newKeys, openKeys } from '../../src/mint/keys.ts'
import { openPolicies } from '../../src/policy/engine.ts'
import { type History, openHistory } from '../../src/revocation/history.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import { createHolders } from '../../src/sessions/holders.ts'
import { checkAnswer } from './answers.ts'
import { createTestSignIn, type TestSignIn } from './people.ts'

export const RESOURCE = 'https://bank.test/mcp'
export const OTHER = 'https://notes.test/mcp'
export const BOT = 'spiffe://corp.test/agents/bot'
export const ISSUER = 'https://broker.test'

const POLICIES = `
@id("little")
@description("bots move a little")
@lifetime("30")
permit (principal in Path::"spiffe://corp.test/agents", action == Bank::Action::"transfer", resource)
when { context.input.amount <= 100 };

@id("ci")
permit (principal in Issuer::"ci", action == Bank::Action::"transfer", resource)
when { principal.hasTag("repository") && principal.getTag("repository").contains("acme/app") };

@id("never-mallory")
forbid (principal, action == Bank::Action::"transfer", resource) when { context.input.to == "mallory" };
`

export interface Rig {
  readonly url: string
  readonly parts: AdminParts
  readonly signIn: TestSignIn
  readonly sessions: SessionBook
  readonly documents: Documents
  readonly revocations: Revocations
  readonly history: History
  readonly auditDirectory: string
  readonly policyDirectory: string
  call(method: string, path: string, options?: CallOptions): Promise<Called>
  /** What the audit holds by now, oldest first. */
  recorded(): Promise<AuditRecord[]>
  /** Puts sessions into the book. */
  seen(...updates: readonly Partial<SessionUpdate>[]): Promise<void>
  close(): Promise<void>
}

export interface CallOptions {
  /** The word that stands for an admin; `null` for nobody. */
  readonly as?: string | null
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Called {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: what was answered is for the test to say
  readonly body: any
}

export async function openRig(
  changes: (parts: AdminParts) => Partial<AdminParts> = () => ({}),
  store: (folder: string) => Ledger = () => memoryLedger({ role: 'broker' }),
) {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'writ-admin-'))
  stack.defer(() => rm(folder, { recursive: true }))
  const now = () => Date.now() / 1000
  const ledger = store(folder)
  stack.defer(() => ledger.close())
  await ledger.open()
  const { documents, sessions } = ledger
  if (documents === undefined || sessions === undefined) throw new Error('no broker ledger')

  await newKeys(join(folder, 'keys'), 'ES256', now())
  const keys = await openKeys(join(folder, 'keys'), { now: now() })
  stack.defer(() => keys.close())
  const feed = {
    issuer: ISSUER,
    transport: ledger.feed!,
    keys: {
      find: (kid: string | undefined, alg: string) => keys.verification(now()).find(kid, alg),
    },
  }
  const publisher = new RevocationPublisher({
    ...feed,
    key: () => keys.current(now()),
    beatEveryMs: 25,
  })
  const revocations = new Revocations(feed)
  stack.defer(() => publisher.close())
  stack.defer(() => revocations.close())
  await Promise.all([publisher.start(), revocations.start()])
  const history = openHistory({ documents, publisher, revocations })
  stack.defer(() => history.close())
  const holders = createHolders({ documents, revocations, origin: 'broker-1', everyMs: 25 })
  stack.defer(() => holders.close())

  const policyDirectory = join(folder, 'policies')
  await mkdir(policyDirectory)
  await writeFile(join(policyDirectory, 'bank.cedar'), POLICIES)
  const catalogue = catalogueOf([pinOf()])
  const policies = await openPolicies({ directory: policyDirectory, catalogue, pollMs: 0 })
  stack.defer(() => policies.close())
  const bundles = await openBundles([])
  const auditDirectory = join(folder, 'audit')
  const audit = await openAuditLog({ directory: auditDirectory, origin: 'broker.test' })
  stack.defer(() => audit.close())

  const signIn = createTestSignIn()
  const closing = new AbortController()
  const plain: AdminParts = {
    ...{ url: 'https://admin.test', signIn, sessions, history, holders, revocations, policies },
    ...{ policyDirectory, catalogue: () => catalogue, keys, audit, auditDirectory, documents },
    trust: { bundles, issuers: [{ alias: 'ci', url: 'https://ci.test', vouchesFor: 'workloads' }] },
    health: async () => ({ ready: true, checks: { store: 'ok' } }),
    closing: closing.signal,
  }
  const parts = { ...plain, ...changes(plain) }
  const app = new Koa()
  app.use(createAdminApi(parts))
  app.on('error', () => undefined)
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  stack.defer(async () => {
    closing.abort()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const opened = stack.move()
  let sequence = 0
  const rig: Rig = {
    ...{ url, parts, signIn, sessions, documents, revocations, history },
    ...{ auditDirectory, policyDirectory },
    call: (method, path, options = {}) => call(url, method, path, options),
    recorded: () => readAudit(auditDirectory),
    async seen(...updates) {
      sequence += 1
      await sessions.apply('test', sequence, updates.map(updateOf))
    },
    close: () => opened.disposeAsync(),
  }
  return rig
}

async function call(
  url: string,
  method: string,
  path: string,
  { as = 'admin', body, headers = {} }: CallOptions,
): Promise<Called> {
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(as === null ? {} : { authorization: `Test ${as}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const answered = text === '' ? undefined : JSON.parse(text)
  checkAnswer(method, path, response, answered)
  return { status: response.status, headers: response.headers, body: answered }
}

function pinOf() {
  const inputSchema: JsonObject = {
    type: 'object',
    properties: { to: { type: 'string' }, amount: { type: 'integer' } },
    required: ['to', 'amount'],
  }
  return makePin(
    { tool: [{ name: 'transfer', description: 'moves money', inputSchema }] },
    { name: 'Bank', resource: RESOURCE, pinnedAt: '2026-01-31T08:00:00Z' },
  )
}

let ids = 0

export function updateOf(more: Partial<SessionUpdate>): SessionUpdate {
  const now = Date.now() / 1000
  ids += 1
  return {
    ...{ id: `sid-${ids}`, workload: BOT, principal: more.workload ?? BOT, actors: [] },
    ...{ key: `key-${ids}`.padEnd(43, 'x'), firstAt: now - 5, lastAt: now },
    ...{ issued: 1, spent: 0, refused: 0, tokensUntil: now + 60, actions: [] },
    ...more,
  }
}

async function readAudit(directory: string): Promise<AuditRecord[]> {
  const lines: AuditRecord[] = []
  for (const name of (await readdir(directory)).sort()) {
    const text = await readFile(join(directory, name), 'utf8')
    for (const line of text.split('\n')) if (line !== '') lines.push(JSON.parse(line))
  }
  return lines
}
