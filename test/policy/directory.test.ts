import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readDirectory, readPolicies, stampOf } from '../../src/policy/directory.ts'
import { folderWith } from './open.ts'

const PERMIT = 'permit (principal, action, resource);'
const SWAP = fileURLToPath(new URL('./swap-files.ts', import.meta.url))

test('what is no set of policies is an error that names what is wrong, and stays one', async (t) => {
  const cases: readonly [string, (at: (name: string) => string) => unknown, RegExp][] = [
    ['a link to nothing', (at) => symlink('gone', at('z.cedar')), /ENOENT.*z\.cedar/],
    ['a link to itself', (at) => symlink('z.cedar', at('z.cedar')), /ELOOP.*z\.cedar/],
    ['a directory', (at) => mkdir(at('z.cedar')), /z\.cedar is no file/],
    ['a pipe', (at) => execFileSync('mkfifo', [at('z.cedar')]), /z\.cedar is no file/],
    ['an empty file', (at) => writeFile(at('z.cedar'), ' \n'), /z\.cedar is empty/],
    ['no text', (at) => writeFile(at('z.cedar'), Buffer.from([0xff])), /z\.cedar is not UTF-8/],
    [
      'too much text',
      async (at) => {
        await writeFile(at('z.cedar'), PERMIT)
        await truncate(at('z.cedar'), 8 * 1024 * 1024)
      },
      /z\.cedar is too large/,
    ],
    [
      'a file that may not be read',
      async (at) => {
        await writeFile(at('z.cedar'), PERMIT)
        await chmod(at('z.cedar'), 0)
      },
      process.getuid?.() === 0 ? /never: root reads all/ : /EACCES.*z\.cedar/,
    ],
  ]
  for (const [what, make, words] of cases) {
    if (words.source.startsWith('never')) continue
    const directory = await folderWith(t, { 'a.cedar': PERMIT })
    await make((name) => join(directory, name))
    await assert.rejects(readPolicies(directory), words, what)
    const { stamp } = await readDirectory(directory)
    assert.equal(stamp, await stampOf(directory), `${what}: said once, as it does not change`)
  }
})

test('what an editor keeps beside a file is no policy', async (t) => {
  const directory = await folderWith(t, { 'a.cedar': PERMIT, '.a.cedar': '', 'a.cedar~': '' })
  await symlink('somebody@host.1', join(directory, '.#a.cedar'))
  assert.deepEqual(await readPolicies(directory), [{ name: 'a.cedar', text: PERMIT }])
})

test('of a directory that another process keeps changing, only whole states are read', async (t) => {
  let stop = async () => {}
  t.after(() => stop())
  const directory = await folderWith(t, {})
  const child = spawn(process.execPath, [SWAP, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  stop = async () => {
    if (child.kill('SIGKILL')) await once(child, 'exit')
  }
  await once(child.stdout, 'data')
  const states = new Set<string>()
  let restless = 0
  while (states.size < 25) {
    assert.equal(child.exitCode, null)
    const reading = await readDirectory(directory)
    if ('problem' in reading) {
      assert.match(reading.problem.message, /keeps changing while it is read/)
      assert.equal(reading.stamp, '')
      restless++
      continue
    }
    const [a, b, c] = reading.files
    assert.equal(a?.text, b?.text)
    // It comes after the others in each round, and goes as late.
    if (c !== undefined) assert.ok(Number(a?.text.slice(3)) - Number(c.text.slice(3)) <= 1)
    states.add(String(a?.text))
  }
  assert.ok(restless < states.size, `given up ${restless} times`)
})
