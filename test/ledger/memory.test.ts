import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { isRefusal, ledgerContract } from './contract.ts'
import { updateOf } from './session-updates.ts'

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
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    let now = 1000
    const ledger = memoryLedger({ clock: () => now })
    const spendMany = async (from: number): Promise<number> => {
      for (let n = from; n < from + 100_000; n++) {
        now += 0.001
        await ledger.spend(`id${n}`, now + 1)
      }
      collect()
      return process.memoryUsage().heapUsed
    }
    const once = await spendMany(0)
    await spendMany(100_000)
    const thrice = await spendMany(200_000)
    // Some 11,000 marks are live at any time; 200,000 more would take over 20 MB.
    assert.ok(thrice - once < 8e6, `grew by ${thrice - once} bytes`)
  })

  it('does not keep documents and sessions that are over', async () => {
    let now = 1000
    const { documents, sessions } = memoryLedger({ role: 'broker', clock: () => now })
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const writeMany = async (from: number): Promise<number> => {
      for (let n = from; n < from + 10_000; n++) {
        now += 1
        await documents?.put('a', `id${n}`, { n }, { expiresAt: now + 100, group: `g${n}` })
        const seen = updateOf(`s${n}`, { lastAt: now - 30 * 86_400 + 100 })
        await sessions?.apply('a', n, [seen])
      }
      collect()
      return process.memoryUsage().heapUsed
    }
    now += 30 * 86_400
    const once = await writeMany(0)
    const twice = await writeMany(10_000)
    // 10,000 of both take over 10 MB.
    assert.ok(twice - once < 3e6, `grew by ${twice - once} bytes`)
  })

  it('carries the feed for a broker only', () => {
    assert.equal(memoryLedger().feed, undefined)
    assert.notEqual(memoryLedger({ role: 'broker' }).feed, undefined)
  })

  it('no ledger of a verifier has documents or sessions', () => {
    const url = 'redis://127.0.0.1:1'
    for (const ledger of [
      memoryLedger(),
      sqliteLedger({ file: 'never-opened.db' }),
      redisLedger({ url, role: 'verifier', resource: 'https://mcp.example/mcp' }),
    ]) {
      assert.deepEqual([ledger.documents, ledger.sessions], [undefined, undefined])
    }
  })
})
