import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seldom } from '../../src/cli/feed.ts'

test('the same trouble is one line a minute, much other trouble few, and all of it again after that', (t) => {
  let at = 0
  t.mock.method(performance, 'now', () => at)
  const lines: string[] = []
  const log = seldom((line) => lines.push(line))
  for (const line of ['a', 'b', 'a']) log(line)
  assert.deepEqual(lines, ['a', 'b'])
  for (let n = 0; n < 1000; n += 1) log(`${n}`)
  assert.equal(lines.length, 20)
  at = 60_000
  log('a')
  assert.equal(lines.at(-1), 'a')
  assert.equal(lines.length, 21)
})
