/** Far below a heartbeat's distance, and far above what a time in seconds can resolve. */
const LEAST_STEP_SECONDS = 0.000_001

/** What is published is this much later than the heartbeat before it. */
const AFTER_BEAT_SECONDS = 0.001
/** Left below what is being published, for several hundred heartbeats that overtake it. */
const ROOM_SECONDS = 0.000_5

/**
 * Puts a broker's revocations and heartbeats in one order by their times, so that hearing a
 * heartbeat tells a holder that it holds every revocation of that broker with an earlier time.
 *
 * A revocation is later than every heartbeat made before it. Until it is durable, heartbeats that
 * overtake it on the way to the store carry a time before its own.
 */
export class BeatClock {
  readonly #clock: () => number
  readonly #pending = new Set<number>()
  #lastBeat = 0

  /** @param clock seconds since the epoch */
  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** The time of what is about to be published; call `published` when it is, or has failed. */
  publish(): { readonly at: number; published(): void } {
    let at = Math.max(this.#clock(), this.#lastBeat + AFTER_BEAT_SECONDS)
    // One time each, so that one being published does not free another.
    while (this.#pending.has(at)) at += LEAST_STEP_SECONDS
    this.#pending.add(at)
    return { at, published: () => this.#pending.delete(at) }
  }

  /** The time of the next heartbeat; each is greater than the one before. */
  beat(): number {
    let at = this.#clock()
    for (const pending of this.#pending) at = Math.min(at, pending - ROOM_SECONDS)
    this.#lastBeat = Math.max(at, this.#lastBeat + LEAST_STEP_SECONDS)
    return this.#lastBeat
  }
}
