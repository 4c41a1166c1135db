/**
 * Every way to say no is said here once by each door that can say it, with the parts that say it in
 * operation, and leaves exactly one line in the audit: outcome `refused`, its own code as the reason,
 * and its evidence. What is answered on the wire is in test/server and test/verifier.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AuditRecord, AuditSink } from '../src/audit/record.ts'
import type { Broker, ExchangeRequest } from '../src/exchange/broker.ts'
import { exchange } from '../src/exchange/exchange.ts'
import { createDevelopmentDomain } from '../src/identity/development.ts'
import { openOidcIssuer } from '../src/identity/issuers/oidc.ts'
import { createProver } from '../src/identity/prover.ts'
import { memoryLedger } from '../src/ledger/memory.ts'
import { sqliteLedger } from '../src/ledger/sqlite.ts'
import type { Json, JsonObject } from '../src/lib/json.ts'
import { mintDelegation } from '../src/mint/mint.ts'
import { openPolicies } from '../src/policy/engine.ts'
import { type ReasonCode, Refusal, refuse } from '../src/refusal.ts'
import { memoryFeed } from '../src/revocation/memory-feed.ts'
import type { RevocationPublisher } from '../src/revocation/publisher.ts'
import { Revocations } from '../src/revocation/revocations.ts'
import type { DelegationClaims } from '../src/token/delegation.ts'
import { localKeySet } from '../src/token/key-set.ts'
import { generateSenderKey, makeProof } from '../src/token/proof.ts'
import { remoteKeySet } from '../src/token/remote-key-set.ts'
import type { VerifierOptions } from '../src/verifier/options.ts'
import { createVerifier, type Verifier } from '../src/verifier/verifier.ts'
import { BOT, type Real, startReal } from './peers/real.ts'
import { send } from './server/fixture.ts'
import { makeStore } from './support/aged-store.ts'
import * as rig from './verifier/rig.ts'

const SERVER = 'https://mcp.test/mcp'
const object = (properties: JsonObject): JsonObject => ({ type: 'object', properties })
const TOOLS = ['add', 'drop', 'ask'].map((name) => ({
  name,
  description: name,
  inputSchema: object({ text: { type: 'string' } }),
}))
const SLOW = {
  name: 'slow',
  description: 'a pattern that costs much for each character',
  inputSchema: object({ text: { type: 'string', pattern: '[ab]*a[ab]{900}[cd]' } }),
}
const POLICIES = `
permit (principal == Workload::"${BOT}", action in [Notes::Action::"add", Notes::Action::"slow"], resource);
@approval("required")
permit (principal == Workload::"${BOT}", action == Notes::Action::"ask", resource);`

let real: Real
before(async () => {
  real = await startReal({
    servers: { Notes: SERVER },
    tools: [...TOOLS, SLOW],
    policies: POLICIES,
    nonces: true,
    settings: { identity: { second_key: 'refuse' } },
  })
})
after(() => real?.stop())

// ── The broker ──────────────────────────────────────────────────────────────────────────────────

const seconds = () => Date.now() / 1000

/** One for each SVID: SVIDs that are issued in one second are one. */
const ownKey = generateSenderKey()

function proof(key = ownKey, now = seconds(), nonce = nonceAt(now)): string {
  const more = nonce === undefined ? {} : { nonce }
  return makeProof(key, { method: 'POST', url: `${real.issuer}/token`, now, ...more })
}
const nonceAt = (now: number) => real.running.broker.nonces?.issue(now)

const asked = (name = 'add', args: JsonObject = { text: 'a' }, server = SERVER): Json => [
  {
    type: 'mcp_action',
    locations: [server],
    actions: ['tools/call'],
    identifier: name,
    arguments: args,
  },
]

interface Sent {
  readonly form?: Readonly<Record<string, string>>
  readonly details?: Json
  readonly headers?: Record<string, string>
  readonly proof?: string | undefined
}

/** The documented request, with what `sent` changes in it. */
async function post(sent: Sent = {}): Promise<void> {
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    resource: SERVER,
    subject_token: sent.form?.subject_token ?? (await real.svid()),
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    authorization_details: JSON.stringify(sent.details ?? asked()),
    ...sent.form,
  }
  const given = 'proof' in sent ? sent.proof : proof()
  const headers = { ...(given === undefined ? {} : { dpop: given }), ...sent.headers }
  await send(`${real.issuer}/token`, { body: new URLSearchParams(form), headers })
}

const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

/** The same sequence with one part of the broker in another state. */
async function exchangeWith(change: Partial<Broker>, more: Partial<ExchangeRequest> = {}) {
  const now = more.now ?? seconds()
  const request: ExchangeRequest = {
    door: 'token-exchange',
    endpoint: real.running.broker.tokenEndpoint,
    subject: { token: await real.svid(), tokenType: JWT_TYPE },
    actor: undefined,
    client: undefined,
    certificate: undefined,
    delegateTo: undefined,
    resource: SERVER,
    details: asked(),
    proofHeaders: [proof(ownKey, now)],
    method: 'POST',
    address: '192.0.2.7',
    now,
    ...more,
  }
  await assert.rejects(exchange(request, { ...real.running.broker, ...change }), Refusal)
}

/** What an agent before was allowed to hand on: one tool. */
function ceilingOn(name: string): DelegationClaims {
  const before = 'spiffe://corp.test/agents/before'
  return {
    iss: real.issuer,
    aud: real.issuer,
    sub: before,
    client_id: before,
    act: { sub: before },
    may_act: { sub: BOT },
    cnf: { jkt: ownKey.jkt },
    authorization_details: [
      { type: 'mcp_ceiling', locations: [SERVER], actions: ['tools/call'], identifiers: [name] },
    ],
    via: ['sid-before'],
    sid: 'sid-before',
    jti: 'jti-before',
    iat: Math.floor(seconds()),
    exp: Math.floor(seconds()) + 60,
  }
}

/** Like a disk that was full: what is written fails once, and works again later. */
function failingOnce<T extends AuditSink>(sink: T): AuditSink {
  let failed = false
  return {
    async record(record) {
      if (failed) return sink.record(record)
      failed = true
      throw new Error('no space left')
    },
  }
}

/** What a request does to be refused by the broker for this reason. */
const BROKER: { readonly [Code in ReasonCode]?: () => Promise<void> } = {
  request_malformed: () => post({ form: { grant_type: '' } }),
  request_too_large: () => post({ form: { scope: 'x'.repeat(1536 * 1024) } }),
  grant_unsupported: () => post({ form: { grant_type: 'password' } }),
  client_rejected: () => post({ form: { client_secret: 'x' } }),
  async report_rejected() {
    const headers = { 'content-type': 'application/jwt' }
    await fetch(`${real.issuer}/reports`, { method: 'POST', headers, body: 'a.b.c' })
  },
  origin_refused: () => post({ headers: { origin: 'https://evil.example' } }),
  binding_missing: () => post({ proof: undefined }),
  proof_invalid: () => post({ proof: 'a.b.c' }),
  nonce_required: () => post({ proof: proof(ownKey, seconds(), 'A'.repeat(32)) }),
  async proof_replayed() {
    const once = proof()
    await post({ proof: once })
    await post({ proof: once })
  },
  identity_invalid: () => post({ form: { subject_token: 'a.b.c' } }),
  async identity_unknown_issuer() {
    const directory = await mkdtemp(join(tmpdir(), 'writ-foreign-'))
    const foreign = await createDevelopmentDomain({ directory, trustDomain: 'foreign.test' })
    const svid = { path: '/a', audience: real.issuer, lifetimeSeconds: 60, now: seconds() }
    await post({ form: { subject_token: await foreign.issueJwtSvid(svid) } })
    await rm(directory, { recursive: true })
  },
  async identity_key_changed() {
    const subject_token = await real.svid()
    await post({ form: { subject_token } })
    await post({ form: { subject_token }, proof: proof(generateSenderKey()) })
  },
  identity_missing: () => exchangeWith({}, { subject: undefined }),
  async identity_conflict() {
    const actor = { token: await real.svid('/agents/another'), tokenType: JWT_TYPE }
    await exchangeWith({}, { actor })
  },
  async delegation_refused() {
    const actor = { token: await real.svid(), tokenType: JWT_TYPE }
    await exchangeWith({}, { subject: undefined, actor })
  },
  certificate_untrusted: () => post({ headers: { 'client-cert': ':AAAA:' }, proof: undefined }),
  async trust_unavailable() {
    // Nobody listens there.
    const keys = { jwksUrl: 'https://127.0.0.1:9/jwks' }
    const gone = await openOidcIssuer({
      alias: 'gone',
      issuer: 'https://gone.test',
      keys,
      audience: real.issuer,
      allowAddresses: ['127.0.0.1'],
    })
    const { issuer } = real
    const jwtSvid = { prove: () => refuse({ code: 'identity_missing' }) }
    const prover = createProver({ issuer, jwtSvid, issuers: [gone] })
    const parts = [{ alg: 'ES256', typ: 'JWT' }, { iss: 'https://gone.test', sub: 'a' }, 'x']
    const token = parts
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    await exchangeWith({ prover }, { subject: { token, tokenType: JWT_TYPE } })
    await gone.close()
  },
  async ceiling_exceeded() {
    const key = real.running.broker.signingKey(seconds())
    const keys = localKeySet({ keys: [key.publicJwk] }, ['ES256'])
    const delegation = { keys: () => keys, lifetimeSeconds: 300, maxDepth: 5 }
    const subject = { token: mintDelegation(ceilingOn('drop'), key), tokenType: JWT_TYPE }
    const actor = { token: await real.svid(), tokenType: JWT_TYPE }
    await exchangeWith({ delegation }, { subject, actor })
  },
  async revoked() {
    const target = { kind: 'agent', value: `${BOT}/gone` } as const
    await real.running.revoke({ target, reason: 'a test', by: 'a test' })
    while (real.running.revocations.list().length === 0) await real.audited()
    await post({ form: { subject_token: await real.svid('/agents/bot/gone') } })
  },
  async revocations_stale() {
    const { issuer } = real
    const keys = { find: () => undefined }
    // Nothing is ever heard on it.
    const revocations = new Revocations({ issuer, keys, transport: memoryFeed() })
    await exchangeWith({ revocations })
  },
  async server_unknown() {
    const resource = 'https://elsewhere.example/mcp'
    await post({ form: { resource }, details: asked('add', {}, resource) })
  },
  details_invalid: () => post({ details: [] }),
  action_unknown: () => post({ details: asked('fly') }),
  arguments_invalid: () => post({ details: asked('add', { text: 7 }) }),
  arguments_too_costly: () => post({ details: asked('slow', { text: 'ab'.repeat(200_000) }) }),
  policy_denied: () => post({ details: asked('drop') }),
  approval_required: () => post({ details: asked('ask') }),
  async policy_unavailable() {
    const { catalogue } = real.running.broker
    const directory = join(real.directory, 'policies')
    const policies = await openPolicies({ directory, catalogue, pollMs: 0 })
    await policies.close()
    await exchangeWith({ policies })
  },
  async ledger_unavailable() {
    const file = join(real.directory, 'closed.db')
    await makeStore(file)
    const ledger = sqliteLedger({ file, role: 'broker' })
    await ledger.open()
    await ledger.close()
    await exchangeWith({ ledger })
  },
  audit_unavailable: () => exchangeWith({ audit: failingOnce(real.running.broker.audit) }),
  keys_unavailable: () =>
    exchangeWith({
      signingKey: () => {
        throw new Error('no key signs yet')
      },
    }),
  // A request that was held up until its proof can no longer be remembered for long enough.
  async token_expired() {
    const now = seconds() - 300
    await exchangeWith(
      {},
      {
        now,
        subject: { token: await real.svid('/agents/bot', now), tokenType: JWT_TYPE },
      },
    )
  },
  // A store that was made after the proof, and may not know that it was used.
  token_before_epoch: () => exchangeWith({ ledger: memoryLedger({ role: 'broker' }) }),
}

// ── The verifier ────────────────────────────────────────────────────────────────────────────────

interface Scene {
  /** A verifier with these options, and the feed and ledger of the scene. */
  open(overrides?: Partial<VerifierOptions>): Promise<Verifier>
  readonly records: AuditRecord[]
  readonly publisher: RevocationPublisher
}

async function inScene(act: (scene: Scene) => Promise<unknown>): Promise<AuditRecord[]> {
  const { options, records, publisher } = await rig.options()
  const opened: Verifier[] = []
  try {
    await act({
      records,
      publisher,
      async open(overrides = {}) {
        const verifier = createVerifier({ ...options, ...overrides })
        opened.push(verifier)
        await verifier.ready()
        return verifier
      },
    })
  } finally {
    for (const verifier of opened) await verifier.close()
    await publisher.close()
  }
  return records
}

type Claims = Parameters<typeof rig.claimsFor>[1]
const token = (overrides: Claims = {}) => rig.mint(rig.claimsFor({}, overrides))

/** A good request for a good token, with what `sent` spoils. */
const sends =
  (sent: Partial<rig.Sent>, options: Partial<VerifierOptions> = {}) =>
  async ({ open }: Scene) =>
    (await open(options)).check(rig.request({ token: token(), ...sent }))

/** With a token that is bound to a certificate, and no proof but what `sent` adds. */
const withCertificate = (sent: Partial<rig.Sent>, cnf: rig.Certified['cnf']) =>
  sends(
    {
      token: token({ cnf }),
      scheme: 'Bearer',
      ...sent,
      headers: { dpop: undefined, ...sent.headers },
    },
    { certificates: true },
  )

const listing = { jsonrpc: '2.0', id: 1, method: 'tools/list' }

/** What is done for a verifier to refuse for this reason. */
const VERIFIER: { readonly [Code in ReasonCode]?: (scene: Scene) => Promise<unknown> } = {
  request_malformed: sends({ headers: { accept: 'text/html' } }),
  request_too_large: sends({}, { maxBodyBytes: 10 }),
  origin_refused: sends({ headers: { origin: 'https://evil.example' } }),
  path_refused: async ({ open }) =>
    (await open()).check({ ...rig.request({ token: token() }), path: '/mcp/other' }),
  binding_missing: sends({ headers: { dpop: undefined } }),
  proof_invalid: sends({ proof: { url: 'https://other.example/mcp' } }),
  nonce_required: sends({}, { dpop: { nonceSecret: Buffer.alloc(32, 1) } }),
  async proof_replayed({ open }) {
    const verifier = await open()
    const session = rig.mint(rig.claimsFor('session'))
    const request = rig.request({ token: session, message: listing })
    await verifier.check(request)
    await verifier.check(request)
  },
  async revoked({ open, publisher, records }) {
    const verifier = await open()
    const session = rig.mint(rig.claimsFor('session'))
    const target = { kind: 'agent', value: rig.AGENT } as const
    await publisher.revoke({ target, reason: 'a test', by: 'a test' })
    do {
      await verifier.check(rig.request({ token: session, message: listing }))
    } while (records.at(-1)?.outcome === 'allowed')
  },
  async revocations_stale({ open, publisher }) {
    const verifier = await open({ staleAfterMs: 200 })
    await publisher.close()
    await sleep(400)
    await verifier.check(rig.request({ token: token() }))
  },
  ledger_unavailable: async ({ open }) => {
    const ledger = rig.startedLedger()
    const verifier = await open({ ledger })
    await ledger.close()
    await verifier.check(rig.request({ token: token() }))
  },
  audit_unavailable: async ({ open, records }) => {
    const sink = { record: async (record: AuditRecord) => void records.push(record) }
    const verifier = await open({ audit: failingOnce(sink) })
    await verifier.check(rig.request({ token: token() }))
  },
  keys_unavailable: async ({ open }) => {
    let nowMs = 0
    let away = false
    const keys = remoteKeySet({
      url: `${rig.ISSUER}/jwks`,
      algorithms: ['ES256'],
      clockMs: () => nowMs,
      fetch: async () => {
        if (away) throw new TypeError('fetch failed')
        return Response.json({ keys: [rig.brokerKey.publicJwk] })
      },
    })
    await keys.ready()
    const verifier = await open({ keys })
    away = true
    nowMs = 3_600_000
    await verifier.check(rig.request({ token: token() }))
    keys.close()
  },
  message_malformed: sends({ message: '{' }),
  batch_refused: sends({ message: JSON.stringify([rig.callMessage()]) }),
  async header_mismatch({ open }) {
    const { message, headers } = rig.modern(rig.callMessage())
    const request = { token: token(), message, headers: { ...headers, 'mcp-name': 'drop' } }
    await (await open()).check(rig.request(request))
  },
  method_unknown: sends({ message: { jsonrpc: '2.0', id: 1, method: 'tools/fly' } }),
  token_missing: sends({ headers: { authorization: undefined } }),
  token_invalid: async ({ open }) =>
    (await open()).check(
      rig.request({ token: rig.mint(rig.claimsFor({}), rig.signingKey('another')) }),
    ),
  async token_expired({ open }) {
    const past = Math.floor(rig.clock.now()) - 100
    await (await open()).check(rig.request({ token: token({ iat: past, exp: past + 60 }) }))
  },
  token_unbound: sends({ scheme: 'Bearer' }),
  key_mismatch: sends({ key: generateSenderKey() }),
  scope_insufficient: sends({ message: listing }),
  action_mismatch: sends({ message: rig.callMessage({ text: 'changed' }) }),
  definition_unknown: sends({}, { definitions: TOOLS }),
  async session_mismatch({ open }) {
    const session = rig.mint(rig.claimsFor('session'))
    const headers = { 'mcp-session-id': 'of-another' }
    await (await open()).check(rig.request({ token: session, message: listing, headers }))
  },
  async identity_invalid(scene) {
    // It ended while the connection that it was proved on went on.
    const { certificate, cnf } = await rig.certified(1, rig.clock.now() - 10)
    await withCertificate({ certificate }, cnf)(scene)
  },
  async certificate_untrusted(scene) {
    const { certificate, cnf } = await rig.certified()
    const field = `:${Buffer.from(certificate).toString('base64')}:`
    await withCertificate({ headers: { 'client-cert': field } }, cnf)(scene)
  },
  async token_before_epoch({ open }) {
    const before_ = Math.floor(rig.clock.now()) - 200
    await (await open()).check(rig.request({ token: token({ iat: before_, exp: before_ + 280 }) }))
  },
  async token_spent({ open }) {
    const verifier = await open()
    const once = token()
    await verifier.check(rig.request({ token: once }))
    await verifier.check(rig.request({ token: once }))
  },
}

// ── Both, against the documentation ─────────────────────────────────────────────────────────────

function assertRefused(record: AuditRecord | JsonObject | undefined, code: ReasonCode): void {
  assert.equal(record?.outcome, 'refused')
  assert.equal(record.reason, code)
  assert.equal(typeof record.evidence, 'object')
  assert.ok(record.time && record.door)
  assert.equal(record.jti === undefined || record.door === 'verifier', true)
}

for (const [code, act] of Object.entries(BROKER)) {
  test(`the broker’s audit says ${code}`, async () => {
    const already = (await real.audited()).length
    await act()
    const written = (await real.audited()).slice(already)
    assertRefused(written.at(-1), code as ReasonCode)
    assert.equal(written.filter(({ outcome }) => outcome === 'refused').length, 1)
  })
}

for (const [code, act] of Object.entries(VERIFIER)) {
  test(`a verifier’s audit says ${code}`, async () => {
    const records = await inScene(act)
    assertRefused(records.at(-1), code as ReasonCode)
    assert.equal(records.filter(({ outcome }) => outcome === 'refused').length, 1)
  })
}

/** What the broker's table answers for completeness, and no request can bring about. */
const NEVER_AT_THE_BROKER = ['message_malformed', 'method_unknown']

test('what docs/refusals.md says a door can say is what it is made to say here', () => {
  const page = readFileSync(new URL('../docs/refusals.md', import.meta.url), 'utf8')
  const rows = page.split('\n').filter((line) => line.startsWith('| `'))
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim()))
  const saidBy = (column: number) =>
    cells.filter((row) => row[column] !== '–').map((row) => (row[1] ?? '').slice(1, -1))
  assert.deepEqual(
    saidBy(2).sort(),
    [...Object.keys(BROKER), ...NEVER_AT_THE_BROKER].sort(),
    'broker',
  )
  assert.deepEqual(saidBy(3).sort(), Object.keys(VERIFIER).sort(), 'verifier')
})
