import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Nonces, readNonceSecret } from '../../src/token/nonce.ts'

const secret = Buffer.alloc(32, 7)
const nonces = new Nonces(secret, { lifetimeSeconds: 60 })

test('a nonce is good in its own step and the next, and never again', () => {
  const nonce = nonces.issue(600)
  for (const now of [600, 659.9, 660, 719.9]) assert.equal(nonces.accepts(nonce, now), true)
  for (const now of [599.9, 720, 6000]) assert.equal(nonces.accepts(nonce, now), false)
})

test('processes that share the secret accept each other’s nonces, others do not', () => {
  const nonce = nonces.issue(600)
  assert.equal(new Nonces(secret).accepts(nonce, 610), true)
  assert.equal(new Nonces(Buffer.alloc(32, 8)).accepts(nonce, 610), false)
})

test('a nonce is made of NQCHAR, and each step has its own', () => {
  assert.match(nonces.issue(600), /^[A-Za-z0-9_-]{32}$/)
  assert.equal(nonces.issue(600), nonces.issue(601))
  assert.notEqual(nonces.issue(600), nonces.issue(660))
})

test('nothing else is a nonce', () => {
  const nonce = nonces.issue(600)
  const others = [
    '',
    'x',
    `${nonce} `,
    nonce.slice(1),
    nonce.toLowerCase(),
    'é'.repeat(16),
    '\ud800'.repeat(32),
  ]
  for (const other of others) assert.equal(nonces.accepts(other, 600), false)
  assert.equal(nonces.accepts(nonce, Number.NaN), false)
})

test('a short secret or a strange lifetime is a mistake of the caller', () => {
  assert.throws(() => new Nonces(Buffer.alloc(31)), TypeError)
  for (const lifetimeSeconds of [0, -1, Number.NaN, 3601]) {
    assert.throws(() => new Nonces(secret, { lifetimeSeconds }), TypeError)
  }
})

test('the secret file: missing, short or open to everyone is an error that says what to do', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'writ-nonce-'))
  try {
    const file = join(folder, 'nonce.secret')
    await assert.rejects(readNonceSecret(file), /openssl rand/)
    await writeFile(file, 'x'.repeat(31), { mode: 0o600 })
    await assert.rejects(readNonceSecret(file), /at least 32 bytes/)
    await writeFile(file, `${'x'.repeat(31)}\n\n`)
    await assert.rejects(readNonceSecret(file), /at least 32 bytes/)
    await writeFile(file, `${'x'.repeat(32)}\r\n`)
    assert.equal((await readNonceSecret(file)).toString(), 'x'.repeat(32))
    await chmod(file, 0o604)
    await assert.rejects(readNonceSecret(file), /chmod 600/)
  } finally {
    await rm(folder, { recursive: true })
  }
})
