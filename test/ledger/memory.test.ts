import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { isRefusal, ledgerContract } from './contract.ts'

ledgerContract('memory', async () => {
  const ledger = memoryLedger({ role: 'broker' })
  await ledger.open()
  return { ledger, binds: true, breakStore: () => ledger.close(), close: () => ledger.close() }
})

describe('the memory ledger', () => {
  it('refuses what was issued before, or in the second of, its start', async () => {
    let now = 1000.5
    const ledger = memoryLedger({ clock: () => now })
    now = 1001.2
    assert.equal(ledger.honoursFrom('a'), 1001)
    await assert.rejects(ledger.spend('a', 1060, 1000), isRefusal('token_before_epoch'))
    assert.equal(await ledger.spend('a', 1060, 1001), true)
  })

  it('counts in how far the clock of the issuer may be ahead', () => {
    const ledger = memoryLedger({ clock: () => 1000.5, clockToleranceSeconds: 2 })
    assert.equal(ledger.honoursFrom('a'), 1003)
  })

  it('forgets what has ended, and no sooner', async () => {
    let now = 1000
    const ledger = memoryLedger({ clock: () => now })
    await ledger.spend('a', 1060)
    now = 1064
    assert.equal(await ledger.spend('a', 1061), false)
    now = 1071
    assert.equal(await ledger.spend('a', 1090), true)
  })

  it('does not grow with what has ended', async () => {
    let now = 1000
    const ledger = memoryLedger({ clock: () => now })
    for (let n = 0; n < 200_000; n++) {
      now += 0.001
      await ledger.spend(`id${n}`, now + 1)
    }
    // 11 s of marks are live, 189 s are not; a second spend of an old one would find it.
    assert.equal(await ledger.spend('id1', now + 1), true)
    assert.equal(await ledger.spend('id199999', now + 1), false)
  })

  it('carries the feed for a broker only', () => {
    assert.equal(memoryLedger().feed, undefined)
    assert.notEqual(memoryLedger({ role: 'broker' }).feed, undefined)
  })
})
