import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { randomId } from '../../src/lib/random-id.ts'

test('an id is 128 bits in base64url', () => {
  for (let i = 0; i < 1000; i++) assert.match(randomId(), /^[A-Za-z0-9_-]{21}[AQgw]$/)
})

test('no id comes twice, in any thread, over many fillings of the pool', async () => {
  const program = `
    import { parentPort } from 'node:worker_threads'
    import { randomId } from ${JSON.stringify(import.meta.resolve('../../src/lib/random-id.ts'))}
    parentPort.postMessage(Array.from({ length: 5000 }, randomId))`
  const others = [1, 2].map(
    () =>
      new Promise<string[]>((resolve, reject) => {
        const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`)
        new Worker(url).once('message', resolve).once('error', reject)
      }),
  )
  const mine = Array.from({ length: 5000 }, randomId)
  const all = [mine, ...(await Promise.all(others))].flat()
  assert.equal(new Set(all).size, 15_000)
})

test('each bit is set about half of the time', () => {
  const set = new Array<number>(128).fill(0)
  const times = 4000
  for (let i = 0; i < times; i++) {
    const bytes = Buffer.from(randomId(), 'base64url')
    for (let bit = 0; bit < 128; bit++) if (bytes[bit >> 3]! & (1 << (bit & 7))) set[bit]! += 1
  }
  // Ten standard deviations: no generator fails this by chance.
  for (const count of set) assert.ok(Math.abs(count - times / 2) < 5 * Math.sqrt(times), `${count}`)
})
