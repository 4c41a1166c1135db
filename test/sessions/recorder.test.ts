// The broker's own word in the book: written later, once, and never in the way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import type { SessionBook } from '../../src/ledger/session-book.ts'
import { refuse } from '../../src/refusal.ts'
import { createSessionRecorder } from '../../src/sessions/recorder.ts'
import { until } from '../support/redis.ts'

const record = (change: Partial<AuditRecord> = {}): AuditRecord => ({
  time: new Date().toISOString(),
  door: 'token-exchange',
  outcome: 'issued',
  workload: 'spiffe://a.example/b',
  principal: 'spiffe://a.example/b',
  session: 's',
  key: 'k',
  server: 'https://mcp.example/mcp',
  jti: 'j',
  expiresAt: 2_000_000_000,
  ...change,
})
const identity = { kind: 'spiffe', issuer: 'a.example', attributes: { path: '/b' }, endsAt: 2e9 }

function open(
  everyMs = 60_000,
  wrap: (book: SessionBook) => Pick<SessionBook, 'apply'> = (b) => b,
) {
  const { sessions } = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 })
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const recorder = createSessionRecorder({ book: wrap(sessions!), origin: 'o', everyMs, onError })
  return { recorder, book: sessions!, errors }
}

test('what is issued and refused is in the book a moment later', async () => {
  const { recorder, book } = open(10)
  recorder.note(record(), identity)
  recorder.note(record({ outcome: 'refused', reason: 'policy_denied', jti: undefined as never }))
  await until(async () => (await book.get('s')) !== undefined)
  const { session, actions } = (await book.get('s'))!
  assert.deepEqual(
    [session.issued, session.spent, session.refused, session.tokensUntil, session.identity],
    [1, 0, 1, 2_000_000_000, identity],
  )
  assert.deepEqual(
    actions.map(({ outcome, by }) => [outcome, by]),
    [
      ['refused', 'broker'],
      ['issued', 'broker'],
    ],
  )
  await recorder.close()
})

test('what is not known to belong to a session is not noted', async () => {
  const { recorder, book, errors } = open()
  for (const missing of ['session', 'key', 'workload', 'principal'] as const) {
    const { [missing]: _, ...rest } = record()
    recorder.note(rest as AuditRecord)
  }
  recorder.note(record({ outcome: 'event', reason: 'identity_second_key' }))
  await recorder.flush()
  assert.deepEqual(await book.list({ limit: 10 }), [])
  assert.deepEqual(errors, [], 'nor tried to be written')
  await recorder.close()
})

test('a closed recorder has written everything', async () => {
  const sizes: number[] = []
  const { recorder, book } = open(60_000, (real) => ({
    apply(source, sequence, updates) {
      sizes.push(updates.length)
      return real.apply(source, sequence, updates)
    },
  }))
  for (let n = 0; n < 2000; n++) recorder.note(record({ session: `s${n}` }))
  await recorder.close()
  assert.deepEqual(sizes, [500, 500, 500, 500], 'in parts that a store takes at once')
  assert.equal((await book.list({ limit: 1000 })).length, 1000)
  assert.equal((await book.get('s1999'))?.session.issued, 1)
})

test('while the store is away everything is kept, and then counts once', async () => {
  let away = true
  const { recorder, book, errors } = open(5, (real) => ({
    async apply(...batch) {
      // Kept, and the confirmation lost: the worst that can happen.
      await real.apply(...batch)
      if (away) refuse({ code: 'ledger_unavailable', detail: 'a test' })
    },
  }))
  recorder.note(record())
  await until(() => errors.length > 2)
  recorder.note(record())
  await assert.rejects(recorder.flush())
  away = false
  await recorder.close()
  assert.equal((await book.get('s'))?.session.issued, 2)
})

test('a session that the book can never take keeps no other out of it', async () => {
  const { recorder, book, errors } = open()
  recorder.note(record({ session: 'not an id' }))
  recorder.note(record())
  await recorder.close()
  assert.equal((await book.get('s'))?.session.issued, 1)
  assert.equal(errors.length, 1)
})

test('flushes at one time write each thing once', async () => {
  const applied: number[] = []
  const { recorder, book } = open(60_000, (real) => ({
    async apply(source, sequence, updates) {
      applied.push(sequence)
      await new Promise((resolve) => setTimeout(resolve, 5))
      await real.apply(source, sequence, updates)
    },
  }))
  recorder.note(record())
  const first = recorder.flush()
  await until(() => applied.length === 1)
  recorder.note(record())
  await Promise.all([first, recorder.flush(), recorder.flush()])
  assert.deepEqual(applied, [1, 2])
  assert.equal((await book.get('s'))?.session.issued, 2)
  await recorder.close()
})

test('a flush writes what one that was under way could not', async () => {
  const begun = Promise.withResolvers<void>()
  const failing = Promise.withResolvers<void>()
  let times = 0
  const { recorder, book } = open(60_000, (real) => ({
    async apply(...batch) {
      times += 1
      if (times === 1) {
        begun.resolve()
        await failing.promise
        refuse({ code: 'ledger_unavailable', detail: 'a test' })
      }
      await real.apply(...batch)
    },
  }))
  recorder.note(record())
  const first = assert.rejects(recorder.flush())
  await begun.promise
  const second = recorder.flush()
  failing.resolve()
  await Promise.all([first, second])
  assert.equal((await book.get('s'))?.session.issued, 1)
  await recorder.close()
})
