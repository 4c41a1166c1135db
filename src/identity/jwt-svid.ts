import { hash } from 'node:crypto'
import { BoundedMap } from '../lib/bounded-map.ts'
import type { JsonObject } from '../lib/json.ts'
import { type IdentityCheck, refuse } from '../refusal.ts'
import {
  type Algorithm,
  decodeJsonSegment,
  decodeSegment,
  type Jws,
  JwsError,
  splitJws,
  verifyJws,
} from '../token/jws.ts'
import { SVID_ALGORITHMS } from './bundles/bundle.ts'
import type { Bundles } from './bundles/bundles.ts'
import { parseSpiffeId } from './spiffe-id.ts'
import { proven, type Workload } from './workload.ts'

/** Longer than any SVID in use, short enough that refusing one costs nothing. */
const MAX_SVID_BYTES = 16 * 1024
/** Verified SVIDs kept; about 400 bytes each. */
const MAX_VERIFIED = 10_000
const CLOCK_SKEW_SECONDS = 5
/** SPIRE issues for minutes. A day leaves room for slower issuers and still bounds a theft. */
const MAX_REMAINING_SECONDS = 24 * 60 * 60

export interface JwtSvidProverOptions {
  readonly bundles: Pick<Bundles, 'knows' | 'version' | 'jwtKey'>
  /** The broker's issuer; an SVID must name it as its audience, and nothing else. */
  readonly audience: string
  /** How far ahead of ours the clock of an issuer may run (`iat`, `nbf`); `exp` has no grace. */
  readonly clockSkewSeconds?: number
  /** The longest time an SVID may still have to live. */
  readonly maxRemainingSeconds?: number
}

export interface JwtSvidProver {
  /**
   * Proves which workload a JWT-SVID stands for. Does no I/O and opens no connection.
   *
   * @param now seconds since the epoch
   * @throws {Refusal} `identity_invalid` with the check that failed, or `identity_unknown_issuer`
   */
  prove(token: string, now: number): Workload
}

/** A verified SVID, and what must still be true for it to be believed again. */
interface Verified {
  readonly workload: Workload
  readonly trustDomain: string
  readonly bundleVersion: number
  readonly notBefore: number
}

/**
 * JWT-SVID §§2–5, strictly: compact form, nine algorithms, no header but `alg`, `kid`, `typ`, a key
 * out of the bundle of the trust domain in `sub`. A verified SVID is remembered until it expires or
 * its trust domain's bundle changes, since workloads present one SVID many times.
 */
export function createJwtSvidProver(options: JwtSvidProverOptions): JwtSvidProver {
  const { bundles, audience } = options
  const skewSeconds = options.clockSkewSeconds ?? CLOCK_SKEW_SECONDS
  const maxRemainingSeconds = options.maxRemainingSeconds ?? MAX_REMAINING_SECONDS
  const verified = new BoundedMap<string, Verified>(MAX_VERIFIED)

  return {
    prove(token, now) {
      // Before hashing: a stranger's megabyte costs nothing.
      if (token.length > MAX_SVID_BYTES) refuseSvid('form')
      // The exact text is hashed: another spelling of the same SVID is not found and is read anew.
      const spelling = hash('sha256', token, 'base64url')
      const known = verified.get(spelling)
      if (known !== undefined) {
        if (bundles.version(known.trustDomain) === known.bundleVersion) {
          if (now >= known.workload.expiresAt) refuseSvid('expiry')
          if (known.notBefore > now + skewSeconds) refuseSvid('expiry')
          return known.workload
        }
        verified.delete(spelling)
      }
      const jws = decodeCompact(token)
      const { trustDomain, text: id } = checkSubject(jws.payload)
      if (!bundles.knows(trustDomain)) {
        refuse({ code: 'identity_unknown_issuer', issuer: trustDomain })
      }
      const bundleVersion = bundles.version(trustDomain)
      checkSignature(jws, trustDomain)
      checkAudience(jws.payload.aud, audience)
      const times = checkTimes(jws.payload, { now, skewSeconds, maxRemainingSeconds })
      const workload = proven({
        id,
        kind: 'spiffe',
        issuer: trustDomain,
        expiresAt: times.expiresAt,
        // What was signed, without the signature: an ECDSA signature has a second valid spelling.
        credential: hash('sha256', jws.signingInput, 'base64url'),
        attributes: {},
      })
      const { notBefore } = times
      verified.set(spelling, { workload, trustDomain, bundleVersion, notBefore })
      return workload
    },
  }

  function checkSignature(jws: ReturnType<typeof decodeCompact>, trustDomain: string): void {
    const kid = jws.header.kid as string | undefined
    const key = bundles.jwtKey(trustDomain, kid, jws.algorithm)
    if (key === undefined) refuseSvid('key')
    if (!verifyJws(jws, key)) refuseSvid('signature')
  }
}

function refuseSvid(check: IdentityCheck, cause?: unknown): never {
  return refuse({ code: 'identity_invalid', check }, cause)
}

/** SP-1: compact serialisation only, each part in its one canonical spelling. */
function decodeCompact(token: string): Jws & { algorithm: Algorithm } {
  try {
    const segments = splitJws(token, MAX_SVID_BYTES)
    const header = decodeJsonSegment(segments.header)
    const algorithm = checkHeader(header)
    return {
      header,
      algorithm,
      payload: decodeJsonSegment(segments.payload),
      headerSegment: segments.header,
      signingInput: segments.signingInput,
      signature: decodeSegment(segments.signature),
    }
  } catch (error) {
    if (error instanceof JwsError) return refuseSvid(error.check)
    throw error
  }
}

/** SP-2 and SP-3: the algorithm first; then nothing else may steer how the key is chosen. */
function checkHeader(header: JsonObject): Algorithm {
  const algorithm = SVID_ALGORITHMS.find((allowed) => allowed === header.alg)
  if (algorithm === undefined) return refuseSvid('algorithm')
  for (const name of Object.keys(header)) {
    if (name !== 'alg' && name !== 'kid' && name !== 'typ') refuseSvid('header')
  }
  if (header.typ !== undefined && header.typ !== 'JWT' && header.typ !== 'JOSE') {
    refuseSvid('header')
  }
  if (header.kid !== undefined && (typeof header.kid !== 'string' || header.kid === '')) {
    refuseSvid('header')
  }
  return algorithm
}

/** SP-4: `sub` is the id of a workload; the bare id of a trust domain names none. */
function checkSubject(payload: JsonObject): ReturnType<typeof parseSpiffeId> {
  if (typeof payload.sub !== 'string') return refuseSvid('spiffe_id')
  const id = parseSpiffeId(payload.sub)
  if (id.path === '') refuseSvid('spiffe_id')
  return id
}

// An SVID for us and for others could be presented here by any of the others.
function checkAudience(aud: unknown, audience: string): void {
  const only = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  if (only !== audience) refuseSvid('audience')
}

function checkTimes(
  payload: JsonObject,
  limits: { now: number; skewSeconds: number; maxRemainingSeconds: number },
): { expiresAt: number; notBefore: number } {
  const { now, skewSeconds, maxRemainingSeconds } = limits
  const expiresAt = numericDate(payload.exp)
  if (expiresAt === undefined) return refuseSvid('claims')
  if (now >= expiresAt) refuseSvid('expiry')
  if (expiresAt - now > maxRemainingSeconds) refuseSvid('expiry')
  const notBefore = payload.nbf === undefined ? 0 : numericDate(payload.nbf)
  const issuedAt = payload.iat === undefined ? 0 : numericDate(payload.iat)
  if (notBefore === undefined || issuedAt === undefined) return refuseSvid('claims')
  const latest = Math.max(notBefore, issuedAt)
  if (latest > now + skewSeconds) refuseSvid('expiry')
  return { expiresAt, notBefore: latest }
}

/** RFC 7519 §2: seconds since the epoch, possibly fractional. */
function numericDate(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}
