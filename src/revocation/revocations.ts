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
import { BoundedMap } from '../lib/bounded-map.ts'
import { steadyClock } from '../lib/steady-clock.ts'
import { refuse } from '../refusal.ts'
import type { KeySource } from '../token/key-set.ts'
import type { Epoch, FeedSubscription, FeedTransport } from './feed.ts'
import { type FeedContent, FeedTextError, UnknownFeedKey, verifyFeedText } from './feed-text.ts'
import { CLOCK_TOLERANCE_SECONDS, Freshness, MAX_ORIGINS } from './freshness.ts'
import { RevokedSet } from './revoked-set.ts'
import { hasEnded, type Revocation, type Subject, type Undo } from './target.ts'
import { isDoubt, Undecided } from './undecided.ts'

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
  /** Told what each good entry says, as often as the feed says it; must not throw. */
  readonly onEntry?: (entry: HeardEntry) => void
}

export type HeardEntry = Extract<FeedContent, { kind: 'revoke' | 'undo' }>

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

/** The least time between two times that the feed is followed again. */
const FOLLOW_AGAIN_AFTER_MS = 5000

export class Revocations {
  readonly #options: RevocationsOptions
  readonly #clock: () => number
  readonly #monotonicMs: () => number
  /** What is forgotten is gone, so a clock that is wrong for a while must not decide it. */
  readonly #forgets: () => number
  readonly #set = new RevokedSet()
  readonly #freshness: Freshness
  readonly #received: Received[] = []
  readonly #staleAfterMs: number
  readonly #undecided: Undecided
  #followedMs = Number.NEGATIVE_INFINITY
  /** Signed by the broker but not understood: the end, if any, by id. */
  readonly #unknown = new Map<string, number>()
  readonly #firstHeard = Promise.withResolvers<void>()
  #subscription: FeedSubscription | undefined
  /** What an earlier subscription still delivers is not looked at. */
  #following: object | undefined
  #generation = 0
  #draining = false
  #epochs: readonly Epoch[] = []
  readonly #heard = new BoundedMap<string, number>(MAX_ORIGINS)

  constructor(options: RevocationsOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now())
    this.#forgets = steadyClock(this.#clock, this.#monotonicMs)
    this.#staleAfterMs = options.staleAfterMs ?? 1000
    this.#freshness = new Freshness(this.#staleAfterMs)
    this.#undecided = new Undecided({
      keys: options.keys,
      monotonicMs: this.#monotonicMs,
      decide: async (text) => this.#apply('entry', await this.#verify(text)),
      refuse: (error) => this.#report('entry', error),
    })
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
    // A key that rotated is fetched by then, and no revocation may take longer.
    const waitsTooLong = this.#undecided.waitsLongerThan(this.#staleAfterMs)
    return this.#freshness.isFresh(this.#monotonicMs()) && !waitsTooLong && !this.#holdsUnknown()
  }

  /** The epochs of the last good heartbeat. */
  get epochs(): readonly Epoch[] {
    return this.#epochs
  }

  /**
   * The time of the last good heartbeat of each origin (seconds since the epoch), which says what is
   * held here: see `holds`. One that is to come was heard while the clock was wrong, and would
   * claim what is published until then.
   */
  get heard(): Readonly<Record<string, number>> {
    const latest = this.#clock() + CLOCK_TOLERANCE_SECONDS
    return Object.fromEntries([...this.#heard.entries()].filter(([, at]) => at <= latest))
  }

  list(): Revocation[] {
    return this.#set.list(this.#clock())
  }

  /** What has been undone, as far as it is still remembered. */
  undone(): Undo[] {
    return this.#set.undone(this.#clock())
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
    this.#undecided.startAgain()
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
        this.#apply(next.kind, content instanceof Promise ? await content : content)
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

  #apply(kind: Received['kind'], content: FeedContent): void {
    if ((content.kind === 'beat') !== (kind === 'beat')) {
      throw new FeedTextError('sent as another kind')
    }
    if (content.kind === 'beat') return
    // To ignore what the broker stopped would let it through. So nothing is let through until it
    // ends: holders are updated before brokers use a new kind of target.
    if (content.kind === 'unknown') {
      this.#holdUnknown(content)
      return
    }
    if (content.kind === 'undo') {
      this.#set.undo(content.undo)
      this.#unknown.delete(content.undo.id)
    } else if (!hasEnded(content.revocation, this.#forgets())) {
      this.#set.add(content.revocation)
    }
    this.#options.onEntry?.(content)
  }

  async #hearAfterRetries(received: Received, content: FeedContent | Promise<FeedContent>) {
    const { beat } = (await content) as Extract<FeedContent, { kind: 'beat' }>
    await this.#undecided.retry()
    if (this.#undecided.behind) return this.#followAgain()
    if (this.#undecided.blocked) return
    if (received.generation !== this.#generation) return
    const now = this.#clock()
    const why = this.#freshness.hear(beat, now, this.#monotonicMs())
    if (why !== undefined) throw new FeedTextError(why)
    // Nothing that came before it is undecided, so everything before it is in force.
    if (this.#undecided.size === 0) this.#heard.set(beat.origin, beat.at)
    this.#set.sweep(this.#forgets())
    this.#epochs = beat.epochs
    this.#options.transport.learn?.(beat.epochs)
    this.#options.onEpochs?.(beat.epochs)
    this.#firstHeard.resolve()
  }

  #reject({ kind, text }: Received, error: unknown): void {
    const doubt = isDoubt(error)
    if (kind === 'entry' && (doubt || error instanceof UnknownFeedKey)) {
      this.#undecided.wait(text, doubt)
      if (doubt || this.#undecided.behind) this.#freshness.lose()
    }
    this.#report(kind, error)
  }

  #report(kind: Received['kind'], error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    this.#options.onRefused?.({ kind, why })
  }

  #holdUnknown({ id, until }: Extract<FeedContent, { kind: 'unknown' }>): void {
    if (id !== undefined && this.#set.isUndone(id)) return
    const name = id ?? `nameless ${until ?? ''}`
    this.#unknown.set(name, until ?? Number.POSITIVE_INFINITY)
  }

  #holdsUnknown(): boolean {
    if (this.#unknown.size === 0) return false
    const now = this.#clock()
    const over = this.#forgets()
    let holds = false
    for (const [name, until] of this.#unknown) {
      if (hasEnded({ until }, over)) this.#unknown.delete(name)
      holds ||= !hasEnded({ until }, now)
    }
    return holds
  }
}
