/** Finds the key that a token names, among the keys of one issuer (RFC 7517 §5, RFC 8725 §3.8). */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type Algorithm, sameAlgorithm } from './algorithm.ts'
import { importJwk } from './jwk.ts'
import { JwsError, type VerificationKey } from './jws.ts'

/** Keys of one issuer, wherever they come from. Never shared between issuers. */
export interface KeySource {
  /**
   * The key `kid` names, if it is for `algorithm`; without a `kid`, the only key for it.
   * `undefined` means that the issuer has no such key. Synchronous whenever the answer is at hand.
   *
   * @throws {Refusal} `keys_unavailable` when the answer cannot be known
   */
  find(
    kid: string | undefined,
    algorithm: string,
  ): VerificationKey | undefined | Promise<VerificationKey | undefined>

  /**
   * Resolves when the keys at hand are younger than the call; the caller bounds how often it asks.
   * Without it, that a key is unknown proves nothing about who made what it signed.
   *
   * @throws {Error} (as a rejection) when they could not be had
   */
  renew?(): Promise<void>
}

/** Answers at once. */
export interface LocalKeySet extends KeySource {
  find(kid: string | undefined, algorithm: string): VerificationKey | undefined
}

const MAX_KEYS = 100

/** Remembers which JWK text became which key, so that a refreshed set keeps the keys it knew. */
export type KnownKeys = ReadonlyMap<string, VerificationKey>

/**
 * The keys of a JWK set that can be used with `algorithms`.
 *
 * A key that is not for signatures, or not acceptable, is left out (RFC 7517 §5). Two keys under one
 * `kid` are both left out: which of them signed would be a guess.
 *
 * @throws {JwsError} `key` when `jwks` is not a JWK set at all, or holds more than 100 keys
 */
export function localKeySet(jwks: JsonObject, algorithms: readonly Algorithm[]): LocalKeySet {
  return keySetOf(importAll(jwks, algorithms))
}

/** As `localKeySet`, in two steps: keys already `known` are not imported again. */
export function importAll(
  jwks: JsonObject,
  algorithms: readonly Algorithm[],
  known?: KnownKeys,
): Map<string, VerificationKey> {
  const members: Json | undefined = jwks.keys
  if (!Array.isArray(members) || members.length > MAX_KEYS) {
    throw new JwsError('key', `expected a JWK set of at most ${MAX_KEYS} keys`)
  }
  const keys = new Map<string, VerificationKey>()
  for (const jwk of members as readonly Json[]) {
    const text = JSON.stringify(jwk)
    const key = known?.get(text) ?? importOne(jwk, algorithms)
    if (key !== undefined) keys.set(text, key)
  }
  return keys
}

export function keySetOf(keys: KnownKeys): LocalKeySet {
  const byKid = new Map<string, VerificationKey | 'ambiguous'>()
  for (const key of keys.values()) {
    if (key.kid === undefined) continue
    byKid.set(key.kid, byKid.has(key.kid) ? 'ambiguous' : key)
  }
  return {
    find(kid, algorithm) {
      if (kid === undefined) {
        const fitting = [...keys.values()].filter((key) => sameAlgorithm(key.algorithm, algorithm))
        return fitting.length === 1 ? fitting[0] : undefined
      }
      const key = byKid.get(kid)
      if (key === undefined || key === 'ambiguous') return undefined
      return sameAlgorithm(key.algorithm, algorithm) ? key : undefined
    },
  }
}

function importOne(jwk: Json, algorithms: readonly Algorithm[]): VerificationKey | undefined {
  if (!isJsonObject(jwk)) return undefined
  try {
    return importJwk(jwk, algorithms)
  } catch (error) {
    if (error instanceof JwsError) return undefined
    throw error
  }
}
