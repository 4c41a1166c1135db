import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBundles } from '../../src/identity/bundles.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { temporaryDirectory, writ } from './writ.ts'

const AUDIENCE = 'http://127.0.0.1:4470'
const ISSUE = ['identity', 'dev', '--audience', AUDIENCE]

test('an SVID goes into a pipe alone, and a second one comes from the same domain', async (t) => {
  const cwd = await temporaryDirectory(t)
  const first = await writ([...ISSUE, '--path', '/agents/a'], { cwd })
  const second = await writ([...ISSUE, '--path', '/agents/b'], { cwd })
  const file = join(cwd, 'keys/development/dev.test/bundle.json')
  const bundles = await openBundles([{ trustDomain: 'dev.test', file }])
  t.after(() => bundles.close())
  const prover = createJwtSvidProver({ bundles, audience: AUDIENCE })
  const now = Date.now() / 1000
  assert.equal(prover.prove(first.stdout.trim(), now).id, 'spiffe://dev.test/agents/a')
  assert.equal(prover.prove(second.stdout.trim(), now).id, 'spiffe://dev.test/agents/b')
  assert.match(first.stderr, /for development only/)
})

test('an SVID in a file is its owner’s alone, and replaces nothing', async (t) => {
  const cwd = await temporaryDirectory(t)
  const ended = await writ([...ISSUE, '--output', 'svid.jwt', '--json'], { cwd })
  assert.equal(ended.code, 0)
  assert.equal(ended.json().id, 'spiffe://dev.test/agents/dev')
  const svid = await readFile(join(cwd, 'svid.jwt'), 'utf8')
  assert.equal((await stat(join(cwd, 'svid.jwt'))).mode & 0o777, 0o600)
  assert.ok(!ended.stdout.includes(svid.split('.')[2] ?? ''))
  assert.equal((await writ([...ISSUE, '--output', 'svid.jwt'], { cwd })).code, 2)
})

const REFUSED: readonly (readonly [string, readonly string[]])[] = [
  ['a trust domain that could be real', ['--trust-domain', 'corp.com']],
  ['a path that is none', ['--path', 'agents']],
  ['a duration that is none', ['--lifetime', 'long']],
  ['JSON and a credential in one output', ['--json']],
]
for (const [name, args] of REFUSED) {
  test(`refused: ${name}`, async (t) => {
    const { code, stdout } = await writ([...ISSUE, ...args], { cwd: await temporaryDirectory(t) })
    assert.equal(code, 2)
    assert.ok(!stdout.includes('eyJ'))
  })
}

test('a credential is never shown on a screen', async (t) => {
  const screen = encodeURIComponent('process.stdout.isTTY = true')
  const nodeArguments = ['--import', `data:text/javascript,${screen}`]
  const cwd = await temporaryDirectory(t)
  const { code, stdout, stderr } = await writ(ISSUE, { cwd, nodeArguments })
  assert.equal(code, 2)
  assert.equal(stdout, '')
  assert.match(stderr, /writ: hint: give --output <file>, or pipe/)
})
