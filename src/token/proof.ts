/** The sender's side of DPoP (RFC 9449 §4.2): a key, and a fresh proof for each request. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  KeyObject,
  randomBytes,
} from 'node:crypto'
import { encodeBase64url } from '../lib/base64url.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type Algorithm, schemeOf } from './algorithm.ts'
import { PROOF_ALGORITHMS } from './dpop.ts'
import { importJwk } from './jwk.ts'
import { JwsError, signBytes } from './jws.ts'

/** A key that makes proofs. The private half is never in reach of whoever holds this. */
export interface SenderKey {
  readonly algorithm: Algorithm
  readonly publicJwk: JsonObject
  /** What a token is bound to (RFC 7638 thumbprint, SHA-256). */
  readonly jkt: string
  /** A signature in the form JWS uses; a string is signed as UTF-8. */
  sign(data: string | Uint8Array): Buffer
}

export interface ProofRequest {
  readonly method: string
  /** The URL of the request; its query and fragment are left out of the proof. */
  readonly url: string
  /** Seconds since the epoch. */
  readonly now: number
  /** The latest nonce this server gave (§8.2). */
  readonly nonce?: string | undefined
  /** The token the request carries, if any. */
  readonly accessToken?: string | undefined
}

const JTI_BYTES = 16
const headerSegments = new WeakMap<SenderKey, string>()

/**
 * Makes a key that lives in memory only.
 *
 * @throws {TypeError} when `algorithm` is not accepted for proofs
 */
export function generateSenderKey(algorithm: Algorithm = 'ES256'): SenderKey {
  if (!PROOF_ALGORITHMS.includes(algorithm)) throw new TypeError('not an algorithm for proofs')
  const scheme = schemeOf(algorithm)
  switch (scheme.kind) {
    case 'ecdsa':
      return senderKey(generateKeyPairSync('ec', { namedCurve: scheme.curve.name }).privateKey)
    case 'rsa':
      return senderKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
    case 'ed25519':
      return senderKey(generateKeyPairSync('ed25519').privateKey)
  }
}

/**
 * Takes over a key that exists.
 *
 * @param privateKey a private JWK, or a private KeyObject
 * @throws {TypeError} when it is not a private key that can make proofs
 */
export function importSenderKey(privateKey: JsonObject | KeyObject): SenderKey {
  if (privateKey instanceof KeyObject) return senderKey(privateKey)
  let key: KeyObject
  try {
    key = createPrivateKey({ key: privateKey as JsonWebKey, format: 'jwk' })
  } catch {
    // No cause: what the parser says could quote the key.
    throw new TypeError('not a private key in JWK form')
  }
  return senderKey(key)
}

/** The compact proof for the `DPoP` header of one request. Good once: make another for each try. */
export function makeProof(key: SenderKey, request: ProofRequest): string {
  const claims: Record<string, Json> = {
    jti: encodeBase64url(randomBytes(JTI_BYTES)),
    htm: request.method,
    htu: withoutQuery(request.url),
    iat: Math.floor(request.now),
  }
  if (request.nonce !== undefined) claims.nonce = request.nonce
  if (request.accessToken !== undefined) {
    claims.ath = createHash('sha256').update(request.accessToken).digest('base64url')
  }
  const signingInput = `${headerSegmentOf(key)}.${encodeBase64url(JSON.stringify(claims))}`
  return `${signingInput}.${encodeBase64url(key.sign(signingInput))}`
}

function senderKey(key: KeyObject): SenderKey {
  if (key.type !== 'private') throw new TypeError('not a private key')
  const { publicJwk, algorithm } = describe(key)
  return {
    algorithm,
    publicJwk,
    jkt: thumbprint(publicJwk),
    sign: (data) =>
      signBytes(typeof data === 'string' ? Buffer.from(data) : data, { algorithm, key }),
  }
}

/** The public half, checked by the very rules a verifier applies. */
function describe(key: KeyObject): { publicJwk: JsonObject; algorithm: Algorithm } {
  const exported: unknown = createPublicKey(key).export({ format: 'jwk' })
  try {
    const { algorithm } = importJwk(exported, PROOF_ALGORITHMS)
    if (isJsonObject(exported as Json)) return { publicJwk: exported as JsonObject, algorithm }
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
  }
  throw new TypeError('not a key that can make proofs')
}

/**
 * RFC 7638 §3: the required members in alphabetical order. `jwk.ts` asks jose for the thumbprints of
 * strangers' keys; this one is of a key that Node has just written out in that very form, and is
 * needed without waiting.
 */
function thumbprint({ crv, e, kty, n, x, y }: JsonObject): string {
  const members =
    kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x }
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}

function headerSegmentOf(key: SenderKey): string {
  let segment = headerSegments.get(key)
  if (segment === undefined) {
    const header = { typ: 'dpop+jwt', alg: key.algorithm, jwk: key.publicJwk }
    segment = encodeBase64url(JSON.stringify(header))
    headerSegments.set(key, segment)
  }
  return segment
}

function withoutQuery(url: string): string {
  const end = url.search(/[?#]/)
  return end < 0 ? url : url.slice(0, end)
}
