/**
 * Access tokens (RFC 9068) as Writ signs them, verified without asking anyone but the key source.
 *
 * Order: form, typ, algorithm, key, signature; only then are claims read. What is checked here is
 * what is true of every token. Whether it fits the caller's key and the message is for the verifier.
 */
import { BoundedMap } from '../lib/bounded-map.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal, refuse, type TokenCheck } from '../refusal.ts'
import { ACCESS_TOKEN_ALGORITHMS, sameAlgorithm } from './algorithm.ts'
import { readClaims } from './claim-check.ts'
import type { TokenClaims } from './claims.ts'
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
import type { KeySource } from './key-set.ts'

export const MAX_TOKEN_BYTES = 16 * 1024
/** No token lives longer, whatever the broker was configured to do. */
export const MAX_LIFETIME_SECONDS = 300

export interface VerifiedToken {
  readonly claims: TokenClaims
  readonly kind: 'action' | 'session'
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

export interface TokenVerifierOptions {
  /** Compared as text (RFC 9068 §4). */
  readonly issuer: string
  /** The one resource these tokens must be for. */
  readonly audience: string
  /** Keys of this issuer and of no other (RFC 8725 §3.8). */
  readonly keys: KeySource
  /** The longest `exp` − `iat`; 300 by default and at most. */
  readonly maxLifetimeSeconds?: number
  /** How far another machine's clock may be off; 5 by default. */
  readonly clockSkewSeconds?: number
}

export interface TokenVerifier {
  /**
   * Synchronous whenever the key source is. A refusal may come as a throw or as a rejection, so call
   * it with `await`.
   *
   * @throws {Refusal} `token_invalid`, `token_expired`, `token_unbound` or `keys_unavailable`
   */
  verify(text: string, now: number): VerifiedToken | Promise<VerifiedToken>
}

interface Header {
  readonly kid: string
  readonly alg: string
}

/** A session token that has been verified, and the key that did it. */
interface Remembered {
  readonly text: string
  readonly token: VerifiedToken
  readonly header: Header
  readonly key: VerificationKey
}

const MAX_REMEMBERED_TOKENS = 10_000
/** Twice what a session token needs; bounds the memory. */
const MAX_REMEMBERED_CHARACTERS = 2048
const MAX_REMEMBERED_HEADERS = 64

/** @throws {TypeError} when a limit is out of range */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { issuer, audience, keys } = options
  const maxLifetimeSeconds = options.maxLifetimeSeconds ?? MAX_LIFETIME_SECONDS
  const clockSkewSeconds = options.clockSkewSeconds ?? 5
  if (!(maxLifetimeSeconds > 0 && maxLifetimeSeconds <= MAX_LIFETIME_SECONDS)) {
    throw new TypeError(`maxLifetimeSeconds must be from 1 to ${MAX_LIFETIME_SECONDS}`)
  }
  if (!(clockSkewSeconds >= 0 && clockSkewSeconds <= 60)) {
    throw new TypeError('clockSkewSeconds must be from 0 to 60')
  }

  /** Of verified tokens only, so a stranger cannot fill it. A broker key has one header. */
  const headers = new BoundedMap<string, Header>(MAX_REMEMBERED_HEADERS)
  /**
   * Verified session tokens by their signature. Only the very text that was verified before is a
   * hit: by (iss, jti) alone, a forgery that quotes a known jti would be one too.
   */
  const sessions = new BoundedMap<string, Remembered>(MAX_REMEMBERED_TOKENS)

  function verify(text: string, now: number): VerifiedToken | Promise<VerifiedToken> {
    const segments = refusing(() => splitJws(text, MAX_TOKEN_BYTES))
    const remembered = sessions.get(segments.signature)
    const known = remembered?.text === text ? remembered : undefined
    const header = known?.header ?? headers.get(segments.header) ?? readHeader(segments.header)
    const key = keys.find(header.kid, header.alg)
    const finish = (found: VerificationKey | undefined) => {
      if (found === undefined) refuseToken('key')
      // Its key is still trusted, and still the same: only time can have passed.
      if (known !== undefined && known.key === found) return checkTime(known.token, now)
      return verifyWith(found, { segments, header, text, now })
    }
    return key instanceof Promise ? key.then(finish) : finish(key)
  }

  function verifyWith(
    key: VerificationKey,
    received: { segments: JwsSegments; header: Header; text: string; now: number },
  ): VerifiedToken {
    const { segments, header, text, now } = received
    // One key, one algorithm, whatever the key source is (RFC 8725 §3.1).
    if (!sameAlgorithm(header.alg, key.algorithm)) refuseToken('key')
    const signature = refusing(() => decodeSegment(segments.signature))
    if (!verifySignature(segments.signingInput, signature, key)) refuseToken('signature')
    if (!headers.has(segments.header)) headers.set(ownText(segments.header), header)

    const read = readClaims(refusing(() => decodeJsonSegment(segments.payload)))
    const token = { ...read, expiresAt: read.claims.exp }
    if (token.claims.iss !== issuer) refuseToken('issuer')
    if (token.claims.aud !== audience) refuseToken('audience')
    const lifetimeSeconds = token.claims.exp - token.claims.iat
    if (!(lifetimeSeconds > 0 && lifetimeSeconds <= maxLifetimeSeconds)) refuseToken('lifetime')
    checkTime(token, now)
    if (token.kind === 'session' && text.length <= MAX_REMEMBERED_CHARACTERS) {
      freeze(token.claims)
      sessions.set(segments.signature, { text, token, header, key })
    }
    return token
  }

  /** Written so that a clock that is not a number refuses. */
  function checkTime(token: VerifiedToken, now: number): VerifiedToken {
    const { iat, exp, nbf } = token.claims as TokenClaims & { readonly nbf?: number }
    if (!(Math.max(iat, nbf ?? iat) <= now + clockSkewSeconds)) refuseToken('lifetime')
    if (!(now < exp + clockSkewSeconds)) refuse({ code: 'token_expired' })
    return token
  }

  return { verify }
}

/** Exactly `typ`, `alg`, `kid`: the broker writes nothing else, so anything else is not from it. */
function readHeader(segment: string): Header {
  const header: JsonObject = refusing(() => decodeHeader(segment))
  const { typ, alg, kid } = header
  if (typ !== 'at+jwt') refuseToken('typ')
  if (!ACCESS_TOKEN_ALGORITHMS.some((name) => name === alg)) refuseToken('algorithm')
  if (typeof kid !== 'string' || Object.keys(header).length !== 3) refuseToken('form')
  return { kid, alg: alg as string }
}

/** A handler is given the very claims that are believed again next time, and must not change them. */
function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return
  Object.values(value).forEach(freeze)
  Object.freeze(value)
}

function refusing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    throw new Refusal({ code: 'token_invalid', check: error.check }, { cause: error })
  }
}

function refuseToken(check: TokenCheck): never {
  refuse({ code: 'token_invalid', check })
}
