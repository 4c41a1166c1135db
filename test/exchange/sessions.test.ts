// What an exchange tells the book of sessions, and that the book never decides anything.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { Broker } from '../../src/exchange/broker.ts'
import { exchange } from '../../src/exchange/exchange.ts'
import { identityOf } from '../../src/exchange/trail.ts'
import type { Workload } from '../../src/identity/workload.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { SessionIdentity } from '../../src/ledger/session-book.ts'
import { createSessionRecorder } from '../../src/sessions/recorder.ts'
import { asking, claimsOf, detailsOf, handingOn, type Rig, startRig } from './rig.ts'

let rig: Rig
before(async () => {
  rig = await startRig()
})
after(() => rig?.close())

type Noted = readonly [AuditRecord, SessionIdentity | undefined]

function noting(parts: Partial<Broker> = {}) {
  const noted: Noted[] = []
  const order: string[] = []
  const broker: Broker = {
    ...rig.broker,
    audit: {
      async record(record) {
        await rig.broker.audit.record(record)
        order.push('record')
      },
    },
    sessions: {
      note(record, identity) {
        order.push('note')
        noted.push([record, identity])
      },
    },
    ...parts,
  }
  return { broker, noted, order }
}

test('what was issued or refused is noted after it was recorded, with the proof of identity', async () => {
  const { broker, noted, order } = noting()
  const agent = rig.party('noted')
  const granted = await exchange(await asking(agent), broker)
  await assert.rejects(exchange(await asking(agent, { details: detailsOf('close') }), broker))
  assert.deepEqual(order, ['record', 'note', 'record', 'note'])
  const [[issued, identity], [refused]] = noted as [Noted, Noted]
  assert.equal(issued.session, claimsOf(granted).sid)
  assert.equal(issued.jti, granted.jti)
  assert.equal(refused.reason, 'policy_denied')
  assert.equal(refused.session, issued.session)
  const { kind, issuer, endsAt } = identity!
  assert.deepEqual([kind, issuer], ['spiffe', 'corp.test'])
  assert.ok(endsAt > Date.now() / 1000)
})

test('a delegation is noted as well; what nobody was proved for is not', async () => {
  const { broker, noted } = noting()
  const [agent, next] = [rig.party('first'), rig.party('next')]
  await exchange(await handingOn(agent, next), broker)
  assert.deepEqual(
    noted.map(([{ kind, outcome }]) => [kind, outcome]),
    [['delegation', 'issued']],
  )
  await assert.rejects(exchange(await asking(agent, { proofHeaders: [] }), broker))
  await assert.rejects(exchange(await asking(agent, { subject: undefined }), broker))
  assert.equal(noted.length, 1)
})

test('a book that fails changes no answer', async () => {
  const sessions = {
    note() {
      throw new Error('the book is broken')
    },
  }
  const { broker } = noting({ sessions })
  const agent = rig.party('unharmed')
  assert.ok((await exchange(await asking(agent), broker)).token)
  const close = asking(agent, { details: detailsOf('close') })
  await assert.rejects(exchange(await close, broker), { message: 'policy_denied' })
})

test('what could not be recorded is not noted', async () => {
  const audit = { record: () => Promise.reject(new Error('disk full')) }
  const { broker, noted } = noting({ audit })
  await assert.rejects(exchange(await asking(rig.party('unrecorded')), broker))
  assert.deepEqual(noted, [])
})

test('an identity as large as a proof can make it is one that the book takes', async () => {
  const large = 'ü'.repeat(100_000)
  const first = { team: 'billing' }
  const attributes = Object.fromEntries(
    Array.from({ length: 500 }, (_, n) => [`claim${n}`, n % 2 ? large : Array(500).fill(large)]),
  )
  const workload = {
    kind: 'oidc',
    issuer: 'ci',
    expiresAt: 2e9,
    attributes: { ...first, ...attributes },
  } as unknown as Workload
  const { sessions } = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 })
  const errors: unknown[] = []
  const recorder = createSessionRecorder({
    book: sessions!,
    origin: 'o',
    onError: (error) => errors.push(error),
  })
  const record = { time: new Date().toISOString(), door: 'token-exchange', outcome: 'issued' }
  const about = { workload: 'oidc:ci:a', principal: 'oidc:ci:a', session: 's', key: 'k' }
  recorder.note({ ...record, ...about } as AuditRecord, identityOf(workload))
  await recorder.close()
  assert.deepEqual(errors, [])
  assert.equal((await sessions!.get('s'))?.session.identity?.attributes.team, 'billing')
})

const shown = (attributes: Record<string, unknown>) =>
  identityOf({ kind: 'oidc', issuer: 'ci', expiresAt: 2e9, attributes } as unknown as Workload)
    .attributes
const many = <T>(length: number, each: (n: number) => T): T[] =>
  Array.from({ length }, (_, n) => each(n))

test('of an identity 32 attributes are shown, of each 16 values, and 512 characters of each', () => {
  const attributes = shown(Object.fromEntries(many(40, (n) => [`a${n}`, `${n}`])))
  assert.deepEqual(
    Object.keys(attributes),
    many(32, (n) => `a${n}`),
  )
  assert.equal(shown({ groups: many(20, (n) => `${n}`) }).groups?.length, 16)
  assert.deepEqual(shown({ long: 'x'.repeat(600) }), { long: `${'x'.repeat(512)}…` })
  assert.deepEqual(shown({ half: 'a\ud83d', other: 7 }), { half: 'a\ufffd', other: '7' })
})

test('of an identity 12 KiB are shown, in bytes, and never a part of an attribute', () => {
  for (const letter of ['x', 'ü', '語']) {
    const attributes = shown(Object.fromEntries(many(32, (n) => [`a${n}`, letter.repeat(500)])))
    const sizes = Object.entries(attributes).map((each) => Buffer.byteLength(JSON.stringify(each)))
    const bytes = sizes.reduce((sum, each) => sum + each, 0)
    assert.ok(bytes <= 12 * 1024 && bytes + Math.max(...sizes) + 2 > 12 * 1024, letter)
    assert.ok(Object.values(attributes).every((value) => value.length === 500))
  }
})
