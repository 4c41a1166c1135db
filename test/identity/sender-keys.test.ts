import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSenderKeys } from '../../src/identity/sender-keys.ts'
import { proven } from '../../src/identity/workload.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { Refusal } from '../../src/refusal.ts'

const NOW = Math.floor(Date.now() / 1000)

function workload(credential: string, expiresAt = NOW + 300) {
  const id = 'spiffe://corp.test/a'
  return proven({ id, kind: 'spiffe', issuer: 'corp.test', expiresAt, credential, attributes: {} })
}

// One ledger for all: opening one takes up to a second. Each test has SVIDs of its own.
const shared = memoryLedger()
await shared.open()
let tests = 0

function counted() {
  tests += 1
  const prefix = `test-${tests}-`
  let asked = 0
  const bind = (id: string, value: string, expiresAt: number) => {
    asked += 1
    return shared.bind(`${prefix}${id}`, value, expiresAt)
  }
  return { ledger: { bind }, asked: () => asked }
}

test('the first key of an SVID is first, then known', async () => {
  const { ledger } = counted()
  const keys = createSenderKeys({ ledger, onSecondKey: 'record' })
  assert.equal(await keys.check(workload('a'), 'key-1', NOW), 'first')
  assert.equal(await keys.check(workload('a'), 'key-1', NOW), 'known')
  assert.equal(await keys.check(workload('b'), 'key-2', NOW), 'first')
})

test('record: a second key is told once and goes on', async () => {
  const { ledger } = counted()
  const keys = createSenderKeys({ ledger, onSecondKey: 'record' })
  await keys.check(workload('a'), 'key-1', NOW)
  assert.equal(await keys.check(workload('a'), 'key-2', NOW), 'second')
  assert.equal(await keys.check(workload('a'), 'key-2', NOW), 'known')
  assert.equal(await keys.check(workload('a'), 'key-3', NOW), 'second')
})

test('refuse: a second key is refused, each time, and the first goes on', async () => {
  const { ledger } = counted()
  const keys = createSenderKeys({ ledger, onSecondKey: 'refuse' })
  await keys.check(workload('a'), 'key-1', NOW)
  for (let time = 0; time < 2; time += 1) {
    await assert.rejects(
      keys.check(workload('a'), 'key-2', NOW),
      (error) => error instanceof Refusal && error.reason.code === 'identity_key_changed',
    )
  }
  assert.equal(await keys.check(workload('a'), 'key-1', NOW), 'known')
})

test('another process sees which key was first', async () => {
  const { ledger } = counted()
  const here = createSenderKeys({ ledger, onSecondKey: 'refuse' })
  const there = createSenderKeys({ ledger, onSecondKey: 'refuse' })
  await here.check(workload('a'), 'key-1', NOW)
  await assert.rejects(there.check(workload('a'), 'key-2', NOW), Refusal)
})

test('of many keys at once, exactly one is first', async () => {
  const { ledger } = counted()
  const processes = Array.from({ length: 4 }, () =>
    createSenderKeys({ ledger, onSecondKey: 'refuse' }),
  )
  const answers = await Promise.allSettled(
    Array.from({ length: 40 }, (_, index) =>
      processes[index % 4]?.check(workload('a'), `key-${index}`, NOW),
    ),
  )
  assert.equal(answers.filter(({ status }) => status === 'fulfilled').length, 1)
})

test('after the first sight, the store is not asked again', async () => {
  const { ledger, asked } = counted()
  const keys = createSenderKeys({ ledger, onSecondKey: 'record' })
  for (let time = 0; time < 10; time += 1) await keys.check(workload('a'), `key-${time % 2}`, NOW)
  assert.equal(asked(), 1)
})

test('when the store cannot be asked, there is no answer', async () => {
  const ledger = {
    bind: () => Promise.reject(new Refusal({ code: 'ledger_unavailable', detail: '' })),
  }
  const keys = createSenderKeys({ ledger, onSecondKey: 'record' })
  await assert.rejects(keys.check(workload('a'), 'key-1', NOW), Refusal)
})

test('keys that come at the same time are all remembered', async () => {
  const { ledger } = counted()
  await createSenderKeys({ ledger, onSecondKey: 'record' }).check(workload('a'), 'key-1', NOW)
  const here = createSenderKeys({ ledger, onSecondKey: 'record' })
  const both = () => Promise.all(['key-2', 'key-3'].map((k) => here.check(workload('a'), k, NOW)))
  assert.deepEqual(await both(), ['second', 'second'])
  assert.deepEqual(await both(), ['known', 'known'])
})

test('memory answers no longer than the SVID lives', async () => {
  let asked = 0
  const ledger = {
    bind: async (_id: string, value: string) => {
      asked += 1
      return value
    },
  }
  const keys = createSenderKeys({ ledger, onSecondKey: 'record' })
  await keys.check(workload('a', NOW + 10), 'key-1', NOW)
  await keys.check(workload('a', NOW + 10), 'key-1', NOW + 10)
  assert.equal(asked, 2)
})
