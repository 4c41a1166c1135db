import { isSpiffeWorkload } from '../identity/spiffe-id.ts'
import { BoundedMap } from '../lib/bounded-map.ts'
import { decodeJsonSegment, splitJws } from '../token/jws.ts'
import { SpiffeError } from './error.ts'
import type { JwtSvidResponse } from './protocol.ts'

/** A JWT-SVID of this process: a credential, to be shown to its audience and to nobody else. */
export interface JwtSvid {
  readonly token: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  readonly spiffeId: string
}

interface Slot {
  held: JwtSvid | undefined
  freshUntil: number
  asking: Promise<JwtSvid> | undefined
}

const MAX_AUDIENCES = 1_000
/** A new one is asked for this long before the end, or after half of what was left if that is sooner. */
const RENEWAL_SECONDS = 30
/** What still lives this long is used when no new one can be had. */
const LAST_RESORT_SECONDS = 5

export interface JwtSvidsOptions {
  /** @param patient whether to wait for an endpoint that cannot answer now */
  readonly fetch: (
    audience: string,
    spiffeId: string | undefined,
    patient: boolean,
  ) => Promise<JwtSvidResponse>
  readonly onProblem: (error: SpiffeError) => void
}

/** Holds a JWT-SVID per audience; of any number of callers, one asks and all use the answer. */
export class JwtSvids {
  readonly #slots = new BoundedMap<string, Slot>(MAX_AUDIENCES)
  readonly #options: JwtSvidsOptions

  constructor(options: JwtSvidsOptions) {
    this.#options = options
  }

  /** @throws {SpiffeError} when there is none and none can be had */
  async get(audience: string, spiffeId: string | undefined): Promise<JwtSvid> {
    const name = JSON.stringify([audience, spiffeId])
    let slot = this.#slots.get(name)
    if (slot === undefined) {
      slot = { held: undefined, freshUntil: 0, asking: undefined }
      this.#slots.set(name, slot)
    }
    if (slot.held !== undefined && Date.now() / 1000 < slot.freshUntil) return slot.held
    slot.asking ??= this.#ask(slot, audience, spiffeId)
    return await slot.asking
  }

  async #ask(slot: Slot, audience: string, spiffeId: string | undefined): Promise<JwtSvid> {
    const { held } = slot
    const usable = held !== undefined && held.expiresAt - LAST_RESORT_SECONDS > Date.now() / 1000
    try {
      const answer = await this.#options.fetch(audience, spiffeId, !usable)
      const now = Date.now() / 1000
      const svid = readJwtSvid(answer, { audience, spiffeId, now })
      const half = (svid.expiresAt - now) / 2
      slot.freshUntil = Math.min(now + half, svid.expiresAt - RENEWAL_SECONDS)
      slot.held = svid
      return svid
    } catch (error) {
      // An identity that was taken away is not used up to its end.
      const gone = error instanceof SpiffeError && error.code === 'identity_denied'
      if (gone) slot.held = undefined
      if (!(error instanceof SpiffeError) || gone || !usable) throw error
      this.#options.onProblem(error)
      return held
    } finally {
      slot.asking = undefined
    }
  }
}

/**
 * Reads the answer, whose signature is for its audience to verify: that it is what was asked for is
 * seen here, so that a mistake shows where it was made.
 *
 * @throws {SpiffeError} `identity_invalid`, `identity_expired`; never with the token in it
 */
function readJwtSvid(
  { svids }: JwtSvidResponse,
  asked: { audience: string; spiffeId: string | undefined; now: number },
): JwtSvid {
  // The first is the default identity.
  const [first] = svids
  if (first === undefined) throw invalid('there is no JWT-SVID')
  const { spiffe_id: spiffeId, svid: token } = first
  const payload = decode(token)
  if (!isSpiffeWorkload(spiffeId)) throw invalid('what it names is no SPIFFE ID of a workload')
  if (payload.sub !== spiffeId) throw invalid(`the JWT-SVID of ${spiffeId} names another`)
  if (asked.spiffeId !== undefined && asked.spiffeId !== spiffeId) {
    throw invalid(`a JWT-SVID of ${asked.spiffeId} was asked for, and one of ${spiffeId} came`)
  }
  const audiences = Array.isArray(payload.aud) ? payload.aud : [payload.aud]
  if (!audiences.includes(asked.audience)) throw invalid('it is for another audience')
  if (typeof payload.exp !== 'number') throw invalid('it has no end (exp)')
  if (payload.exp <= asked.now) {
    throw new SpiffeError('identity_expired', 'the Workload API gave an expired JWT-SVID')
  }
  return { token, spiffeId, expiresAt: payload.exp }
}

function decode(token: string): ReturnType<typeof decodeJsonSegment> {
  try {
    return decodeJsonSegment(splitJws(token).payload)
  } catch {
    throw invalid('it is no JWT')
  }
}

function invalid(what: string): SpiffeError {
  return new SpiffeError(
    'identity_invalid',
    `the Workload API's answer cannot be used as a JWT-SVID: ${what}`,
  )
}
