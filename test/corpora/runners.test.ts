/** The corpus runners answer for cases of known answer, so that what they say of others can be believed. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { signJws } from '../../src/token/jws.ts'
import { run as runDpop } from './dpop.ts'
import type { CorpusResult } from './result.ts'
import { run as runWycheproof } from './wycheproof.ts'

async function runOn(
  run: (folder: string) => Promise<CorpusResult>,
  file: string,
  content: object,
): Promise<CorpusResult> {
  const folder = await mkdtemp(join(tmpdir(), 'writ-corpus-'))
  try {
    await writeFile(join(folder, file), JSON.stringify(content))
    return await run(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const dpop = (mutation: string, expect: string) =>
  runOn(runDpop, 'dpop-cases.json', { cases: [{ id: 'x', mutation, expect }] })

const ACCEPTED = [
  'correct proof',
  'valid proof after all of these',
  'DPoP header name in upper case',
  'DPoP header name in lower case',
  'DPoP header name in mixed case',
  'scheme in lower case',
  'Authorization scheme in upper case',
  'htu with query added',
  'htu with a fragment',
  'htu with query and fragment added',
  'htu with explicit default port',
  'htu in upper case',
  'htu with host in mixed case',
  'htu with scheme and host in upper case',
  'htu with percent-encoded unreserved characters',
  'htu with dot segments',
  'iat = server clock',
  'iat = now - 10 s',
  'iat = server clock + 5 s',
  'iat 10 seconds in the past',
  'iat 10 s in the future',
  'additional claims',
  'unknown header parameter',
  'alg = ES384',
  'alg PS256',
  'EdDSA proof',
  'signed with Ed25519',
  'correct nonce',
]

const REFUSED = [
  'no DPoP header',
  'DPoP header missing',
  'no DPoP header, scheme Bearer',
  'scheme Bearer',
  'two DPoP headers',
  'more than one DPoP header',
  'DPoP header not a JWT',
  'malformed proof',
  'empty DPoP header',
  ...['jti', 'htm', 'htu', 'iat', 'ath', 'typ', 'alg', 'jwk', 'nonce'].map(
    (name) => `${name} missing`,
  ),
  ...['jti', 'htm', 'htu', 'iat', 'ath', 'typ', 'alg', 'jwk', 'nonce'].map((name) => `no ${name}`),
  ...['jti', 'htm', 'htu', 'iat', 'ath', 'typ'].map((name) => `${name} null`),
  'jti empty',
  'htm is not a string',
  'iat as a string',
  'typ = jwt',
  'typ not dpop+jwt',
  'typ = something other than dpop+jwt',
  'wrong typ',
  'alg = none',
  'unsigned proof',
  'alg = HS256',
  'HMAC-signed proof',
  'symmetric algorithm',
  'alg = RS256',
  'alg unknown',
  'signature altered',
  'invalid signature',
  'signature missing',
  'signature truncated',
  'signed with another key',
  'jwk of another key',
  'jwk does not match the signing key',
  'private key in jwk',
  'jwk contains a private key',
  'jwk = oct',
  'RSA key of 1024 bits',
  'kid instead of jwk',
  'crit header',
  'htm = GET',
  'htm of another method',
  'htm in lower case',
  'htu of another host',
  'htu of another path',
  'htu of another scheme',
  'htu of another port',
  'htu mismatch',
  'htu = https://wrong.example.com/mcp',
  'htu with trailing slash',
  'htu with path in upper case',
  'relative htu',
  'iat outside window',
  'iat outside the acceptance window',
  'iat = server clock + 303 s',
  'iat = server clock - 303 s',
  'iat = now − 6 min',
  'iat 1 hour ago',
  'iat 5 minutes in the future',
  'iat too old',
  'iat far in the future',
  'iat = 0',
  'iat in milliseconds',
  'exp = now - 60 s',
  'nbf = now + 1 h',
  'jti reused',
  'same proof sent twice',
  'jti too long',
  'ath of another token',
  'ath wrong',
  'ath with padding',
  'ath in hex',
  'token bound to another key',
  'cnf.jkt mismatch',
  'access token for another audience',
  'expired access token',
  'nonce not one recently supplied',
  'wrong nonce',
  'htm = GET, iat missing',
  'proof without jti',
  'the htm claim set to GET',
  'DPoP proof with an iat 303 s in the future',
  'proof with typ set to "JWT"',
]

for (const [expect, opposite, mutations] of [
  ['accept', 'reject', ACCEPTED],
  ['reject', 'accept', REFUSED],
] as const) {
  for (const mutation of mutations) {
    test(`dpop: "${mutation}" is understood: ${expect}`, async () => {
      const answer = await dpop(mutation, expect)
      assert.deepEqual(answer, {
        name: 'dpop-cases',
        total: 1,
        right: 1,
        wrongAccepts: [],
        wrongRejects: [],
      })
      assert.equal((await dpop(mutation, opposite)).right, 0, 'a wrong answer must be seen')
    })
  }
}

for (const mutation of [
  '',
  'jti sparkling',
  'correct proof, and then a dance',
  'iat',
  'alg = FOO',
]) {
  test(`dpop: ${JSON.stringify(mutation)} is not understood, and so not passed`, async () => {
    for (const expect of ['accept', 'reject', 'present']) {
      const answer = await dpop(mutation, expect)
      assert.equal(answer.right, 0)
      assert.equal(answer.wrongAccepts.length, 1)
    }
  })
}

test('dpop: what the metadata lists is what proofs may use', async () => {
  const name = 'dpop_signing_alg_values_supported'
  for (const [mutation, expect, right] of [
    [`metadata lists ${name}`, 'present', 1],
    [`metadata lists ${name}`, 'absent', 0],
    [`${name} lists only asymmetric algorithms, no none`, 'present', 1],
    [`metadata lists none in ${name}`, 'present', 0],
    ['metadata lists something_else_supported', 'present', 0],
  ] as const) {
    assert.equal((await dpop(mutation, expect)).right, right, mutation)
  }
})

test('wycheproof: right and wrong answers are told apart', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' } as Record<
    string,
    string
  >
  const key = { kid: 'k', algorithm: 'ES256', key: privateKey, publicJwk } as const
  const jws = signJws({}, {}, key)
  const test_ = (tcId: number, text: string, result: string) => ({
    tcId,
    comment: 'c',
    jws: text,
    result,
  })
  const answer = await runOn(runWycheproof, 'wycheproof-jws.json', {
    testGroups: [
      {
        comment: 'g',
        public: publicJwk,
        tests: [
          test_(1, jws, 'valid'),
          test_(2, jws, 'invalid'),
          test_(3, `${jws}=`, 'invalid'),
          test_(4, `${jws}=`, 'valid'),
        ],
      },
      { comment: 'set', public: { keys: [publicJwk] }, tests: [test_(5, jws, 'valid')] },
      {
        comment: 'twice',
        private: { keys: [publicJwk, { ...publicJwk, y: 'x' }, { ...publicJwk, use: 'sig' }] },
        tests: [test_(6, jws, 'invalid')],
      },
    ],
  })
  assert.deepEqual([answer.total, answer.right], [6, 4])
  assert.deepEqual(answer.wrongAccepts, ['g g 2 c'])
  assert.deepEqual(answer.wrongRejects, [
    { id: 'g g 4 c', reason: 'form: expected canonical base64url' },
  ])
})
