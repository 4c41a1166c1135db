import { BoundedMap } from '../lib/bounded-map.ts'
import type { Beat } from './feed-text.ts'

/** How far a heartbeat's time may be from ours. */
export const CLOCK_TOLERANCE_SECONDS = 2
/** Broker processes whose heartbeats are told apart; the one silent for longest goes first. */
export const MAX_ORIGINS = 256
/** How fast a clock difference that was measured too small is believed to have grown. */
const DRIFT = 0.01

interface Origin {
  readonly at: number
  readonly heardMs: number
  /** Monotonic time here minus the origin's clock, for a heartbeat that took no time to travel. */
  readonly offsetMs: number
}

/**
 * Until when what a holder knows may be relied on.
 *
 * Measured on the monotonic clock, and from when a heartbeat was *sent*: one that was held up on
 * its way says how things stood then. The clocks of broker and holder differ by an unknown amount,
 * so the fastest heartbeat of each origin is taken as having needed no time, and the others are
 * late by what they differ from it.
 */
export class Freshness {
  readonly #staleAfterMs: number
  readonly #origins = new BoundedMap<string, Origin>(MAX_ORIGINS)
  #untilMs = Number.NEGATIVE_INFINITY

  constructor(staleAfterMs: number) {
    this.#staleAfterMs = staleAfterMs
  }

  isFresh(monotonicMs: number): boolean {
    return monotonicMs <= this.#untilMs
  }

  /** Nothing is relied on until the next heartbeat. */
  lose(): void {
    this.#untilMs = Number.NEGATIVE_INFINITY
  }

  /** Answers why the heartbeat is not accepted, or undefined. */
  hear(beat: Beat, now: number, monotonicMs: number): string | undefined {
    if (Math.abs(beat.at - now) > CLOCK_TOLERANCE_SECONDS) return 'its time is not ours'
    const before = this.#origins.get(beat.origin)
    if (before !== undefined && beat.at <= before.at) return 'it is not newer than the last'
    const measuredMs = monotonicMs - beat.at * 1000
    const believedMs =
      before === undefined
        ? measuredMs
        : before.offsetMs + DRIFT * Math.max(0, monotonicMs - before.heardMs)
    const offsetMs = Math.min(measuredMs, believedMs)
    this.#origins.set(beat.origin, { at: beat.at, heardMs: monotonicMs, offsetMs })
    const sentMs = beat.at * 1000 + offsetMs
    this.#untilMs = Math.max(this.#untilMs, sentMs + this.#staleAfterMs)
    return undefined
  }
}
