/**
 * The live revocations, held in memory by whoever must refuse what is stopped.
 *
 * The promise: while `check` does not refuse with `revocations_stale`, every revocation that was
 * acknowledged more than `staleAfterMs` ago is in force here. So a check costs no round trip, and a
 * holder that hears nothing refuses everything.
 *
 * Only what a broker signed counts. A text that is forged, of another issuer, or a heartbeat played
 * again is reported and has no effect. Whether an entry is one of these must be known, though: while
 * that cannot be told, nothing is fresh.
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

/** An entry that is neither believed nor refused yet. */
interface Undecided {
  readonly arrival: number
  readonly arrivedMs: number
  /** The keys could not even be asked. */
  readonly blocks: boolean
}

/** How long an entry is tried again with each heartbeat before the feed is read from its start. */
const UNDECIDED_MS = 60_000
const MAX_UNDECIDED = 256
/** The least time between two times that the keys are asked for, or the feed followed, again. */
const RENEW_AFTER_MS = 1000
const FOLLOW_AGAIN_AFTER_MS = 5000

export class Revocations {
  readonly #options: RevocationsOptions
  readonly #clock: () => number
  readonly #monotonicMs: () => number
  readonly #set = new RevokedSet()
  readonly #freshness: Freshness
  readonly #received: Received[] = []
  readonly #staleAfterMs: number
  /** In the order in which they came. */
  #undecided = new Map<string, Undecided>()
  /** Those of the time before the feed was followed again: when they first came. */
  #undecidedBefore: ReadonlyMap<string, Undecided> = new Map()
  #arrivals = 0
  /** Entries were let go of undecided, so the feed must be read again. */
  #behind = false
  #renewing = false
  #renewedMs = Number.NEGATIVE_INFINITY
  #followedMs = Number.NEGATIVE_INFINITY
  /** Signed by the broker but not understood: id by text, with the end, if any. */
  readonly #unknown = new Map<string, number>()
  readonly #firstHeard = Promise.withResolvers<void>()
  #subscription: FeedSubscription | undefined
  /** What an earlier subscription still delivers is not looked at. */
  #following: object | undefined
  #generation = 0
  #draining = false
  #epochs: readonly Epoch[] = []

  constructor(options: RevocationsOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now())
    this.#staleAfterMs = options.staleAfterMs ?? 1000
    this.#freshness = new Freshness(this.#staleAfterMs)
    this.#firstHeard.promise.catch(() => undefined)
  }

  /** Resolves when the first heartbeat has been heard, and so every live revocation is held. */
  start(): Promise<void> {
    if (this.#following === undefined) this.#follow()
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
    const nowMs = this.#monotonicMs()
    return this.#freshness.isFresh(nowMs) && !this.#waitsTooLong(nowMs) && !this.#holdsUnknown()
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
    const subscription = this.#subscription
    this.#following = {}
    await subscription?.close()
  }

  #follow(): void {
    const following = {}
    this.#following = following
    this.#followedMs = this.#monotonicMs()
    const ours = () => this.#following === following
    this.#subscription = this.#options.transport.follow({
      entry: (text) => ours() && this.#receive('entry', text),
      beat: (text) => ours() && this.#receive('beat', text),
      lost: () => ours() && this.#lose(),
    })
  }

  #lose(): void {
    this.#generation++
    this.#freshness.lose()
  }

  /** From the start, and nothing is fresh before a heartbeat has followed all entries. */
  #followAgain(): void {
    if (this.#monotonicMs() - this.#followedMs < FOLLOW_AGAIN_AFTER_MS) return
    this.#lose()
    this.#behind = false
    this.#undecidedBefore = this.#undecided
    this.#undecided = new Map()
    this.#subscription?.close().catch(() => undefined)
    this.#follow()
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
    if (this.#behind) return this.#followAgain()
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
    const doubt = isDoubt(error)
    if (kind === 'entry' && (doubt || error instanceof UnknownFeedKey)) this.#wait(text, doubt)
    this.#report(kind, error)
  }

  #report(kind: Received['kind'], error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    this.#options.onRefused?.({ kind, why })
  }

  /** Whether the entry stops something is unknown. */
  #wait(text: string, blocks: boolean): void {
    if (blocks) this.#freshness.lose()
    const { arrivedMs } = this.#undecided.get(text) ??
      this.#undecidedBefore.get(text) ?? { arrivedMs: this.#monotonicMs() }
    if (!this.#undecided.has(text) && this.#undecided.size >= MAX_UNDECIDED) {
      this.#behind = true
      this.#freshness.lose()
    } else {
      this.#undecided.set(text, { arrival: ++this.#arrivals, arrivedMs, blocks })
    }
    this.#renewKeys()
  }

  /** Long enough for a rotated key to be fetched, and no longer than a revocation may take. */
  #waitsTooLong(nowMs: number): boolean {
    for (const { arrivedMs } of this.#undecided.values()) {
      if (nowMs - arrivedMs > this.#staleAfterMs) return true
    }
    return false
  }

  async #retryUndecided(): Promise<void> {
    for (const [text, { arrival, arrivedMs }] of this.#undecided) {
      await this.#decide(text, arrival)
      if (this.#undecided.has(text) && this.#monotonicMs() - arrivedMs > UNDECIDED_MS) {
        this.#behind = true
      }
    }
    if (this.#undecided.size > 0) this.#renewKeys()
  }

  /** @param renewedAt which entries the keys at hand are younger than */
  async #decide(text: string, arrival: number, renewedAt = 0): Promise<void> {
    try {
      const content = await this.#verify(text)
      this.#undecided.delete(text)
      this.#apply({ kind: 'entry', text, generation: 0 }, content)
    } catch (error) {
      const waiting = this.#undecided.get(text)
      if (isDoubt(error)) return
      // The broker signs with a key only after publishing it. One that is in no set fetched since
      // the entry came is not the broker's.
      const forged = error instanceof FeedTextError || arrival <= renewedAt
      if (waiting !== undefined && !forged) this.#undecided.set(text, { ...waiting, blocks: false })
      if (!forged) return
      this.#undecided.delete(text)
      this.#report('entry', error)
    }
  }

  /** Asks for keys that are younger than the entries waiting, and decides those. */
  #renewKeys(): void {
    const { keys } = this.#options
    const nowMs = this.#monotonicMs()
    if (keys.renew === undefined || this.#renewing) return
    if (nowMs - this.#renewedMs < RENEW_AFTER_MS) return
    this.#renewing = true
    this.#renewedMs = nowMs
    const renewedAt = this.#arrivals
    keys
      .renew()
      .then(async () => {
        for (const [text, { arrival }] of this.#undecided) {
          await this.#decide(text, arrival, renewedAt)
        }
      })
      // What could not be asked stays undecided, and is asked again with a later heartbeat.
      .catch(() => undefined)
      .finally(() => {
        this.#renewing = false
      })
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
