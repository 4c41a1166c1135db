/**
 * The signature algorithms Writ knows, as data.
 *
 * All are asymmetric and every one names its hash, so a key fits exactly one entry once its `alg`
 * is known (RFC 8725 §3.1, §3.2). `none` and the HMAC family are not here, and so cannot be asked for.
 */

/** JWS algorithms (RFC 7518 §3.1, RFC 8037, RFC 9864). `EdDSA` means Ed25519 here, never Ed448. */
export type Algorithm =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'Ed25519'
  | 'EdDSA'

/**
 * What the broker signs access tokens with, and so all that a verifier accepts for them. Every verifier
 * must know RS256 (RFC 9068 §2.1).
 */
export const ACCESS_TOKEN_ALGORITHMS: readonly Algorithm[] = ['ES256', 'RS256', 'Ed25519']

/** An elliptic curve: what a signature over it looks like. */
export interface Curve {
  readonly name: 'P-256' | 'P-384' | 'P-521'
  /** Length of one coordinate, and of each half of a signature. */
  readonly bytes: number
  /** The order of the group, big endian: both halves of a signature are below it. */
  readonly order: Buffer
}

export type Scheme =
  | { readonly kind: 'ecdsa'; readonly hash: string; readonly curve: Curve }
  | { readonly kind: 'rsa'; readonly hash: string; readonly padding: 'pkcs1' | 'pss' }
  | { readonly kind: 'ed25519' }

const P256: Curve = {
  name: 'P-256',
  bytes: 32,
  order: Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex'),
}
const P384: Curve = {
  name: 'P-384',
  bytes: 48,
  order: Buffer.from(
    'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
    'hex',
  ),
}
const P521: Curve = {
  name: 'P-521',
  bytes: 66,
  order: Buffer.from(
    `01${'ff'.repeat(32)}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
    'hex',
  ),
}

const SCHEMES: ReadonlyMap<string, Scheme> = new Map<Algorithm, Scheme>([
  ['ES256', { kind: 'ecdsa', hash: 'sha256', curve: P256 }],
  ['ES384', { kind: 'ecdsa', hash: 'sha384', curve: P384 }],
  ['ES512', { kind: 'ecdsa', hash: 'sha512', curve: P521 }],
  ['RS256', { kind: 'rsa', hash: 'sha256', padding: 'pkcs1' }],
  ['RS384', { kind: 'rsa', hash: 'sha384', padding: 'pkcs1' }],
  ['RS512', { kind: 'rsa', hash: 'sha512', padding: 'pkcs1' }],
  ['PS256', { kind: 'rsa', hash: 'sha256', padding: 'pss' }],
  ['PS384', { kind: 'rsa', hash: 'sha384', padding: 'pss' }],
  ['PS512', { kind: 'rsa', hash: 'sha512', padding: 'pss' }],
  ['Ed25519', { kind: 'ed25519' }],
  ['EdDSA', { kind: 'ed25519' }],
])

export function isAlgorithm(name: unknown): name is Algorithm {
  return typeof name === 'string' && SCHEMES.has(name)
}

export function schemeOf(algorithm: Algorithm): Scheme {
  return SCHEMES.get(algorithm) as Scheme
}

/** Whether two names mean one algorithm: equal, or both Ed25519 (RFC 9864 §2.2). */
export function sameAlgorithm(a: string, b: string): boolean {
  return a === b || (isEd25519(a) && isEd25519(b))
}

function isEd25519(name: string): boolean {
  return name === 'Ed25519' || name === 'EdDSA'
}
