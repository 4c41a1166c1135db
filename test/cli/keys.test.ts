import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readNonceSecret } from '../../src/token/nonce.ts'
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

test('keys new makes the configured nonce secret as well; keys nonce makes it alone, once', async (t) => {
  const cwd = await temporaryDirectory(t)
  const settings = {
    issuer: 'http://127.0.0.1:4470',
    trust: [{ spiffe: 'corp.test', bundle: { file: 'bundle.json' } }],
    servers: [{ resource: 'http://127.0.0.1:4474/mcp', catalogue: 'mcp.json' }],
    policies: 'policies',
    keys: { directory: 'keys', algorithm: 'Ed25519' },
    dpop: { nonce_secret_file: 'secrets/nonce' },
  }
  await writeFile(join(cwd, 'writ.yaml'), JSON.stringify(settings))
  const file = join(cwd, 'secrets/nonce')
  const made = await writ(['keys', 'new', '--config', 'writ.yaml', '--json'], { cwd })
  assert.equal(made.json().nonceSecretFile, 'secrets/nonce')
  assert.equal((made.json().key as { algorithm: string }).algorithm, 'Ed25519')
  const secret = await readNonceSecret(file)
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.ok(!made.stdout.includes(secret.toString()))

  const again = await writ(['keys', 'nonce', '--config', 'writ.yaml'], { cwd })
  assert.equal(again.code, 1)
  assert.deepEqual(await readNonceSecret(file), secret)
  await rm(file)
  assert.equal((await writ(['keys', 'nonce', '--config', 'writ.yaml'], { cwd })).code, 0)
  assert.notDeepEqual(await readNonceSecret(file), secret)
})
