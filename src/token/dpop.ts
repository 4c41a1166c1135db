/**
 * DPoP proofs (RFC 9449): the one check that the broker's token endpoint and every verifier share.
 *
 * The twelve checks of §4.3, each marked where it is made. All but the replay of `jti`, which only a
 * ledger can see: spend `VerifiedProof.id`.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { BoundedMap } from '../lib/bounded-map.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { type ProofCheck, type Reason, Refusal, refuse } from '../refusal.ts'
import type { Algorithm } from './algorithm.ts'
import { hashStrings } from './hash-strings.ts'
import { importJwk, thumbprintOf } from './jwk.ts'
import {
  decodeHeader,
  decodeJsonSegment,
  decodeSegment,
  JwsError,
  type JwsSegments,
  ownText,
  splitJws,
  type VerificationKey,
  verifySignature,
} from './jws.ts'
import type { Nonces } from './nonce.ts'
import { normaliseTarget } from './web-url.ts'

/**
 * Accepted for proofs. No RS256: a proof names its own algorithm, and with one RSA scheme only, each
 * key has exactly one (RFC 8725 §3.1). `EdDSA` and `Ed25519` are two names of the same.
 */
export const PROOF_ALGORITHMS: readonly Algorithm[] = [
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'Ed25519',
  'EdDSA',
]

export const MAX_PROOF_BYTES = 8 * 1024
const PROOF_MAX_AGE_SECONDS = 60
export const PROOF_MAX_AHEAD_SECONDS = 10
const MAX_JTI_CHARACTERS = 256

export interface ExpectedProof {
  /** Of the request at hand; compared with case. */
  readonly method: string
  /** The configured external URL of the request, never one made from `Host`. */
  readonly url: string
  /** Seconds since the epoch. */
  readonly now: number
  /** When given, every proof needs a nonce of theirs; there is no way back to none (§11.3). */
  readonly nonces?: Nonces | undefined
  /** The access token the proof comes with, as received. */
  readonly accessToken?: string | undefined
  /** 60 by default. */
  readonly maxAgeSeconds?: number | undefined
  /** 10 by default. */
  readonly maxAheadSeconds?: number | undefined
}

export interface VerifiedProof {
  /** Thumbprint of the key that made the proof (RFC 7638). */
  readonly jkt: string
  readonly jti: string
  /** What to spend in the ledger: a hash over key and `jti`, so no stranger can burn another's. */
  readonly id: string
  readonly issuedAt: number
  /** From here on (seconds) no process accepts the proof, even one whose clock is behind. */
  readonly expiresAt: number
}

interface Holder {
  readonly key: VerificationKey
  readonly jkt: string
}

/** Header segments already understood; a key that proves itself again and again costs one look-up. */
const holders = new BoundedMap<string, Holder>(4096)
/** Longer headers (none an honest key needs) are never kept, which bounds the memory too. */
const MAX_KEPT_HEADER = 2048
/** Comes from configuration, so few; bounded all the same. */
const targets = new BoundedMap<string, string>(256)

/**
 * Verifies the `DPoP` header fields of one request.
 *
 * Synchronous when the key has been seen before. A refusal may come as a throw or as a rejection, so
 * call it with `await`.
 *
 * @param headerValues one entry per field received
 * @throws {Refusal} `binding_missing`, `proof_invalid` or `nonce_required`
 * @throws {TypeError} when `expected.url` is not an absolute http(s) URL
 */
export function verifyProof(
  headerValues: readonly string[],
  expected: ExpectedProof,
): VerifiedProof | Promise<VerifiedProof> {
  const segments = refusing(() => splitJws(theOne(headerValues), MAX_PROOF_BYTES))
  const known = holders.get(segments.header)
  if (known === undefined) return verifyNewKey(segments, expected)
  checkSignature(segments, known.key)
  return checkClaims(segments.payload, known.jkt, expected)
}

async function verifyNewKey(
  segments: JwsSegments,
  expected: ExpectedProof,
): Promise<VerifiedProof> {
  const { jwk, key } = refusing(() => readHeader(segments.header))
  // Before the thumbprint and the cache: only who holds a key gets it remembered.
  checkSignature(segments, key)
  const jkt = await thumbprintOf(jwk)
  if (segments.header.length <= MAX_KEPT_HEADER) holders.set(ownText(segments.header), { key, jkt })
  return checkClaims(segments.payload, jkt, expected)
}

/** Check 1: exactly one field, and not two that a proxy or Node has joined with a comma. */
function theOne(headerValues: readonly string[]): string {
  if (headerValues.length === 0) refuse({ code: 'binding_missing' })
  const [value] = headerValues
  if (headerValues.length > 1 || value!.includes(',')) refuseProof('count')
  return value!
}

/** Checks 4, 5 and 7. Unknown header parameters are allowed (§4.2) and mean nothing. */
function readHeader(segment: string): { jwk: JsonObject; key: VerificationKey } {
  const header = decodeHeader(segment)
  if (header.typ !== 'dpop+jwt') refuseProof('typ')
  const algorithm = PROOF_ALGORITHMS.find((name) => name === header.alg)
  if (algorithm === undefined) refuseProof('algorithm')
  const { jwk } = header
  if (!isJsonObject(jwk)) refuseProof('key')
  return { jwk, key: importJwk(jwk, [algorithm]) }
}

/** Check 6. */
function checkSignature(segments: JwsSegments, key: VerificationKey): void {
  const signature = refusing(() => decodeSegment(segments.signature))
  if (!verifySignature(segments.signingInput, signature, key)) refuseProof('signature')
}

/** Checks 2 and 3, then 8 to 12, in the order of §4.3. */
function checkClaims(segment: string, jkt: string, expected: ExpectedProof): VerifiedProof {
  const claims = refusing(() => decodeJsonSegment(segment))
  const { jti, htm, htu, iat } = claims
  if (typeof jti !== 'string' || jti.length === 0 || jti.length > MAX_JTI_CHARACTERS) {
    refuseProof('claims')
  }
  if (typeof htm !== 'string' || typeof htu !== 'string' || !isTime(iat)) refuseProof('claims')

  if (htm !== expected.method) refuseProof('method')
  if (htu !== expected.url && normaliseTarget(htu) !== targetOf(expected.url)) refuseProof('url')
  checkNonce(claims, expected)

  const maxAgeSeconds = expected.maxAgeSeconds ?? PROOF_MAX_AGE_SECONDS
  const maxAheadSeconds = expected.maxAheadSeconds ?? PROOF_MAX_AHEAD_SECONDS
  // Written so that a clock that is not a number refuses.
  if (!(iat >= expected.now - maxAgeSeconds && iat <= expected.now + maxAheadSeconds)) {
    refuseProof('age')
  }
  checkOptionalTimes(claims, expected.now, maxAheadSeconds)
  if (expected.accessToken !== undefined) checkTokenHash(claims, expected.accessToken)

  return {
    jkt,
    jti,
    id: hashStrings([jkt, jti]),
    issuedAt: iat,
    expiresAt: Math.ceil(iat + maxAgeSeconds + maxAheadSeconds),
  }
}

/** Check 10. */
function checkNonce({ nonce }: JsonObject, { nonces, now }: ExpectedProof): void {
  if (nonce !== undefined && typeof nonce !== 'string') refuseProof('claims')
  if (nonces === undefined) return
  if (nonce === undefined) refuse({ code: 'nonce_required', why: 'absent' })
  if (!nonces.accepts(nonce, now)) refuse({ code: 'nonce_required', why: 'unknown' })
}

/** Not asked of a proof, but where a client gave them they hold (RFC 7519 §4.1.4, §4.1.5). */
function checkOptionalTimes({ exp, nbf }: JsonObject, now: number, skewSeconds: number): void {
  if (exp !== undefined && !isTime(exp)) refuseProof('claims')
  if (nbf !== undefined && !isTime(nbf)) refuseProof('claims')
  if (exp !== undefined && now >= exp + skewSeconds) refuseProof('age')
  if (nbf !== undefined && now < nbf - skewSeconds) refuseProof('age')
}

/** Check 12, its first half; the second (key = token's binding) is for who has read the token. */
function checkTokenHash({ ath }: JsonObject, accessToken: string): void {
  const wanted = hash('sha256', accessToken, 'base64url')
  const given = Buffer.from(typeof ath === 'string' ? ath : '')
  if (given.length !== wanted.length || !timingSafeEqual(given, Buffer.from(wanted))) {
    refuseProof('token_hash')
  }
}

function targetOf(url: string): string {
  const known = targets.get(url)
  if (known !== undefined) return known
  const target = normaliseTarget(url)
  if (target === undefined) throw new TypeError('expected.url must be an absolute http(s) url')
  targets.set(url, target)
  return target
}

function isTime(value: unknown): value is number {
  return (
    typeof value === 'number' &&
    Number.isFinite(value) &&
    Math.abs(value) <= Number.MAX_SAFE_INTEGER
  )
}

function refusing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    throw new Refusal(proofReason(error.check), { cause: error })
  }
}

function refuseProof(check: ProofCheck): never {
  refuse(proofReason(check))
}

function proofReason(check: ProofCheck): Reason {
  return { code: 'proof_invalid', check }
}
