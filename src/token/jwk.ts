/**
 * Public keys as JSON (RFC 7517), taken from strangers.
 *
 * A key is imported only when exactly one algorithm is left for it, and only in its one canonical
 * spelling: a coordinate with a leading zero or a modulus with padding would give one key several
 * thumbprints, and a thumbprint is what a token is bound to (RFC 7638 §3.3).
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import { decodeBase64url } from '../lib/base64url.ts'
import { type Algorithm, isAlgorithm, sameAlgorithm, schemeOf } from './algorithm.ts'
import { JwsError, type VerificationKey } from './jws.ts'

type Members = { readonly [member: string]: unknown }

const MIN_RSA_BITS = 2048
/** A check with a larger key costs milliseconds, and anyone may send one. */
const MAX_RSA_BITS = 8192
const MAX_EXPONENT_BYTES = 4

/** Members only a private or symmetric key has (RFC 7518 §6.2.2, §6.3.2, §6.4; RFC 8037 §2). */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/**
 * Imports a public key for the one of `algorithms` that it fits.
 *
 * `alg`, `use` and `key_ops` are honoured when present. Costs 20–70 µs: cache the result.
 *
 * @throws {JwsError} `key` for anything but one acceptable public key
 */
export function importJwk(jwk: unknown, algorithms: readonly Algorithm[]): VerificationKey {
  if (!isMembers(jwk)) refuseKey('expected a JSON object')
  for (const name of SECRET_MEMBERS) {
    if (Object.hasOwn(jwk, name)) refuseKey(`it has the private member ${name}`)
  }
  const { kid } = jwk
  if (kid !== undefined && typeof kid !== 'string') refuseKey('kid must be a string')
  checkUse(jwk)
  const algorithm = algorithmOf(jwk, algorithms)
  const material = schemeOf(algorithm).kind === 'rsa' ? rsaMembers(jwk) : curveMembers(jwk)
  return { kid, algorithm, key: importMembers(material) }
}

/**
 * RFC 7638 SHA-256 thumbprint in base64url.
 *
 * @throws {JwsError} `key` when a required member is missing
 */
export async function thumbprintOf(jwk: unknown): Promise<string> {
  try {
    return await calculateJwkThumbprint(jwk as Parameters<typeof calculateJwkThumbprint>[0])
  } catch (cause) {
    throw new JwsError('key', 'key not accepted: it has no thumbprint', { cause })
  }
}

/** RFC 7517 §4.2, §4.3: a key meant for something else is not ours to use. */
function checkUse(jwk: Members): void {
  if (jwk.use !== undefined && jwk.use !== 'sig') refuseKey('use is not sig')
  if (jwk.key_ops === undefined) return
  if (!Array.isArray(jwk.key_ops) || !jwk.key_ops.includes('verify')) {
    refuseKey('key_ops has no verify')
  }
}

/** RFC 8725 §3.1: one key, one algorithm, and the key's own word counts. */
function algorithmOf(jwk: Members, accepted: readonly Algorithm[]): Algorithm {
  const { alg } = jwk
  const chosen = accepted.filter(
    (name) => fits(jwk, name) && (alg === undefined || named(alg, name)),
  )
  if (chosen.length === 0) refuseKey('its kty, crv and alg fit no accepted algorithm')
  const [first, ...others] = chosen as [Algorithm, ...Algorithm[]]
  if (!others.every((other) => sameAlgorithm(first, other))) {
    refuseKey('it has no alg, and several algorithms fit')
  }
  return first
}

function named(alg: unknown, algorithm: Algorithm): boolean {
  return isAlgorithm(alg) && sameAlgorithm(alg, algorithm)
}

function fits(jwk: Members, algorithm: Algorithm): boolean {
  const scheme = schemeOf(algorithm)
  switch (scheme.kind) {
    case 'ecdsa':
      return jwk.kty === 'EC' && jwk.crv === scheme.curve.name
    case 'rsa':
      return jwk.kty === 'RSA'
    case 'ed25519':
      return jwk.kty === 'OKP' && jwk.crv === 'Ed25519'
  }
}

const COORDINATE_BYTES: { readonly [crv: string]: number } = {
  'P-256': 32,
  'P-384': 48,
  'P-521': 66,
  Ed25519: 32,
}

function curveMembers({ kty, crv, x, y }: Members): JsonWebKey {
  const bytes = COORDINATE_BYTES[crv as string]
  if (octets(x, 'x').length !== bytes) refuseKey('x has the wrong length')
  if (kty === 'OKP') return { kty, crv: crv as string, x: x as string }
  if (octets(y, 'y').length !== bytes) refuseKey('y has the wrong length')
  return { kty: kty as string, crv: crv as string, x: x as string, y: y as string }
}

function rsaMembers({ n, e }: Members): JsonWebKey {
  const modulus = octets(n, 'n')
  const exponent = octets(e, 'e')
  if (modulus[0] === 0 || exponent[0] === 0) refuseKey('n or e has a leading zero')
  const bits = modulus.length * 8 - Math.clz32(modulus[0]!) + 24
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) {
    refuseKey(`expected ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`)
  }
  if (exponent.length > MAX_EXPONENT_BYTES) refuseKey('e is too large')
  const odd = (exponent.at(-1)! & 1) === 1 && (modulus.at(-1)! & 1) === 1
  if (!odd || (exponent.length === 1 && exponent[0] === 1)) refuseKey('e or n is not usable')
  return { kty: 'RSA', n: n as string, e: e as string }
}

function octets(value: unknown, name: string): Buffer {
  const bytes = typeof value === 'string' ? decodeBase64url(value) : undefined
  if (bytes === undefined || bytes.length === 0) {
    refuseKey(`${name} is not canonical base64url`)
  }
  return bytes
}

/** Node checks that a point is on its curve. */
function importMembers(key: JsonWebKey): KeyObject {
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch (cause) {
    throw new JwsError('key', 'key not accepted: not a point or number of its kind', { cause })
  }
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuseKey(why: string): never {
  throw new JwsError('key', `key not accepted: ${why}`)
}
