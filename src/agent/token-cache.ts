import { BoundedMap } from '../lib/bounded-map.ts'

/** A token for the server named in it, and for how long and how often it may be shown. */
export interface HeldToken {
  readonly token: string
  /** How it is presented: with a proof, or over a connection with the certificate it is bound to. */
  readonly scheme: 'DPoP' | 'Bearer'
  /** What the server must prove before it is sent the token. */
  readonly serverSpiffeId: string | undefined
  /** Seconds since the epoch. */
  readonly issuedAt: number
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** `Infinity` for session tokens. */
  readonly uses: number
}

interface Slot {
  readonly held: Promise<HeldToken>
  token: string | undefined
  usesLeft: number
  freshUntil: number
}

const MAX_TOKENS = 1_000
/** A token is renewed this long before its end, so that it does not expire on the way. */
const RENEWAL_SECONDS = 10

/**
 * Holds the tokens that may be used more than once. Of any number of concurrent calls for one name,
 * one asks for a token and all use it; a failure is told to all of them and remembered by none.
 */
export class TokenCache {
  readonly #slots = new BoundedMap<string, Slot>(MAX_TOKENS)

  /** @param now seconds, asked again after each wait */
  async take(
    name: string,
    now: () => number,
    obtain: () => Promise<HeldToken>,
  ): Promise<HeldToken> {
    for (;;) {
      const known = this.#slots.get(name)
      const slot = known ?? this.#open(name, obtain)
      const held = await slot.held
      // Who asked for the token may use it even when it is about to expire: asking again would
      // bring another one like it, for ever.
      if (known === undefined || (slot.usesLeft > 0 && now() < slot.freshUntil)) {
        slot.usesLeft -= 1
        return held
      }
      if (this.#slots.get(name) === slot) this.#slots.delete(name)
    }
  }

  /** Forgets `token`, which a server has refused; the next call asks for a new one. */
  forget(name: string, token: string): void {
    if (this.#slots.get(name)?.token === token) this.#slots.delete(name)
  }

  #open(name: string, obtain: () => Promise<HeldToken>): Slot {
    const held = obtain()
    const slot: Slot = { held, token: undefined, usesLeft: Number.POSITIVE_INFINITY, freshUntil: 0 }
    this.#slots.set(name, slot)
    held.then(
      (value) => {
        slot.token = value.token
        slot.usesLeft = value.uses
        const lifetime = value.expiresAt - value.issuedAt
        slot.freshUntil = value.expiresAt - Math.min(RENEWAL_SECONDS, lifetime / 5)
      },
      () => {
        if (this.#slots.get(name) === slot) this.#slots.delete(name)
      },
    )
    return slot
  }
}
