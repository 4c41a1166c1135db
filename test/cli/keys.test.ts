import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory, writ } from './writ.ts'

test('keys new makes a key that only its owner can read, and never another over it', async (t) => {
  const cwd = await temporaryDirectory(t)
  const first = await writ(['keys', 'new', '--directory', 'keys', '--json'], { cwd })
  assert.equal(first.code, 0)
  assert.equal((first.json().key as { state: string }).state, 'signing')
  for (const name of await readdir(join(cwd, 'keys'))) {
    const file = join(cwd, 'keys', name)
    const isSecret = /PRIVATE KEY|"d":/.test(await readFile(file, 'utf8'))
    if (isSecret) assert.equal((await stat(file)).mode & 0o077, 0)
    assert.ok(!first.stdout.includes(await readFile(file, 'utf8')))
  }
  const again = await writ(['keys', 'new', '--directory', 'keys'], { cwd })
  assert.equal(again.code, 2)
  assert.match(again.stderr, /already: use writ keys rotate/)
})

test('keys rotate publishes first and signs later', async (t) => {
  const cwd = await temporaryDirectory(t)
  await writ(['keys', 'new', '--directory', 'keys'], { cwd })
  const next = await writ(['keys', 'rotate', '--directory', 'keys', '--publish', '2m', '--json'], {
    cwd,
  })
  const key = next.json().key as { state: string; publishedAt: number; signsFrom: number }
  assert.equal(key.state, 'published')
  assert.equal(key.signsFrom - key.publishedAt, 120)
  assert.equal((await writ(['keys', 'rotate', '--directory', 'keys'], { cwd })).code, 2)
})
