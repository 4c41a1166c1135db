import { BoundedMap } from '../lib/bounded-map.ts'
import { parseChallenges } from './challenge.ts'

const MAX_ORIGINS = 1_000
/** What RFC 9449 §8.1 allows in a nonce; anything longer is not worth carrying around. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]{1,512}$/

/** The latest DPoP nonce that each origin gave (RFC 9449 §8.2). */
export class LatestNonces {
  readonly #nonces = new BoundedMap<string, string>(MAX_ORIGINS)

  of(url: URL): string | undefined {
    return this.#nonces.get(url.origin)
  }

  /** Remembers the nonce in a response, whatever its status. */
  note(url: URL, response: Response): void {
    const nonce = response.headers.get('dpop-nonce')
    if (nonce !== null && NONCE.test(nonce)) this.#nonces.set(url.origin, nonce)
  }
}

/** A resource server that refuses only for want of a nonce, before anything ran (RFC 9449 §9). */
export function asksForNonce(response: Response): boolean {
  return (
    response.status === 401 &&
    response.headers.has('dpop-nonce') &&
    parseChallenges(response.headers.get('www-authenticate')).some(
      ({ scheme, parameters }) => scheme === 'dpop' && parameters.get('error') === 'use_dpop_nonce',
    )
  )
}
