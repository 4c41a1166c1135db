// POST /reports: which reports a broker believes, and what it then keeps.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, beforeEach, test } from 'node:test'
import { encodeBase64url } from '../../src/lib/base64url.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { ReportCheck } from '../../src/refusal.ts'
import { type Report, signReport } from '../../src/sessions/report.ts'
import { signSegments } from '../../src/token/jws.ts'
import { sessionId } from '../../src/token/session-id.ts'
import { ISSUER, RESOURCE } from '../verifier/rig.ts'
import { AGENT, type Desk, JKT, report, reporterClient, session, startDesk } from './desk.ts'

const seconds = () => Date.now() / 1000
const notes = reporterClient()
const mute = reporterClient('mute', { scopes: ['writ:introspect'] })
const long = reporterClient('ü'.repeat(300))
let desk: Desk

before(async () => {
  desk = await startDesk([notes, mute, long].map(({ client }) => client))
})
beforeEach(() => {
  desk.records.length = 0
})
after(() => desk?.close())

const key = { algorithm: 'ES256', key: notes.key, kid: 'notes-1' } as const

function signed(content: Report, change: Partial<Parameters<typeof signReport>[1]> = {}): string {
  const signing = { clientId: 'notes', key, issuer: ISSUER, now: seconds(), ...change }
  return signReport(content, signing)
}

/** A report whose JWS says something that `signReport` never would. */
function forged(header: JsonObject, claims: Readonly<Record<string, unknown>> = {}): string {
  const { hearing, ...rest } = report()
  const about = { iss: 'notes', aud: ISSUER, jti: 'j', iat: seconds() }
  const payload = { ...about, ...rest, ...hearing, ...claims } as unknown as JsonObject
  const head = { typ: 'writ-report+jwt', alg: 'ES256', kid: 'notes-1', ...header }
  return signSegments(encodeBase64url(JSON.stringify(head)), payload, key)
}

async function post(body: string, headers: Readonly<Record<string, string>> = {}) {
  const all = { 'content-type': 'application/jwt', ...headers }
  const response = await fetch(desk.url, { method: 'POST', headers: all, body })
  return { status: response.status, body: (await response.json()) as JsonObject }
}

const heldBy = (change: object) => ({ hearing: { heard: {}, fresh: true, ...change } })
const only = (change: Readonly<Record<string, unknown>>) => ({ sessions: [session(change)] })
const action = (change: Readonly<Record<string, unknown>>) => {
  const { actions } = session() as { actions: JsonObject[] }
  return only({ actions: [{ ...actions[0], ...change }] })
}
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

const REFUSED: readonly (readonly [string, ReportCheck, () => string])[] = [
  ['no JWS', 'form', () => 'a.b'],
  ['a member that no report has', 'form', () => forged({}, { issued: 1 })],
  ['a header that no report has', 'form', () => forged({ jwk: {} })],
  ['a key id that is no text', 'form', () => forged({ kid: 1 })],
  ['no id', 'form', () => forged({}, { jti: undefined })],
  ['another type', 'typ', () => forged({ typ: 'at+jwt' })],
  ['no type', 'typ', () => forged({ typ: undefined } as never)],
  ['an algorithm that is none', 'algorithm', () => forged({ alg: 'none' })],
  ['an algorithm with a shared secret', 'algorithm', () => forged({ alg: 'HS256' })],
  ['a client nobody knows', 'client', () => signed(report(), { clientId: 'nobody' })],
  [
    'a client without the scope',
    'client',
    () => signed(report(), { clientId: 'mute', key: { ...key, key: mute.key, kid: 'mute-1' } }),
  ],
  ['the key of another', 'signature', () => signed(report(), { key: { ...key, key: stranger } })],
  ['a key that is not known', 'signature', () => signed(report(), { key: { ...key, kid: 'x' } })],
  ['an algorithm of another key', 'signature', () => forged({ alg: 'ES384' })],
  ['another broker', 'audience', () => signed(report(), { issuer: 'https://other.example' })],
  ['a list of brokers', 'audience', () => forged({}, { aud: [ISSUER] })],
  ['a time long past', 'time', () => signed(report(), { now: seconds() - 301 })],
  ['a time to come', 'time', () => signed(report(), { now: seconds() + 12 })],
  ['a time that is none', 'time', () => forged({}, { iat: 'now' })],
  ['a server not its own', 'resource', () => signed(report({ resource: 'https://b.example/mcp' }))],
  ['no server', 'resource', () => forged({}, { resource: undefined })],
  ['a holder that could be a path', 'holder', () => signed(report({ holder: 'a/b/c/d/e/f' }))],
  ['a holder too short to be alone', 'holder', () => signed(report({ holder: 'short' }))],
  ['a holder that is a number', 'holder', () => forged({}, { holder: 12_345_678 })],
  ['a broker as its kind', 'holder', () => signed(report({ kind: 'broker' }))],
  ['negative losses', 'holder', () => signed(report({ lost: -1 }))],
  ['a heartbeat to come', 'holder', () => signed(report(heldBy({ heard: { o: seconds() + 12 } })))],
  ['a heartbeat that is no time', 'holder', () => signed(report(heldBy({ heard: { o: '1' } })))],
  [
    'an origin too long',
    'holder',
    () => signed(report(heldBy({ heard: { ['o'.repeat(65)]: 1 } }))),
  ],
  [
    'too many origins',
    'holder',
    () =>
      signed(
        report(heldBy({ heard: Object.fromEntries([...Array(257).keys()].map((n) => [n, 1])) })),
      ),
  ],
  ['a list for what was heard', 'holder', () => signed(report(heldBy({ heard: [] })))],
  ['nothing for what was heard', 'holder', () => signed(report(heldBy({ heard: null })))],
  ['freshness that is neither', 'holder', () => signed(report(heldBy({ fresh: 1 })))],
  ['half of what it heard', 'holder', () => forged({}, { heard: undefined })],
  ['a sequence below nothing', 'sequence', () => signed(report({ sequence: -1 }))],
  ['a broken sequence', 'sequence', () => signed(report({ sequence: 1.5 }))],
  ['sessions without a sequence', 'sequence', () => signed(report({ sequence: 0 }))],
  ['sessions that are no list', 'sessions', () => signed(report({ sessions: {} }))],
  ['a session that is no object', 'sessions', () => signed(report({ sessions: [1] }))],
  ['a session that is nothing', 'sessions', () => signed(report({ sessions: [null] }))],
  ['one session twice', 'sessions', () => signed(report({ sessions: [session(), session()] }))],
  ['what was issued', 'sessions', () => signed(report(only({ issued: 1 })))],
  ['an identity', 'sessions', () => signed(report(only({ identity: {} })))],
  ['when tokens end', 'sessions', () => signed(report(only({ tokensUntil: 1 })))],
  [
    'another workload for the session',
    'sessions',
    () => signed(report(only({ workload: 'spiffe://corp.example/b' }))),
  ],
  [
    'another principal for the session',
    'sessions',
    () => signed(report(only({ principal: 'user:corp:1' }))),
  ],
  ['another key for the session', 'sessions', () => signed(report(only({ key: 'B'.repeat(43) })))],
  ['the key as a certificate', 'sessions', () => signed(report(only({ key: `x5t#S256:${JKT}` })))],
  ['a key that is none', 'sessions', () => signed(report(only({ key: 'A' })))],
  ['a session id too long', 'sessions', () => signed(report(only({ id: 'x'.repeat(257) })))],
  ['a workload too long', 'sessions', () => signed(report(named({ workload: 'x'.repeat(2049) })))],
  [
    'a principal too long',
    'sessions',
    () => signed(report(named({ principal: 'x'.repeat(2049) }))),
  ],
  ['too many actors', 'sessions', () => signed(report(only({ actors: Array(9).fill('a') })))],
  ['an actor that is no name', 'sessions', () => signed(report(only({ actors: [''] })))],
  ['actors that are no list', 'sessions', () => signed(report(only({ actors: {} })))],
  ['actions that are no list', 'sessions', () => signed(report(only({ actions: {} })))],
  ['an action that is nothing', 'sessions', () => signed(report(only({ actions: [null] })))],
  ['an action at a time in words', 'sessions', () => signed(report(only(worded())))],
  ['negative uses', 'sessions', () => signed(report(only({ spent: -1, refused: 2 })))],
  ['half a use', 'sessions', () => signed(report(only({ spent: 1.5 })))],
  ['refusals that are no number', 'sessions', () => signed(report(only({ refused: '1' })))],
  ['uses beyond counting', 'sessions', () => signed(report(only({ spent: 2 ** 52 })))],
  [
    'a session nothing happened in',
    'sessions',
    () => signed(report(only({ spent: 0, actions: [] }))),
  ],
  ['a last time to come', 'sessions', () => signed(report(only({ lastAt: seconds() + 12 })))],
  [
    'an end before the beginning',
    'sessions',
    () => signed(report(only({ firstAt: seconds() + 1, actions: [] }))),
  ],
  ['a time before all time', 'sessions', () => signed(report(only({ firstAt: -1 })))],
  [
    'more actions than happened',
    'sessions',
    () => signed(report(only({ spent: 0, refused: 1, actions: twice(2) }))),
  ],
  [
    'more actions than are kept',
    'sessions',
    () => signed(report(only({ spent: 30, actions: twice(21) }))),
  ],
  ['actions in the wrong order', 'sessions', () => signed(report(only({ spent: 2, ...turned() })))],
  ['an action before the first', 'sessions', () => signed(report(action({ at: 1 })))],
  ['an action after the last', 'sessions', () => signed(report(action({ at: seconds() })))],
  ['an action that issues', 'sessions', () => signed(report(action({ outcome: 'issued' })))],
  ['a task that is no label', 'sessions', () => signed(report(action({ task: 't'.repeat(3000) })))],
  ['argument values', 'sessions', () => signed(report(action({ arguments: {} })))],
  ['an action at another server', 'sessions', () => signed(report(action({ server: RESOURCE })))],
  ['an action that another saw', 'sessions', () => signed(report(action({ by: 'broker' })))],
  [
    'a reason for what was not refused',
    'sessions',
    () => signed(report(action({ reason: 'revoked' }))),
  ],
  ['a refusal without a reason', 'sessions', () => signed(report(action({ outcome: 'refused' })))],
  [
    'a reason in prose',
    'sessions',
    () => signed(report(action({ outcome: 'refused', reason: 'no no' }))),
  ],
  ['a method too long', 'sessions', () => signed(report(action({ method: 'm'.repeat(129) })))],
  ['a name too long', 'sessions', () => signed(report(action({ name: 'n'.repeat(1025) })))],
  ['a task too long', 'sessions', () => signed(report(action({ task: 't'.repeat(257) })))],
  ['a jti too long', 'sessions', () => signed(report(action({ jti: 'j'.repeat(129) })))],
  ['an address too long', 'sessions', () => signed(report(action({ address: 'a'.repeat(129) })))],
]

/** With the id that belongs to it, so that it is refused for itself. */
function named(change: { workload?: string; principal?: string }) {
  const { workload = AGENT, principal = AGENT } = change
  return only({ ...change, id: sessionId(workload, principal, { jkt: JKT }) })
}

function twice(times: number): JsonObject[] {
  const { actions } = session() as { actions: JsonObject[] }
  return Array(times).fill(actions[0])
}

function worded() {
  const at = seconds() - 1
  return { firstAt: at, lastAt: at, actions: [{ at: String(at), outcome: 'spent' }] }
}

function turned() {
  const lastAt = seconds() - 1
  const at = (each: number) => ({ at: each, outcome: 'spent' })
  return { firstAt: lastAt - 2, lastAt, actions: [at(lastAt - 1), at(lastAt)] }
}

for (const [what, check, make] of REFUSED) {
  test(`a report with ${what} is refused`, async () => {
    const { status, body } = await post(make())
    assert.equal(status, 400)
    assert.deepEqual(body, {
      error: 'invalid_request',
      error_description: 'the report was not accepted',
    })
    assert.equal(desk.records.length, 1)
    const [{ outcome, reason, evidence, door }] = desk.records as [(typeof desk.records)[0]]
    assert.deepEqual(
      { outcome, reason, evidence, door },
      {
        outcome: 'refused',
        reason: 'report_rejected',
        evidence: { check },
        door: 'reports',
      },
    )
    assert.equal(await desk.ledger.sessions!.get((session() as { id: string }).id), undefined)
    assert.deepEqual(await desk.ledger.documents!.list('holder', { limit: 10 }), [])
  })
}

test('what is no report at all is refused before it is read', async () => {
  const cases: [number, string, Record<string, string>][] = [
    [400, signed(report()), { 'content-type': 'application/json' }],
    [400, signed(report()), { 'content-encoding': 'gzip' }],
    [413, 'a'.repeat(256 * 1024 + 1), {}],
  ]
  for (const [status, body, headers] of cases) {
    assert.equal((await post(body, headers)).status, status)
  }
  assert.deepEqual(
    desk.records.map(({ reason }) => reason),
    ['request_malformed', 'request_malformed', 'request_too_large'],
  )
})

test('what a report says is kept under its client and holder, and nothing else of it', async () => {
  const { status, body } = await post(signed(report()))
  assert.deepEqual({ status, body }, { status: 200, body: { sequence: 1 } })
  const given = session() as unknown as JsonObject
  const found = await desk.ledger.sessions!.get(String(given.id))
  const { workload, principal, key, issued, spent, refused, tokensUntil, identity, servers } =
    found!.session
  assert.deepEqual(
    { workload, principal, key, issued, spent, refused, tokensUntil, identity, servers },
    {
      workload: AGENT,
      principal: AGENT,
      key: JKT,
      issued: 0,
      spent: 1,
      refused: 0,
      tokensUntil: 0,
      identity: undefined,
      servers: [RESOURCE],
    },
  )
  const [last] = found!.actions
  assert.deepEqual([last?.by, last?.server], ['notes/holder-of-a-test', RESOURCE])
  const [holder] = await desk.ledger.documents!.list('holder', { limit: 10 })
  const { id, client, server, kind, fresh, lost } = holder!.value
  assert.deepEqual(
    [id, client, server, kind, fresh, lost],
    ['holder-of-a-test', 'notes', RESOURCE, 'verifier', true, 0],
  )
  assert.deepEqual(desk.records, [])
})

test('a batch counts once, however often and in whichever report it comes', async () => {
  const change = { holder: 'holder-that-repeats' }
  const { id } = session() as { id: string }
  const spent = async () => (await desk.ledger.sessions!.get(id))?.session.spent ?? 0
  const start = await spent()
  const text = signed(report(change))
  for (const body of [text, text, signed(report(change))]) {
    assert.deepEqual((await post(body)).body, { sequence: 1 })
  }
  assert.equal((await spent()) - start, 1)
  await post(signed(report({ ...change, sequence: 2 })))
  assert.equal((await spent()) - start, 2)
  // The number of a batch that has been taken already takes no other.
  assert.equal((await post(signed(report({ ...change, sequence: 1 })))).status, 200)
  assert.equal((await spent()) - start, 2)
})

test('an old report sent again neither revives a holder nor takes back its word', async () => {
  const holder = 'holder-of-old-words'
  const heard = async () => {
    const all = await desk.ledger.documents!.list('holder', { limit: 10 })
    const { value } = all.find((each) => each.value.id === holder)!
    return { heard: value.heard, lastHeardAt: value.lastHeardAt }
  }
  const hearing = (at: number) => ({ hearing: { heard: { o: at }, fresh: true }, sessions: [] })
  const old = signed(report({ holder, ...hearing(1) }), { now: seconds() - 60 })
  assert.equal((await post(old)).status, 200)
  await post(signed(report({ holder, ...hearing(2) })))
  const now = await heard()
  assert.deepEqual(now.heard, { o: 2 })
  assert.equal((await post(old)).status, 200)
  assert.deepEqual(await heard(), now)
})

test('what a process left behind makes it no holder', async () => {
  const left = report({ holder: 'holder-that-ended', hearing: undefined })
  assert.equal((await post(signed(left))).status, 200)
  const all = await desk.ledger.documents!.list('holder', { limit: 100 })
  assert.ok(all.every(({ value }) => value.id !== 'holder-that-ended'))
})

test('a client whose id no store could keep reports like any other', async () => {
  const { clientId } = long.client
  const change = { clientId, key: { ...key, key: long.key, kid: `${clientId}-1` } }
  const mine = report({ holder: 'holder-of-the-long' })
  assert.deepEqual((await post(signed(mine, change))).body, { sequence: 1 })
})

test('a first time that no book keeps is moved to where books begin', async () => {
  const id = sessionId('old', AGENT, { jkt: JKT })
  const old = session({ workload: 'old', id, firstAt: 0, actions: [] })
  await post(signed(report({ holder: 'holder-of-the-old', sessions: [old] })))
  const found = await desk.ledger.sessions!.get(id)
  assert.ok(found!.session.firstSeen > seconds() - 31 * 86_400)
})

test('a report is refused with 503, and not half forgotten, while the store cannot be asked', async () => {
  const broken = await startDesk([notes.client])
  await broken.ledger.close()
  const response = await fetch(broken.url, {
    method: 'POST',
    headers: { 'content-type': 'application/jwt' },
    body: signed(report()),
  })
  assert.equal(response.status, 503)
  assert.equal(broken.records[0]?.reason, 'ledger_unavailable')
  await broken.close()
})
