// Keys and options of a verifier that reports are refused before anything listens, when they cannot be right.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import type { ReportsOption } from '../../src/verifier/options.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { until } from '../support/redis.ts'
import { call, reporterScene } from './reporter-scene.ts'

const scene = reporterScene()

test('a key from a file signs as the file says', async () => {
  const file = join(scene.directory, 'key.json')
  await writeFile(file, JSON.stringify(scene.notes.privateJwk), { mode: 0o600 })
  const key = generateSenderKey()
  const verifier = await scene.open({ key: file })
  await call(verifier, key)
  await until(async () => (await scene.counts(key)) !== undefined)
})

test('a key that is not usable is refused before anything listens, and never quoted', async () => {
  const file = join(scene.directory, 'bad-key.json')
  const good = { ...scene.notes.privateJwk }
  const { d } = good
  const cases: [RegExp, string, number][] = [
    [/is open to other users/, JSON.stringify(good), 0o644],
    [/is not a private JWK/, '{', 0o600],
    [/is not a private JWK/, '[]', 0o600],
    [/is not a private JWK/, JSON.stringify({ ...good, d: undefined }), 0o600],
    [/is not a private JWK/, JSON.stringify({ ...good, crv: 'P-999' }), 0o600],
    [/its alg is not known/, JSON.stringify({ ...good, alg: 'HS256' }), 0o600],
    [/it cannot sign with its alg/, JSON.stringify({ ...good, alg: 'RS256' }), 0o600],
    [/is not a private JWK/, JSON.stringify(good).padEnd(20_000), 0o600],
  ]
  for (const [words, text, mode] of cases) {
    await rm(file, { force: true })
    await writeFile(file, text, { mode })
    await assert.rejects(scene.open({ key: file }), (error: Error) => {
      assert.match(error.message, words)
      assert.ok(!JSON.stringify([error.message, String(error.cause)]).includes(String(d)))
      return true
    })
  }
  await assert.rejects(
    scene.open({ key: join(scene.directory, 'none.json') }),
    /cannot read the key/,
  )
})

test('options that cannot be right are refused when the verifier is made', () => {
  const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const wrong: Partial<Record<keyof ReportsOption, unknown>>[] = [
    { clientId: '' },
    { key: rsa },
    { key: publicKey },
    { kind: 'broker' },
    { holder: 'a/b' },
    { holder: '' },
    { everyMs: 0 },
    { everyMs: Number.NaN },
    { everyMs: Number.POSITIVE_INFINITY },
    { url: 'http://broker.example/reports' },
  ]
  for (const change of wrong) {
    const reports = { clientId: 'notes', key: scene.notes.key, ...change } as ReportsOption
    assert.throws(() => createVerifier({ ...scene.options, reports }), TypeError)
  }
})
