/** The run over HTTP tells right from wrong, so that what it says of the corpus can be believed. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from './http.ts'

const ACCEPTED = [
  'correct proof',
  'DPoP header name in mixed case',
  'scheme in lower case',
  'htu with query and fragment added',
  'iat = server clock + 5 s',
  'unknown header parameter',
  'alg = ES384',
  'EdDSA proof',
  'correct nonce',
]
const REFUSED = [
  'no DPoP header, scheme Bearer',
  'two DPoP headers',
  'malformed proof',
  'empty DPoP header',
  'iat missing',
  'ath missing',
  'nonce missing',
  'typ = jwt',
  'alg = none',
  'alg = RS256',
  'HMAC-signed proof',
  'signature altered',
  'jwk of another key',
  'private key in jwk',
  'htm in lower case',
  'htu of another port',
  'htu with trailing slash',
  'iat outside window',
  'jti reused',
  'ath of another token',
  'token bound to another key',
  'access token for another audience',
  'expired access token',
  'nonce not one recently supplied',
]
const METADATA = 'metadata lists dpop_signing_alg_values_supported'

async function runOn(cases: readonly (readonly [mutation: string, expect: string])[]) {
  const folder = await mkdtemp(join(tmpdir(), 'writ-corpus-'))
  try {
    const listed = cases.map(([mutation, expect], id) => ({ id: `${id}`, mutation, expect }))
    await writeFile(join(folder, 'dpop-cases.json'), JSON.stringify({ cases: listed }))
    return await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('what a broker and a gate have to accept and to refuse, they do', async () => {
  const result = await runOn([
    ...ACCEPTED.map((mutation) => [mutation, 'accept'] as const),
    ...REFUSED.map((mutation) => [mutation, 'reject'] as const),
    [METADATA, 'present'],
  ])
  assert.deepEqual(result.wrongAccepts, [])
  assert.deepEqual(result.wrongRejects, [])
  assert.equal(result.right, result.total)
})

test('every wrong answer is seen, and what is not understood is not passed', async () => {
  const result = await runOn([
    ...ACCEPTED.map((mutation) => [mutation, 'reject'] as const),
    ...REFUSED.map((mutation) => [mutation, 'accept'] as const),
    [METADATA, 'absent'],
    ['jti sparkling', 'reject'],
    ['correct proof', 'perhaps'],
  ])
  assert.equal(result.right, 0)
  assert.equal(result.wrongAccepts.length, ACCEPTED.length + 3)
  assert.equal(result.wrongRejects.length, REFUSED.length)
})
