import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { writ } from './writ.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

test('a reader that stops reading is no error', async () => {
  const child = spawn(process.execPath, [main, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.destroy()
  let stderr = ''
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  assert.equal(stderr.includes('EPIPE'), false, stderr)
  assert.equal(code, 0)
})

test('an answer that cannot be written is one line and no "no", and the side that cannot be read changes nothing', {
  skip: process.platform !== 'linux' && 'needs /dev/full',
}, async () => {
  await using full = await open('/dev/full', 'w')
  for (const args of [['--version'], ['token', 'inspect', 'nowhere', '--json']]) {
    const { code, stderr } = await writ(args, { cwd: tmpdir(), stdout: full.fd })
    assert.equal(code, 3)
    assert.equal(stderr, 'writ: error: the answer cannot be written (ENOSPC)\n')
  }
  const child = spawn(process.execPath, [main, 'keys'], { stdio: ['ignore', 'pipe', full.fd] })
  const [code] = await once(child, 'close')
  assert.equal(code, 2)
})
