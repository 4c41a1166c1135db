/**
 * The live revocations, held in memory by whoever must refuse what is stopped.
 *
 * The promise: while `check` does not refuse with `revocations_stale`, every revocation that was
 * acknowledged more than `staleAfterMs` ago is in force here. So a check costs no round trip, and a
 * holder that hears nothing refuses everything.
 *
 * Only what a broker signed counts. A text that is forged, of another issuer, or a heartbeat played
 * again is reported and has no effect.
 */
import { refuse } from '../refusal.ts'
import type { KeySource } from '../token/key-set.ts'
import type { Epoch, FeedSubscription, FeedTransport } from './feed.ts'
import { type FeedContent, FeedTextError, UnknownFeedKey, verifyFeedText } from './feed-text.ts'
import { Freshness } from './freshness.ts'
import { COUNTS_AFTER_END_SECONDS, hasEnded, RevokedSet } from './revoked-set.ts'
import type { Revocation, Subject } from './target.ts'

export interface RevocationsOptions {
  /** The broker's keys. */
  readonly keys: KeySource
  readonly issuer: string
  readonly transport: FeedTransport
  /** How long without a heartbeat until everything is refused; 1,000 ms. */
  readonly staleAfterMs?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /** Milliseconds that only go forward. */
  readonly monotonicMs?: () => number
  /** Told of every feed text that was not believed, and why. */
  readonly onRefused?: (refused: RefusedText) => void
  /** Told the epochs of every good heartbeat. */
  readonly onEpochs?: (epochs: readonly Epoch[]) => void
}

export interface RefusedText {
  readonly kind: 'entry' | 'beat'
  readonly why: string
}

interface Received {
  readonly kind: 'entry' | 'beat'
  readonly text: string
  /** Raised by every loss: a heartbeat received before a loss says nothing after it. */
  readonly generation: number
}

/** Entries whose key is not known, tried again with each heartbeat for as long as this. */
const UNDECIDED_MS = 60_000
const MAX_UNDECIDED = 256

export class Revocations {
  readonly #options: RevocationsOptions
  readonly #clock: () => number
  readonly #monotonicMs: () => number
  readonly #set = new RevokedSet()
  readonly #freshness: Freshness
  readonly #received: Received[] = []
  readonly #undecided = new Map<string, { untilMs: number; blocks: boolean }>()
  /** Signed by the broker but not understood: id by text, with the end, if any. */
  readonly #unknown = new Map<string, number>()
  readonly #firstHeard = Promise.withResolvers<void>()
  #subscription: FeedSubscription | undefined
  #generation = 0
  #draining = false
  #epochs: readonly Epoch[] = []

  constructor(options: RevocationsOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now())
    this.#freshness = new Freshness(options.staleAfterMs ?? 1000)
    this.#firstHeard.promise.catch(() => undefined)
  }

  /** Resolves when the first heartbeat has been heard, and so every live revocation is held. */
  start(): Promise<void> {
    this.#subscription ??= this.#options.transport.follow({
      entry: (text) => this.#receive('entry', text),
      beat: (text) => this.#receive('beat', text),
      lost: () => {
        this.#generation++
        this.#freshness.lose()
      },
    })
    return this.#firstHeard.promise
  }

  /**
   * @param now seconds since the epoch
   * @throws {Refusal} revoked, revocations_stale
   */
  check(subject: Subject, now: number): void {
    if (!this.fresh) refuse({ code: 'revocations_stale' })
    const found = this.#set.find(subject, now)
    if (found !== undefined) refuse({ code: 'revoked', target: found.target.kind })
  }

  get fresh(): boolean {
    return this.#freshness.isFresh(this.#monotonicMs()) && !this.#holdsUnknown()
  }

  /** The epochs of the last good heartbeat. */
  get epochs(): readonly Epoch[] {
    return this.#epochs
  }

  list(): Revocation[] {
    return this.#set.list(this.#clock())
  }

  async close(): Promise<void> {
    this.#firstHeard.reject(new Error('closed before a heartbeat was heard'))
    this.#freshness.lose()
    await this.#subscription?.close()
  }

  #receive(kind: 'entry' | 'beat', text: string): void {
    this.#received.push({ kind, text, generation: this.#generation })
    if (!this.#draining) void this.#drain()
  }

  /** One at a time and in order: a heartbeat counts only after the entries before it. */
  async #drain(): Promise<void> {
    this.#draining = true
    for (let next = this.#received.shift(); next; next = this.#received.shift()) {
      try {
        const content = this.#verify(next.text)
        this.#apply(next, content instanceof Promise ? await content : content)
        if (next.kind === 'beat') await this.#hearAfterRetries(next, content)
      } catch (error) {
        this.#reject(next, error)
      }
    }
    this.#draining = false
  }

  #verify(text: string): FeedContent | Promise<FeedContent> {
    return verifyFeedText(text, this.#options.issuer, this.#options.keys)
  }

  #apply({ kind, text }: Received, content: FeedContent): void {
    if ((content.kind === 'beat') !== (kind === 'beat')) {
      throw new FeedTextError('sent as another kind')
    }
    if (content.kind === 'revoke' && !hasEnded(content.revocation, this.#clock())) {
      this.#set.add(content.revocation)
    }
    // To ignore what the broker stopped would let it through. So nothing is let through until it
    // ends: holders are updated before brokers use a new kind of target.
    if (content.kind === 'unknown') {
      this.#unknown.set(text, content.until ?? Number.POSITIVE_INFINITY)
    }
  }

  async #hearAfterRetries(received: Received, content: FeedContent | Promise<FeedContent>) {
    const { beat } = (await content) as Extract<FeedContent, { kind: 'beat' }>
    await this.#retryUndecided()
    if ([...this.#undecided.values()].some(({ blocks }) => blocks)) return
    if (received.generation !== this.#generation) return
    const now = this.#clock()
    const why = this.#freshness.hear(beat, now, this.#monotonicMs())
    if (why !== undefined) throw new FeedTextError(why)
    this.#set.sweep(now)
    this.#epochs = beat.epochs
    this.#options.transport.learn?.(beat.epochs)
    this.#options.onEpochs?.(beat.epochs)
    this.#firstHeard.resolve()
  }

  #reject({ kind, text }: Received, error: unknown): void {
    // The keys could not be asked. Whether this stops something is unknown, so nothing is fresh.
    const blocks = isDoubt(error)
    if (kind === 'entry' && (blocks || error instanceof UnknownFeedKey)) {
      if (blocks) this.#freshness.lose()
      if (blocks || this.#undecided.size < MAX_UNDECIDED) {
        this.#undecided.set(text, { untilMs: this.#monotonicMs() + UNDECIDED_MS, blocks })
      }
    }
    const why = error instanceof Error ? error.message : String(error)
    this.#options.onRefused?.({ kind, why })
  }

  async #retryUndecided(): Promise<void> {
    for (const [text, { untilMs, blocks }] of this.#undecided) {
      try {
        const content = await this.#verify(text)
        this.#undecided.delete(text)
        this.#apply({ kind: 'entry', text, generation: 0 }, content)
      } catch (error) {
        if (isDoubt(error)) continue
        if (blocks) this.#undecided.set(text, { untilMs, blocks: false })
        if (!(error instanceof UnknownFeedKey) || this.#monotonicMs() > untilMs) {
          this.#undecided.delete(text)
        }
      }
    }
  }

  #holdsUnknown(): boolean {
    if (this.#unknown.size === 0) return false
    const now = this.#clock()
    for (const [text, until] of this.#unknown) {
      if (until + COUNTS_AFTER_END_SECONDS < now) this.#unknown.delete(text)
    }
    return this.#unknown.size > 0
  }
}

/** Neither good nor forged: something this depends on failed. */
function isDoubt(error: unknown): boolean {
  return !(error instanceof FeedTextError) && !(error instanceof UnknownFeedKey)
}
