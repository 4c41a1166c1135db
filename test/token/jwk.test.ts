import assert from 'node:assert/strict'
import { generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import test from 'node:test'
import fc from 'fast-check'
import { importJwk, thumbprintOf } from '../../src/token/jwk.ts'
import { type Algorithm, JwsError } from '../../src/token/jws.ts'

const publicJwk = (pair: ReturnType<typeof generateKeyPairSync>): JsonWebKey =>
  (pair as unknown as { publicKey: { export(o: object): JsonWebKey } }).publicKey.export({
    format: 'jwk',
  })
const ecPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const EC = ecPair.publicKey.export({ format: 'jwk' })
const P384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })
const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 })
const RSA = rsaPair.publicKey.export({ format: 'jwk' })
const edPair = generateKeyPairSync('ed25519')
const ED = edPair.publicKey.export({ format: 'jwk' })
const ALL: readonly Algorithm[] = ['ES256', 'ES384', 'RS256', 'Ed25519', 'EdDSA']
const bytes = (text: string | undefined) => Buffer.from(text!, 'base64url')
const text = (...parts: (Buffer | number[])[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part))).toString('base64url')

const ACCEPTED: readonly (readonly [string, unknown, readonly Algorithm[], Algorithm])[] = [
  ['an EC key fits one algorithm by its curve', EC, ALL, 'ES256'],
  ['another curve, another algorithm', P384, ALL, 'ES384'],
  ['an RSA key with the one RSA algorithm accepted', RSA, ALL, 'RS256'],
  ['an RSA key that says which', { ...RSA, alg: 'PS256' }, ['RS256', 'PS256'], 'PS256'],
  ['Ed25519 under its first name', ED, ALL, 'Ed25519'],
  ['EdDSA as alg where Ed25519 is accepted', { ...ED, alg: 'EdDSA' }, ['Ed25519'], 'Ed25519'],
  ['use and key_ops for signatures', { ...EC, use: 'sig', key_ops: ['verify'] }, ALL, 'ES256'],
  ['members nobody knows', { ...EC, kid: 'a', iss: 'x', x5c: ['MII'] }, ALL, 'ES256'],
]

for (const [name, jwk, algorithms, algorithm] of ACCEPTED) {
  test(`accepted: ${name}`, () => {
    const key = importJwk(jwk, algorithms)
    assert.equal(key.algorithm, algorithm)
    assert.equal(key.key.type, 'public')
  })
}

const REFUSED: readonly (readonly [string, unknown, (readonly Algorithm[])?])[] = [
  ['nothing', undefined],
  ['null', null],
  ['text', 'key'],
  ['an array', [EC]],
  ['no kty', { ...EC, kty: undefined }],
  ['a symmetric key', { kty: 'oct', k: 'c2VjcmV0' }],
  ['a private EC key', ecPair.privateKey.export({ format: 'jwk' })],
  ['a private RSA key', rsaPair.privateKey.export({ format: 'jwk' })],
  ['a private OKP key', edPair.privateKey.export({ format: 'jwk' })],
  ...['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].map(
    (member) => [`the private member ${member}`, { ...RSA, [member]: 'AQAB' }] as const,
  ),
  ['a private member that is null', { ...EC, d: null }],
  ['a curve that is not accepted', P384, ['ES256']],
  ['a curve nobody accepts', { ...EC, crv: 'secp256k1' }],
  ['a curve under another name', { ...P384, crv: 'P-256' }],
  ['a kty that does not fit the curve', { ...EC, kty: 'OKP' }],
  ['X25519, which does not sign', { ...ED, crv: 'X25519' }],
  ['alg of another kind', { ...EC, alg: 'RS256' }],
  ['alg of another curve', { ...EC, alg: 'ES384' }],
  ['alg not accepted', { ...RSA, alg: 'RS512' }],
  ['alg that is not text', { ...EC, alg: 7 }],
  ['alg for encryption', { ...RSA, alg: 'RSA-OAEP' }],
  ['no alg where several fit', RSA, ['RS256', 'PS256']],
  ['use enc', { ...EC, use: 'enc' }],
  ['use null', { ...EC, use: null }],
  ['key_ops without verify', { ...EC, key_ops: ['encrypt'] }],
  ['key_ops empty', { ...EC, key_ops: [] }],
  ['key_ops that is text', { ...EC, key_ops: 'verify' }],
  ['kid that is not text', { ...EC, kid: 1 }],
  ['a point that is not on the curve', { ...EC, x: EC.y, y: EC.x }],
  ['a missing coordinate', { ...EC, y: undefined }],
  ['a coordinate with padding', { ...EC, x: `${EC.x}=` }],
  ['a coordinate with a leading zero', { ...EC, x: text([0], bytes(EC.x)) }],
  ['a short coordinate', { ...EC, x: text(bytes(EC.x).subarray(1)) }],
  ['the other coordinate with a leading zero', { ...EC, y: text([0], bytes(EC.y)) }],
  ['the other coordinate short', { ...EC, y: text(bytes(EC.y).subarray(1)) }],
  ['a coordinate with unused bits', { ...EC, x: `${EC.x!.slice(0, -1)}${odd(EC.x!.at(-1)!)}` }],
  ['a short Ed25519 key', { ...ED, x: text(bytes(ED.x).subarray(1)) }],
  ['RSA of 1024 bits', publicJwk(generateKeyPairSync('rsa', { modulusLength: 1024 }))],
  ['RSA of 2047 bits', { ...RSA, n: text([bytes(RSA.n)[0]! & 0x7f], bytes(RSA.n).subarray(1)) }],
  ['RSA of more than 8192 bits', { ...RSA, n: text([1], Buffer.alloc(1024, 1)) }],
  ['RSA with a leading zero', { ...RSA, n: text([0], bytes(RSA.n)) }],
  ['RSA with an even modulus', { ...RSA, n: text(bytes(RSA.n).subarray(0, -1), [2]) }],
  ['RSA without exponent', { ...RSA, e: undefined }],
  ['RSA with an empty exponent', { ...RSA, e: '' }],
  ['RSA with exponent 1', { ...RSA, e: 'AQ' }],
  ['RSA with an even exponent', { ...RSA, e: 'AQAC' }],
  ['RSA with a leading zero in the exponent', { ...RSA, e: text([0, 1, 0, 1]) }],
  ['RSA with an exponent that takes long', { ...RSA, e: text(Buffer.alloc(5, 255)) }],
]

function odd(letter: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return letters[letters.indexOf(letter) | 1]!
}

for (const [name, jwk, algorithms = ALL] of REFUSED) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => importJwk(jwk, algorithms),
      (error) => error instanceof JwsError && error.check === 'key',
    )
  })
}

test('a key has one thumbprint: what else its JWK says does not change it', async () => {
  const plain = await thumbprintOf(EC)
  assert.equal(await thumbprintOf({ ...EC, kid: 'a', use: 'sig', alg: 'ES256' }), plain)
  await assert.rejects(thumbprintOf({ kty: 'EC' }), JwsError)
  await assert.rejects(thumbprintOf(undefined), JwsError)
})

test('whatever JSON arrives as a key, it is imported or refused with a JwsError', () => {
  const members = fc.dictionary(
    fc.constantFrom('kty', 'crv', 'x', 'y', 'n', 'e', 'alg', 'use', 'key_ops', 'kid', 'd'),
    fc.oneof(fc.jsonValue(), fc.constantFrom('EC', 'RSA', 'OKP', 'P-256', 'Ed25519', EC.x, RSA.n)),
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), members), (jwk) => {
      try {
        importJwk(jwk, ALL)
      } catch (error) {
        if (!(error instanceof JwsError)) throw error
      }
    }),
    { numRuns: 1000 },
  )
})
