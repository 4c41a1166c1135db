/** What `/readyz` says: each thing that an exchange needs, by its name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { readinessOf } from '../../src/server/health.ts'
import type { BrokerParts, Check } from '../../src/server/parts.ts'
import { until } from '../support/redis.ts'
import { seconds } from './fixture.ts'

const down = (): never => {
  throw new Error('down')
}

/** A broker's parts as far as they are asked, all of them well but for what is changed. */
function scene(change: Record<string, unknown> = {}, checks: Record<string, Check> = {}) {
  const memory = memoryLedger({ role: 'broker', clock: seconds })
  let asked = 0
  const spend: typeof memory.spend = (...spent) => {
    asked += 1
    return memory.spend(...spent)
  }
  const { ledger = { spend }, revocations = { fresh: true } } = change
  const { keys = { current: () => ({}) }, audit = {} } = change
  const parts = { broker: { ledger, audit }, revocations, keys, checks } as unknown as BrokerParts
  return { ready: readinessOf(parts, seconds), asked: () => asked }
}

const failing: [string, string, Record<string, unknown>, Record<string, Check>?][] = [
  ['store', 'finds everything spent', { ledger: { spend: async () => false } }],
  ['store', 'cannot be asked', { ledger: { spend: async () => down() } }],
  ['feed', 'is silent', { revocations: { fresh: false } }],
  ['keys', 'do not sign yet', { keys: { current: down } }],
  ['keys', 'are none', { keys: { current: () => undefined } }],
  ['audit', 'cannot be written', { audit: { failure: 'no space' } }],
  ['policy', 'says no', {}, { policy: () => false }],
  ['trust', 'says what is wrong', {}, { trust: () => 'no bundle' }],
  ['certificate', 'throws', {}, { certificate: async () => down() }],
]
for (const [name, what, change, checks] of failing) {
  test(`a broker is not ready, and says so, when of what it needs this fails: ${name}, ${what}`, async () => {
    const { ready, checks: said } = await scene(change, checks).ready()
    assert.equal(ready, false)
    const wrong = Object.keys(said).filter((each) => said[each] === 'failing')
    assert.deepEqual(wrong, [name])
  })
}

test('all is well: every check by name, and one that says nothing is one that passes', async () => {
  const { ready } = scene({}, { policy: () => undefined })
  const checks = { store: 'ok', feed: 'ok', keys: 'ok', audit: 'ok', policy: 'ok' }
  assert.deepEqual(await ready(), { ready: true, checks })
})

test('what does not answer is failing, and holds up nobody', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const asking = scene({ ledger: { spend: () => new Promise(() => undefined) } }).ready()
  t.mock.timers.tick(2_000)
  const { ready, checks } = await asking
  assert.deepEqual([ready, checks.store, checks.feed], [false, 'failing', 'ok'])
})

test('however often it is asked, the store is asked once in a while, and again', async () => {
  const { ready, asked } = scene()
  await Promise.all([ready(), ready(), ready()])
  assert.equal(asked(), 1)
  await until(async () => (await ready()).ready && asked() > 1)
})
