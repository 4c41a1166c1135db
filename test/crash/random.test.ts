/**
 * kill -9 of the broker at many random moments under load. Under CI it is killed 200 times, otherwise
 * fewer, because each start takes half a second of a core; `CRASH_KILLS` says how often.
 */
import assert from 'node:assert/strict'
import { after, before, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lineage, load, makeLineage } from './lineage.ts'

const KILLS = Number(process.env.CRASH_KILLS ?? (process.env.CI ? 200 : 60))

let lineages: Lineage[]
before(async () => {
  // Two, because half of a kill is waiting.
  lineages = await Promise.all([makeLineage(), makeLineage()])
})
after(() => Promise.all(lineages.map((lineage) => lineage.close())))

/** @returns how many tokens were received meanwhile */
async function killAtRandom(lineage: Lineage, kills: number): Promise<number> {
  const first = lineage.received.length
  await lineage.start({})
  let longestMs = 60
  for (let kill = 0; kill < kills; kill++) {
    const { broker } = lineage
    const since = lineage.received.length
    const loaded = load(lineage)
    await sleep(Math.random() * longestMs)
    broker?.child.kill('SIGKILL')
    await loaded
    await lineage.start({})
    await lineage.check(since)
    // A busy machine has less done in the same time.
    const behind = lineage.received.length - first < 2 * (kill + 1)
    if (behind) longestMs = Math.min(longestMs * 1.5, 2000)
  }
  await lineage.broker?.stop('SIGKILL')
  return lineage.received.length - first
}

it(`kill -9 of the broker at ${KILLS} random moments loses nothing that was acknowledged`, {
  timeout: 900_000,
}, async (t) => {
  const kills = Math.ceil(KILLS / lineages.length)
  const tokens = await Promise.all(lineages.map((lineage) => killAtRandom(lineage, kills)))
  const received = tokens.reduce((sum, count) => sum + count, 0)
  t.diagnostic(`${received} tokens were received, each with its record`)
  assert.ok(received > KILLS, 'there was load')
})
