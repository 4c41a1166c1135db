import { Refusal } from '../refusal.ts'

/**
 * How long after its expiry a spend is still kept. It covers the skew a verifier grants an expired
 * token (5 s), the clock difference tolerated between processes and store (2 s), and rounding: no
 * checker may still believe in a token whose spend is forgotten.
 */
const KEPT_AFTER_EXPIRY_SECONDS = 10

/** How far clocks of brokers, verifiers and stores may be apart. */
export const CLOCK_TOLERANCE_SECONDS = 2

/** The most uses one token can have. */
export const MAX_USES = 1024

const ID = /^[\x21-\x7e]{1,256}$/
const FARTHEST_SECONDS = 400 * 86_400

/** @throws {TypeError} */
export function checkId(id: string, name = 'id'): void {
  if (typeof id !== 'string' || !ID.test(id)) {
    throw new TypeError(`${name} must be 1 to 256 printable ASCII characters without spaces`)
  }
}

/** @throws {TypeError} */
export function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_USES) {
    throw new TypeError(`limit must be a whole number from 1 to ${MAX_USES}`)
  }
}

/**
 * Answers until when (whole seconds) a mark must be kept. What has already ended is refused: a store
 * would drop its mark at once, and then tell a second caller that it is the first.
 *
 * @throws {TypeError} not a time in seconds, or more than 400 days ahead (milliseconds, most likely)
 * @throws {Refusal} token_expired
 */
export function keptUntil(expiresAt: number, now: number): number {
  if (!Number.isFinite(expiresAt) || expiresAt > now + FARTHEST_SECONDS) {
    throw new TypeError('expiresAt must be in seconds since the epoch, at most 400 days ahead')
  }
  const until = Math.ceil(expiresAt) + KEPT_AFTER_EXPIRY_SECONDS
  if (until <= now + 2 * CLOCK_TOLERANCE_SECONDS) throw new Refusal({ code: 'token_expired' })
  return until
}

/** @throws {TypeError} */
export function checkIssuedAt(issuedAt: number | undefined): void {
  if (issuedAt !== undefined && !Number.isFinite(issuedAt)) {
    throw new TypeError('issuedAt must be in seconds since the epoch')
  }
}

/** @throws {Refusal} token_before_epoch */
export function checkEpoch(issuedAt: number | undefined, since: number): void {
  if (issuedAt !== undefined && issuedAt < since) throw new Refusal({ code: 'token_before_epoch' })
}

/**
 * The first issue time that is surely after `now`. A token's `iat` is cut to whole seconds, so one
 * that was issued and spent earlier in the same second looks as new as one issued later.
 */
export function firstIssueAfter(now: number, clockToleranceSeconds: number): number {
  return Math.floor(now) + 1 + clockToleranceSeconds
}

export function unavailable(detail: string, cause?: unknown): Refusal {
  return new Refusal({ code: 'ledger_unavailable', detail }, { cause })
}
