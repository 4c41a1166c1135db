import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import test from 'node:test'
import { PROOF_ALGORITHMS, verifyProof } from '../../src/token/dpop.ts'
import { thumbprintOf } from '../../src/token/jwk.ts'
import { type Algorithm, parseJws } from '../../src/token/jws.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { generateSenderKey, importSenderKey, makeProof } from '../../src/token/proof.ts'

const now = 1_795_000_000.25
const request = { method: 'POST', url: 'https://mcp.example/mcp', now }
const nonces = new Nonces(Buffer.alloc(32, 3))

for (const algorithm of PROOF_ALGORITHMS) {
  test(`${algorithm}: a proof of a generated key is accepted, with token and nonce`, async () => {
    const key = generateSenderKey(algorithm)
    assert.equal(key.jkt, await thumbprintOf(key.publicJwk))
    const extra = { nonce: nonces.issue(now), accessToken: 'a.b.c' }
    const proof = makeProof(key, { ...request, ...extra })
    // Twice: the first time the key is new, the second time it is known.
    for (let time = 0; time < 2; time++) {
      const verified = await verifyProof([proof], { ...request, nonces, accessToken: 'a.b.c' })
      assert.equal(verified.jkt, key.jkt)
    }
  })
}

test('a proof says what RFC 9449 §4.2 asks for, and nothing of the private key', () => {
  const key = generateSenderKey()
  const { header, payload } = parseJws(makeProof(key, { ...request, url: `${request.url}?q=1#f` }))
  assert.deepEqual(header, { typ: 'dpop+jwt', alg: 'ES256', jwk: key.publicJwk })
  assert.deepEqual(Object.keys(key.publicJwk).sort(), ['crv', 'kty', 'x', 'y'])
  const { jti, ...others } = payload
  assert.deepEqual(others, { htm: 'POST', htu: request.url, iat: 1_795_000_000 })
  assert.match(String(jti), /^[\w-]{22}$/)
  assert.doesNotMatch(JSON.stringify(key), /"d"/)
})

test('no two proofs share a jti', () => {
  const key = generateSenderKey()
  const ids = new Set(
    Array.from({ length: 100 }, () => parseJws(makeProof(key, request)).payload.jti),
  )
  assert.equal(ids.size, 100)
})

test('a key is taken over from a JWK and from a KeyObject', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const jwk = privateKey.export({ format: 'jwk' }) as { [member: string]: string }
  const keys = [importSenderKey(privateKey), importSenderKey(jwk)]
  for (const key of keys) {
    assert.equal(key.algorithm, 'ES384')
    assert.equal((await verifyProof([makeProof(key, request)], request)).jkt, keys[0]!.jkt)
  }
})

test('what is not a private key for proofs is refused, and not quoted', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const secret = 'c2VjcmV0LWtleQ'
  const others = [
    ec.publicKey,
    generateKeyPairSync('x25519').privateKey,
    generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey,
    generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
    { kty: 'EC', crv: 'P-256', d: secret },
    { kty: 'oct', k: secret },
    ec.publicKey.export({ format: 'jwk' }) as { [member: string]: string },
  ]
  for (const other of others) {
    assert.throws(
      () => importSenderKey(other),
      (error) => error instanceof TypeError && !`${error.message}${error.cause}`.includes(secret),
    )
  }
  assert.throws(() => generateSenderKey('RS256' as Algorithm), TypeError)
})
