/**
 * What travels in the feed: small JWS, `typ: writ-feed+jwt`, signed with the broker's token key. The
 * type keeps them apart from access tokens signed with the same key, in both directions.
 */
import type { Json, JsonObject } from '../lib/json.ts'
import type { SigningKey, VerificationKey } from '../token/jws.ts'
import { type Jws, parseJws, signJws, verifyJws } from '../token/jws.ts'
import type { KeySource } from '../token/key-set.ts'
import type { Epoch } from './feed.ts'
import { parseTarget, type Revocation, type Undo } from './target.ts'

export const FEED_TYPE = 'writ-feed+jwt'
export const MAX_FEED_TEXT_BYTES = 16_384

export interface Beat {
  /** Names the broker process that made it. */
  readonly origin: string
  /** Seconds, with a fraction; each of an origin's is greater than the one before. */
  readonly at: number
  readonly epochs: readonly Epoch[]
}

export type FeedContent =
  | { kind: 'revoke'; revocation: Revocation }
  | { kind: 'undo'; undo: Undo }
  | { kind: 'beat'; beat: Beat }
  /** Signed by the broker, but of a kind that this version does not know. */
  | { kind: 'unknown'; id: string | undefined; until: number | undefined }

/**
 * Reads back what it made, because holders are stricter than writers: a revocation that is too long,
 * or says what strict JSON cannot, would be refused by every one of them and stop nothing.
 *
 * @throws {TypeError} when no holder could read it
 */
export function signRevocation(revocation: Revocation, issuer: string, key: SigningKey): string {
  const { target, ...rest } = revocation
  const text = sign({ iss: issuer, kind: 'revoke', ...rest, target: { ...target } }, key)
  if (kindOf(text, issuer) !== 'revoke') {
    throw new TypeError('no holder could read this revocation: its texts or times are out of range')
  }
  return text
}

/** @throws {TypeError} when no holder could read it */
export function signUndo(undo: Undo, issuer: string, key: SigningKey): string {
  const text = sign({ iss: issuer, kind: 'undo', ...undo }, key)
  if (kindOf(text, issuer) !== 'undo') {
    throw new TypeError('no holder could read this undo: its texts or times are out of range')
  }
  return text
}

function kindOf(text: string, issuer: string): FeedContent['kind'] | undefined {
  try {
    return decodeFeedText(text, issuer).content.kind
  } catch {
    return undefined
  }
}

/** @throws {TypeError} when no holder could read it */
export function signBeat(beat: Beat, issuer: string, key: SigningKey): string {
  const epochs = beat.epochs.map((epoch) => ({ ...epoch }))
  const text = sign({ iss: issuer, kind: 'beat', origin: beat.origin, at: beat.at, epochs }, key)
  if (text.length <= MAX_FEED_TEXT_BYTES) return text
  throw new TypeError('no holder could read this heartbeat: it tells of too many servers and slots')
}

function sign(payload: JsonObject, key: SigningKey): string {
  return signJws({ typ: FEED_TYPE }, payload, key)
}

/** The text is not one that the broker made. */
export class FeedTextError extends Error {}

/** The key that would decide is not known here; it may be tomorrow. */
export class UnknownFeedKey extends Error {}

/**
 * What a feed text says, once its signature is good. Synchronous when the key is at hand.
 *
 * @throws {FeedTextError}
 * @throws {UnknownFeedKey}
 * @throws {Error} anything else: the keys could not be asked
 */
export function verifyFeedText(
  text: string,
  issuer: string,
  keys: KeySource,
): FeedContent | Promise<FeedContent> {
  const { jws, content } = decodeFeedText(text, issuer)
  const { kid, alg } = jws.header
  const decide = (key: VerificationKey | undefined): FeedContent => {
    if (key === undefined) throw new UnknownFeedKey('the key is not known')
    if (!verifyJws(jws, key)) throw new FeedTextError('the signature is wrong')
    return content
  }
  const found = keys.find(typeof kid === 'string' ? kid : undefined, String(alg))
  return found instanceof Promise ? found.then(decide) : decide(found)
}

/** Reads without verifying the signature. */
function decodeFeedText(text: string, issuer: string): { jws: Jws; content: FeedContent } {
  try {
    const jws = parseJws(text, { maxBytes: MAX_FEED_TEXT_BYTES })
    if (jws.header.typ !== FEED_TYPE) throw new FeedTextError('not a feed text')
    if (jws.payload.iss !== issuer) throw new FeedTextError('from another issuer')
    return { jws, content: contentOf(jws.payload) }
  } catch (error) {
    if (error instanceof FeedTextError) throw error
    throw new FeedTextError('malformed', { cause: error })
  }
}

function contentOf(payload: JsonObject): FeedContent {
  if (payload.kind === 'beat') return { kind: 'beat', beat: beatOf(payload) }
  try {
    if (payload.kind === 'revoke') return { kind: 'revoke', revocation: revocationOf(payload) }
    if (payload.kind === 'undo') return { kind: 'undo', undo: undoOf(payload) }
  } catch {
    // A later version may stop other kinds of things. See `Revocations` for what is done then.
  }
  return {
    kind: 'unknown',
    id: typeof payload.id === 'string' ? payload.id : undefined,
    until: typeof payload.until === 'number' ? payload.until : undefined,
  }
}

function beatOf(payload: JsonObject): Beat {
  const { origin, at, epochs } = payload
  if (typeof origin !== 'string' || origin.length > 64) throw new Error('a beat has no origin')
  if (typeof at !== 'number' || !Array.isArray(epochs)) throw new Error('a beat has no time')
  return { origin, at, epochs: epochs.map(epochOf) }
}

function epochOf(json: Json): Epoch {
  const { server, since, guardKey, guard } = json as Record<string, unknown>
  if (
    typeof server !== 'string' ||
    typeof since !== 'number' ||
    typeof guardKey !== 'string' ||
    typeof guard !== 'string'
  ) {
    throw new Error('an epoch is malformed')
  }
  return { server, since, guardKey, guard }
}

function revocationOf(payload: JsonObject): Revocation {
  const { id, target, at, until, reason, by, origin } = payload
  if (
    typeof id !== 'string' ||
    typeof at !== 'number' ||
    (until !== undefined && typeof until !== 'number') ||
    typeof reason !== 'string' ||
    typeof by !== 'string' ||
    (origin !== undefined && typeof origin !== 'string')
  ) {
    throw new TypeError('a revocation is malformed')
  }
  return {
    id,
    target: parseTarget(target),
    at,
    reason,
    by,
    ...(until === undefined ? {} : { until }),
    ...(origin === undefined ? {} : { origin }),
  }
}

function undoOf(payload: JsonObject): Undo {
  const { id, at, until, reason, by, origin } = payload
  if (
    typeof id !== 'string' ||
    typeof at !== 'number' ||
    typeof until !== 'number' ||
    typeof reason !== 'string' ||
    typeof by !== 'string' ||
    typeof origin !== 'string'
  ) {
    throw new TypeError('an undo is malformed')
  }
  return { id, at, until, reason, by, origin }
}
