/** A JWT of a configured issuer: read first, believed only after every check here (RFC 8725 §3). */
import { hash } from 'node:crypto'
import type { Json, JsonObject } from '../../lib/json.ts'
import { type IdentityCheck, refuse } from '../../refusal.ts'
import { type Algorithm, sameAlgorithm } from '../../token/algorithm.ts'
import {
  decodeJsonSegment,
  decodeSegment,
  type Jws,
  JwsError,
  splitJws,
  type VerificationKey,
  verifyJws,
} from '../../token/jws.ts'
import { isSubject } from '../workload-id.ts'
import type { IssuerKeys } from './issuer-keys.ts'

/** Longer than any token in use, short enough that refusing one costs nothing. */
export const MAX_TOKEN_BYTES = 16 * 1024
export const CLOCK_SKEW_SECONDS = 5
/** A day leaves room for every issuer in use and still bounds a theft. */
const MAX_REMAINING_SECONDS = 24 * 60 * 60

/** Header parameters that would choose the key, or what is signed, from outside (RFC 8725 §3.10). */
export const REFUSED_PARAMETERS = ['jku', 'x5u', 'x5c', 'jwk', 'crit', 'b64', 'zip', 'enc']

/** What every token of one issuer must be. */
export interface TokenRules {
  readonly issuer: string
  /** RFC 8725 §3.1: decided here, never by the header. */
  readonly algorithms: readonly Algorithm[]
  readonly keys: Pick<IssuerKeys, 'find'>
  /** From `iat` to now; `iat` is required when it is set. */
  readonly maxAgeSeconds: number | undefined
  readonly clockSkewSeconds: number
}

/** A token that every check of `TokenRules` has accepted. */
export interface VerifiedToken {
  readonly header: JsonObject
  readonly claims: JsonObject
  readonly subject: string
  /** What was signed, hashed without the signature: an ECDSA signature has a second spelling. */
  readonly credential: string
  readonly key: VerificationKey
  readonly times: TokenTimes
}

/** When a token counts, in seconds since the epoch. */
export interface TokenTimes {
  readonly notBefore: number
  readonly expiresAt: number
  /** When it becomes too old, though it has not expired. */
  readonly tooOldAt: number
}

/** @throws {Refusal} `identity_invalid`, always */
export function refuseToken(check: IdentityCheck, cause?: unknown): never {
  return refuse({ code: 'identity_invalid', check }, cause)
}

/**
 * Splits and decodes, verifies nothing.
 *
 * @throws {Refusal} `identity_invalid`, check `form`, or `header` for a parameter that could lead
 *   somewhere: such a token is refused before its issuer is even looked at
 */
export function readToken(text: string): Jws {
  try {
    const segments = splitJws(text, MAX_TOKEN_BYTES)
    const header = decodeJsonSegment(segments.header)
    for (const name of REFUSED_PARAMETERS) if (Object.hasOwn(header, name)) refuseToken('header')
    return {
      header,
      payload: decodeJsonSegment(segments.payload),
      headerSegment: segments.header,
      signingInput: segments.signingInput,
      signature: decodeSegment(segments.signature),
    }
  } catch (error) {
    if (error instanceof JwsError) return refuseToken(error.check)
    throw error
  }
}

/**
 * Algorithm, key, signature, then the claims every kind has in common. Answers at once while the
 * issuer's keys are at hand.
 *
 * @throws {Refusal} `identity_invalid` with the check, or `trust_unavailable`; perhaps as a rejection
 */
export function verifyToken(
  jws: Jws,
  rules: TokenRules,
  now: number,
): VerifiedToken | Promise<VerifiedToken> {
  const { alg, kid } = jws.header
  if (!rules.algorithms.some((allowed) => sameAlgorithm(allowed, String(alg)))) {
    refuseToken('algorithm')
  }
  if (kid !== undefined && (typeof kid !== 'string' || kid === '')) refuseToken('header')
  const found = rules.keys.find(kid, String(alg))
  return found instanceof Promise
    ? found.then((key) => verifyWith(key, jws, rules, now))
    : verifyWith(found, jws, rules, now)
}

function verifyWith(
  key: VerificationKey | undefined,
  jws: Jws,
  rules: TokenRules,
  now: number,
): VerifiedToken {
  if (key === undefined) refuseToken('key')
  if (!verifyJws(jws, key)) refuseToken('signature')
  const { header, payload: claims } = jws
  // Whoever calls has chosen the rules by this claim; it must still be the one that was signed.
  if (claims.iss !== rules.issuer) refuseToken('issuer')
  // A logout token or another security event is signed with the same keys and proves no identity
  // (RFC 8725 §3.12; OpenID Connect Back-Channel Logout §2.4).
  if (claims.events !== undefined) refuseToken('typ')
  const { sub } = claims
  if (typeof sub !== 'string' || !isSubject(sub)) refuseToken('subject')
  const times = readTimes(claims, rules)
  checkTimes(times, rules, now)
  if (times.expiresAt - now > MAX_REMAINING_SECONDS) refuseToken('expiry')
  const credential = hash('sha256', jws.signingInput, 'base64url')
  return { header, claims, subject: sub, credential, key, times }
}

function readTimes(claims: JsonObject, { maxAgeSeconds }: TokenRules): TokenTimes {
  const expiresAt = numericDate(claims.exp)
  const notBefore = claims.nbf === undefined ? 0 : numericDate(claims.nbf)
  const issuedAt = claims.iat === undefined ? undefined : numericDate(claims.iat)
  if (expiresAt === undefined || notBefore === undefined) return refuseToken('claims')
  if (issuedAt === undefined && (claims.iat !== undefined || maxAgeSeconds !== undefined)) {
    return refuseToken('claims')
  }
  return {
    expiresAt,
    notBefore: Math.max(notBefore, issuedAt ?? 0),
    tooOldAt: maxAgeSeconds === undefined ? Number.POSITIVE_INFINITY : issuedAt! + maxAgeSeconds,
  }
}

/**
 * Checked at every use, remembered tokens included.
 *
 * @throws {Refusal} `identity_invalid`, check `expiry` or `age`
 */
export function checkTimes(
  times: TokenTimes,
  { clockSkewSeconds }: Pick<TokenRules, 'clockSkewSeconds'>,
  now: number,
): void {
  // No grace: the other side's clock may be wrong, and a token that has ended has ended.
  if (now >= times.expiresAt || times.notBefore > now + clockSkewSeconds) refuseToken('expiry')
  if (now >= times.tooOldAt) refuseToken('age')
}

/** RFC 7519 §2: seconds since the epoch, possibly fractional. */
function numericDate(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}

/**
 * One audience, ours: whoever else a token is for could present it here.
 *
 * @throws {Refusal} `identity_invalid`, check `audience`
 */
export function checkOnlyAudience(aud: Json | undefined, audiences: readonly string[]): void {
  const only = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  if (typeof only !== 'string' || !audiences.includes(only)) refuseToken('audience')
}

/**
 * RFC 7519 §5.1, RFC 8725 §3.11.
 *
 * @throws {Refusal} `identity_invalid`, check `typ`, unless the header has none or `JWT`
 */
export function checkPlainType(header: JsonObject): void {
  if (header.typ !== undefined && header.typ !== 'JWT') refuseToken('typ')
}
