import assert from 'node:assert/strict'
import { test } from 'node:test'
import { purger } from '../../src/ledger/sqlite-purge.ts'

/** Something to drop at each of these times (seconds), and when it was looked for. */
function rows(times: number[]) {
  const looked: number[] = []
  const drop = (now: number, atMost: number) => {
    looked.push(now)
    const over = times.filter((time) => time <= now).slice(0, atMost)
    for (const time of over) times.splice(times.indexOf(time), 1)
    return over.length
  }
  return { times, looked, purge: purger(drop, 2) }
}

test('a part is dropped in each commit until nothing is left, then nothing is looked for', () => {
  const { times, looked, purge } = rows([1, 1, 1, 9])
  for (const now of [1, 1.1, 1.2, 1.9]) purge(now)
  assert.deepEqual([times, looked], [[9], [1, 1.1]])
  purge(2.2)
  purge(9)
  assert.deepEqual([times, looked], [[], [1, 1.1, 2.2, 9]])
})

test('a clock that is set back does not stop the dropping', () => {
  const { times, purge } = rows([5])
  purge(1000)
  times.push(7)
  purge(8)
  assert.deepEqual(times, [])
})
