import { randomId } from '../lib/random-id.ts'

/** Far below a heartbeat's distance, and far above what a time in seconds can resolve. */
const LEAST_STEP_SECONDS = 0.000_001

/** What is published is this much later than the heartbeat before it. */
const AFTER_BEAT_SECONDS = 0.001
/**
 * Half of how soon holders are stale: heartbeats that stand still for as long as the clock was put back
 * look late by that much, and holders forgive that slowly (`freshness.ts`).
 */
const PUT_BACK_SECONDS = 0.5
/** Left below what is being published, for several hundred heartbeats that overtake it. */
const ROOM_SECONDS = 0.000_5

/**
 * Puts a broker's revocations and heartbeats in one order by their times, so that hearing a
 * heartbeat tells a holder that it holds every revocation of that broker with an earlier time.
 *
 * A revocation is later than every heartbeat made before it. Until it is durable, heartbeats that
 * overtake it on the way to the store carry a time before its own.
 *
 * A clock that is put back by more than a little begins a new order under a new name: in the old one
 * nothing could be said before the clock is again where it was.
 */
export class BeatClock {
  readonly #clock: () => number
  readonly #pending = new Set<number>()
  #lastBeat = 0
  #lastPublished = 0
  #origin = randomId()

  /** @param clock seconds since the epoch */
  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** Names the order: this process, and anew when its clock was put back. */
  get origin(): string {
    return this.#origin
  }

  /** The time of what is about to be published; call `published` when it is, or has failed. */
  publish(): { readonly at: number; published(): void } {
    this.#notice()
    const at = Math.max(
      this.#clock(),
      this.#lastBeat + AFTER_BEAT_SECONDS,
      // One time each: they have an order, and one being published does not free another.
      this.#lastPublished + LEAST_STEP_SECONDS,
    )
    this.#lastPublished = at
    this.#pending.add(at)
    return { at, published: () => this.#pending.delete(at) }
  }

  /** The time of the next heartbeat; each is greater than the one before. */
  beat(): number {
    this.#notice()
    let at = this.#clock()
    for (const pending of this.#pending) at = Math.min(at, pending - ROOM_SECONDS)
    this.#lastBeat = Math.max(at, this.#lastBeat + LEAST_STEP_SECONDS)
    return this.#lastBeat
  }

  #notice(): void {
    if (this.#clock() >= this.#lastBeat - PUT_BACK_SECONDS) return
    this.#lastBeat = 0
    this.#lastPublished = 0
    this.#origin = randomId()
  }
}
