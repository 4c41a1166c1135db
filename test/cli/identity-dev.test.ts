import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
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
  const ended = await writ([...ISSUE, '--output', 'var/new/svid.jwt', '--json'], { cwd })
  assert.equal(ended.code, 0)
  assert.equal(ended.json().id, 'spiffe://dev.test/agents/dev')
  const svid = await readFile(join(cwd, 'var/new/svid.jwt'), 'utf8')
  assert.equal((await stat(join(cwd, 'var/new/svid.jwt'))).mode & 0o777, 0o600)
  assert.ok(!ended.stdout.includes(svid.split('.')[2] ?? ''))
  assert.equal((await writ([...ISSUE, '--output', 'var/new/svid.jwt'], { cwd })).code, 2)
})

test('an X509-SVID and its key go to two files of their owner’s, out of the same domain', async (t) => {
  const cwd = await temporaryDirectory(t)
  assert.equal((await writ(ISSUE, { cwd })).code, 0)
  const args = ['identity', 'dev', '--x509', '--path', '/agents/a', '--output', 'svid.pem']
  const ended = await writ([...args, '--json'], { cwd })
  assert.equal(ended.code, 0, ended.stdout)
  const { id, output, key, bundle } = ended.json()
  assert.deepEqual(
    { id, output, key },
    { id: 'spiffe://dev.test/agents/a', output: 'svid.pem', key: 'svid.key' },
  )
  for (const file of ['svid.pem', 'svid.key']) {
    assert.equal((await stat(join(cwd, file))).mode & 0o777, 0o600)
  }
  const certificate = new X509Certificate(await readFile(join(cwd, 'svid.pem')))
  const pem = await readFile(join(cwd, 'svid.key'), 'utf8')
  assert.ok(certificate.checkPrivateKey(createPrivateKey(pem)))
  assert.ok(!ended.stdout.includes(pem.split('\n')[1] ?? ''))

  const file = join(cwd, String(bundle))
  const bundles = await openBundles([{ trustDomain: 'dev.test', file }])
  t.after(() => bundles.close())
  const { prove } = createX509SvidProver({ bundles })
  assert.equal(prove([certificate.raw], Date.now() / 1000).id, id)

  // Nothing is replaced, and nothing is left behind.
  await rm(join(cwd, 'svid.key'))
  assert.equal((await writ(args, { cwd })).code, 2)
  await assert.rejects(stat(join(cwd, 'svid.key')))
  const elsewhere = [...args.slice(0, -1), 'b.pem', '--key', 'svid.pem']
  assert.equal((await writ(elsewhere, { cwd })).code, 2)
  await assert.rejects(stat(join(cwd, 'b.pem')))
})

const REFUSED: readonly (readonly [string, readonly string[]])[] = [
  ['a trust domain that could be real', ['--trust-domain', 'corp.com']],
  ['a path that is none', ['--path', 'agents']],
  ['a duration that is none', ['--lifetime', 'long']],
  ['JSON and a credential in one output', ['--json']],
  ['a certificate for an audience', ['--x509', '--output', 'svid.pem']],
  ['a key of a JWT', ['--output', 'svid.jwt', '--key', 'svid.key']],
]
for (const [name, args] of REFUSED) {
  test(`refused: ${name}`, async (t) => {
    const { code, stdout } = await writ([...ISSUE, ...args], { cwd: await temporaryDirectory(t) })
    assert.equal(code, 2)
    assert.ok(!stdout.includes('eyJ'))
  })
}

for (const [name, args] of [
  ['a JWT-SVID for nobody', []],
  ['a certificate without a file', ['--x509']],
  ['a certificate and its key in one file', ['--x509', '--output', 'svid.key']],
] as const) {
  test(`refused: ${name}`, async (t) => {
    const cwd = await temporaryDirectory(t)
    const { code, stdout } = await writ(['identity', 'dev', ...args], { cwd })
    assert.equal(code, 2)
    assert.equal(stdout, '')
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
