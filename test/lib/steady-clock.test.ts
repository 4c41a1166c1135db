import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { steadyClock } from '../../src/lib/steady-clock.ts'

test('what was spent stays spent when the wall clock jumps ahead and back', async () => {
  let wall = 1_000_000
  let passedMs = 0
  const clock = steadyClock(
    () => wall,
    () => passedMs,
  )
  const ledger = memoryLedger({ clock })
  assert.equal(await ledger.spend('a', wall + 60), true)
  wall += 3600
  passedMs += 1000
  for (let other = 0; other < 50; other += 1) await ledger.spend(`b${other}`, wall + 60)
  wall -= 3600
  assert.equal(await ledger.spend('a', wall + 60), false)
})

test('a wall clock that is put back is followed, and so is time that passes', () => {
  let wall = 1_000_000
  let passedMs = 0
  const clock = steadyClock(
    () => wall,
    () => passedMs,
  )
  wall -= 3600
  assert.equal(clock(), 1_000_000 - 3600)
  wall += 3600 + 90
  passedMs += 90_000
  assert.equal(clock(), 1_000_090)
})

test('the stores of one process forget by it', async () => {
  for (const file of ['memory.ts', 'sqlite.ts']) {
    const { readFile } = await import('node:fs/promises')
    const text = await readFile(new URL(`../../src/ledger/${file}`, import.meta.url), 'utf8')
    assert.match(text, /options\.clock \?\? steadyClock\(\)/, file)
  }
})
