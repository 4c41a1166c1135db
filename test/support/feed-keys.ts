import { generateKeyPairSync } from 'node:crypto'
import type { JsonObject } from '../../src/lib/json.ts'
import type { SigningKey } from '../../src/token/jws.ts'
import { type KeySource, localKeySet } from '../../src/token/key-set.ts'

/** A signing key for tests, made now. */
export function makeSigningKey(kid: string): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = publicKey.export({ format: 'jwk' }) as JsonObject
  return {
    kid,
    algorithm: 'ES256',
    key: privateKey,
    publicJwk: { ...jwk, kid, alg: 'ES256', use: 'sig' },
  }
}

export function keySourceOf(...keys: readonly SigningKey[]): KeySource {
  return localKeySet({ keys: keys.map(({ publicJwk }) => publicJwk) }, ['ES256'])
}
