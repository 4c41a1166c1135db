/**
 * Entries that are neither believed nor refused yet, because the key that would decide is not known.
 *
 * They are tried again with each heartbeat, and with younger keys. There is a bound to how many wait
 * and for how long; beyond it the feed has to be read again from its start (`behind`).
 */
import type { KeySource } from '../token/key-set.ts'
import { FeedTextError, UnknownFeedKey } from './feed-text.ts'

/** How long an entry is tried again with each heartbeat before the feed is read from its start. */
const UNDECIDED_MS = 60_000
const MAX_UNDECIDED = 256
/** The least time between two times that the keys are asked for again. */
const RENEW_AFTER_MS = 1000

interface Waiting {
  readonly arrival: number
  readonly arrivedMs: number
  /** The keys could not even be asked. */
  readonly blocks: boolean
}

export interface UndecidedOptions {
  readonly keys: KeySource
  readonly monotonicMs: () => number
  /** Verifies the entry and puts it in force; throws what verifying throws. */
  readonly decide: (text: string) => Promise<void>
  /** Told that the entry is not the broker's. */
  readonly refuse: (error: unknown) => void
}

export class Undecided {
  readonly #options: UndecidedOptions
  /** In the order in which they came. */
  #waiting = new Map<string, Waiting>()
  /** Those of the time before the feed was followed again: when they first came. */
  #before: ReadonlyMap<string, Waiting> = new Map()
  #arrivals = 0
  #behind = false
  #renewing = false
  #renewedMs = Number.NEGATIVE_INFINITY

  constructor(options: UndecidedOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Entries were let go of undecided, so the feed must be read again. */
  get behind(): boolean {
    return this.#behind
  }

  /** Of one of them the keys could not even be asked. */
  get blocked(): boolean {
    return [...this.#waiting.values()].some(({ blocks }) => blocks)
  }

  /** The first to come has waited longer than this. */
  waitsLongerThan(ms: number): boolean {
    const nowMs = this.#options.monotonicMs()
    for (const { arrivedMs } of this.#waiting.values()) return nowMs - arrivedMs > ms
    return false
  }

  /** Whether the entry stops something is unknown. */
  wait(text: string, blocks: boolean): void {
    const { arrivedMs } = this.#waiting.get(text) ??
      this.#before.get(text) ?? { arrivedMs: this.#options.monotonicMs() }
    if (!this.#waiting.has(text) && this.#waiting.size >= MAX_UNDECIDED) this.#behind = true
    else this.#waiting.set(text, { arrival: ++this.#arrivals, arrivedMs, blocks })
    this.#renewKeys()
  }

  /** Once with each heartbeat. */
  async retry(): Promise<void> {
    for (const [text, { arrival, arrivedMs }] of this.#waiting) {
      await this.#decide(text, arrival)
      if (this.#waiting.has(text) && this.#options.monotonicMs() - arrivedMs > UNDECIDED_MS) {
        this.#behind = true
      }
    }
    if (this.#waiting.size > 0) this.#renewKeys()
  }

  /** The feed is read from its start: what it still has will come again. */
  startAgain(): void {
    this.#behind = false
    this.#before = this.#waiting
    this.#waiting = new Map()
  }

  /** @param renewedAt which entries the keys at hand are younger than */
  async #decide(text: string, arrival: number, renewedAt = 0): Promise<void> {
    try {
      await this.#options.decide(text)
      this.#waiting.delete(text)
    } catch (error) {
      const waiting = this.#waiting.get(text)
      if (isDoubt(error)) return
      // The broker signs with a key only after publishing it. One that is in no set fetched since
      // the entry came is not the broker's.
      const forged = error instanceof FeedTextError || arrival <= renewedAt
      if (waiting !== undefined && !forged) this.#waiting.set(text, { ...waiting, blocks: false })
      if (!forged) return
      this.#waiting.delete(text)
      this.#options.refuse(error)
    }
  }

  /** Asks for keys that are younger than the entries waiting, and decides those. */
  #renewKeys(): void {
    const { keys, monotonicMs } = this.#options
    const nowMs = monotonicMs()
    if (keys.renew === undefined || this.#renewing) return
    if (nowMs - this.#renewedMs < RENEW_AFTER_MS) return
    this.#renewing = true
    this.#renewedMs = nowMs
    const renewedAt = this.#arrivals
    keys
      .renew()
      .then(async () => {
        for (const [text, { arrival }] of this.#waiting) {
          await this.#decide(text, arrival, renewedAt)
        }
      })
      // What could not be asked stays undecided, and is asked again with a later heartbeat.
      .catch(() => undefined)
      .finally(() => {
        this.#renewing = false
      })
  }
}

/** Neither good nor forged: something this depends on failed. */
export function isDoubt(error: unknown): boolean {
  return !(error instanceof FeedTextError) && !(error instanceof UnknownFeedKey)
}
