/**
 * A broker's half of the feed: signs revocations and heartbeats, and keeps the feed whole.
 *
 * A heartbeat says "you know everything", so it is sent only when that is so: after the store's
 * epochs have been read, after what a store that lost data no longer holds has been put back, and
 * after entries signed with a key that will soon be forgotten have been signed again.
 */
import { randomId } from '../lib/random-id.ts'
import { steadyClock } from '../lib/steady-clock.ts'
import type { SigningKey } from '../token/jws.ts'
import type { KeySource } from '../token/key-set.ts'
import { checkRequest, checkWhy, type RevocationRequest, type UndoRequest } from './asked.ts'
import { BeatClock } from './beat-clock.ts'
import type { FeedSubscription, FeedTransport, KeptEntry } from './feed.ts'
import { signBeat } from './feed-text.ts'
import { KeptEntries, type Said, type Signed, signEntry } from './kept.ts'
import { canUndo, hasEnded, type Revocation } from './target.ts'

export type { RevocationRequest, UndoRequest } from './asked.ts'

export interface RevocationPublisherOptions {
  readonly issuer: string
  /** The key to sign with now. */
  readonly key: () => SigningKey
  /** The broker's own public keys: only what they verify is put back or signed again. */
  readonly keys: KeySource
  readonly transport: FeedTransport
  readonly beatEveryMs?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /** Told why a heartbeat could not be sent; it is tried again. */
  readonly onError?: (error: unknown) => void
}

/** Signed again before one heartbeat. With more, it would come too late, and all holders would refuse. */
const SIGNED_AGAIN_PER_BEAT = 200

/** How often entries are looked for that a broker with the key of before has left. */
const LOOK_AGAIN_SECONDS = 60

/** How long an undo of a revocation without an end is remembered. */
const UNDO_KEPT_SECONDS = 7 * 86_400

export class RevocationPublisher {
  readonly #options: RevocationPublisherOptions
  readonly #clock: () => number
  readonly #forgets: () => number
  readonly #times: BeatClock
  readonly #kept: KeptEntries
  readonly #started = Promise.withResolvers<void>()
  /** The feed has been read to its end, or could not be, for the first time: before that there is nothing to say. */
  readonly #firstRead = Promise.withResolvers<void>()
  #subscription: FeedSubscription | undefined
  #replayed = false
  #guards: string | undefined
  #signedWith: string | undefined
  /** The ids of what has to be signed again, found the last time that was looked. */
  #toSign: string[] = []
  #lookAgainAt = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #turn: Promise<void> = Promise.resolve()
  #beating: Promise<void> = Promise.resolve()

  constructor(options: RevocationPublisherOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
    this.#forgets = steadyClock(this.#clock)
    this.#times = new BeatClock(this.#clock)
    this.#kept = new KeptEntries(options.issuer, options.keys)
    this.#started.promise.catch(() => undefined)
  }

  /** Names this process in its heartbeats and in what it revokes. */
  get origin(): string {
    return this.#times.origin
  }

  /** Resolves when the first heartbeat is out. */
  start(): Promise<void> {
    if (this.#subscription === undefined) {
      this.#subscription = this.#options.transport.follow({
        entry: (text) => this.#kept.hear(text, this.#options.onError),
        beat: () => undefined,
        lost: () => {
          this.#replayed = false
          this.#firstRead.resolve()
        },
        ready: () => {
          this.#replayed = true
          this.#firstRead.resolve()
        },
      })
      this.#beating = this.#firstRead.promise.then(() => this.#loop())
    }
    return this.#started.promise
  }

  /**
   * Stops the target. Resolved means durable, and in force everywhere within the holders' bound.
   *
   * @throws {TypeError} a target, reason or time of another form
   * @throws {Refusal} ledger_unavailable
   */
  async revoke(request: RevocationRequest): Promise<Revocation> {
    const [revocation] = await this.revokeAll([request])
    if (revocation === undefined) throw new Error('one request makes one revocation')
    return revocation
  }

  /**
   * Stops all targets in one durable step, where the store can: all of them or, when it fails, none.
   * Nothing is published when one of the requests is not right.
   *
   * @throws {TypeError} a target, reason or time of another form
   * @throws {Refusal} ledger_unavailable; then some may be in force, but none is promised
   */
  async revokeAll(requests: readonly RevocationRequest[]): Promise<Revocation[]> {
    const now = this.#clock()
    const wanted = requests.map((request) => checkRequest(request, now))
    if (wanted.length === 0) return []
    const { at, published } = this.#times.publish()
    try {
      const revocations = wanted.map((each): Revocation => {
        const id = randomId()
        return { id, ...each, at, origin: this.origin }
      })
      const signed = revocations.map((revocation) => this.#sign({ kind: 'revoke', revocation }))
      await this.#append(signed.map(({ entry }) => entry))
      for (const each of signed) this.#kept.keep(each)
      return revocations
    } finally {
      published()
    }
  }

  /**
   * Ends a revocation before its time, everywhere. Answers the revocation.
   *
   * @param revocation its id, or itself when this process may not have heard of it
   * @throws {TypeError} when nothing live has this id, or it is of a kind that cannot be undone
   * @throws {Refusal} ledger_unavailable
   */
  async undo(revocation: string | Revocation, request: UndoRequest): Promise<Revocation> {
    const { reason, by } = request
    checkWhy(reason, by)
    const undone = await this.#toUndo(revocation)
    const { at, published } = this.#times.publish()
    try {
      const until = undone.until ?? at + UNDO_KEPT_SECONDS
      const undo = { id: undone.id, at, until, reason, by, origin: this.origin }
      const signed = this.#sign({ kind: 'undo', undo })
      await this.#inTurn(async () => {
        await this.#append([signed.entry])
        this.#kept.keep(signed)
      })
      return undone
    } finally {
      published()
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#firstRead.resolve()
    this.#started.reject(new Error('closed before a heartbeat was sent'))
    await this.#beating
    await this.#subscription?.close()
  }

  async #toUndo(named: string | Revocation): Promise<Revocation> {
    await this.#kept.settled()
    const said = this.#kept.get(typeof named === 'string' ? named : named.id)?.said
    const found = said?.kind === 'revoke' ? said.revocation : undefined
    const revocation = found ?? (typeof named === 'string' ? undefined : named)
    if (revocation === undefined || hasEnded(revocation, this.#clock())) {
      throw new TypeError('no live revocation has this id')
    }
    const { target } = revocation
    if (!canUndo(target))
      throw new TypeError(`a revocation of kind ${target.kind} cannot be undone`)
    return revocation
  }

  async #append(entries: readonly KeptEntry[]): Promise<void> {
    const { transport } = this.#options
    if (entries.length > 1 && transport.appendAll !== undefined) {
      return transport.appendAll(entries)
    }
    for (const { id, text, expiresAt } of entries) await transport.append(text, expiresAt, id)
  }

  async #loop(): Promise<void> {
    if (this.#closed) return
    try {
      await this.#beat()
      this.#started.resolve()
    } catch (error) {
      this.#options.onError?.(error)
    }
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      this.#beating = this.#loop()
    }, this.#options.beatEveryMs ?? 250).unref()
  }

  async #beat(): Promise<void> {
    const { transport, issuer, key } = this.#options
    if (!this.#replayed) throw new Error('the feed has not been read to its end yet')
    await this.#kept.settled()
    this.#kept.dropEnded(this.#forgets())
    const epochs = (await transport.epochs?.()) ?? []
    const guards = epochs.map(({ guard }) => guard).join(' ')
    if (guards !== this.#guards) {
      // A new epoch means that the store may have lost entries as well.
      await transport.restore?.(this.#kept.entries())
      this.#guards = guards
    }
    await this.#signAgain(key())
    await this.#append(this.#kept.overwritten().map(({ entry }) => entry))
    const at = this.#times.beat()
    const beat = { origin: this.origin, at, epochs }
    await transport.beat(signBeat(beat, issuer, key()), epochs)
  }

  /** Entries outlive keys: one that no published key verifies would be refused by new holders. */
  async #signAgain(key: SigningKey): Promise<void> {
    // Seldom: brokers whose keys differ undo each other's work. But one that still signed with the
    // key of before may have ended since, and nobody else would sign again what it left.
    const now = this.#clock()
    if (this.#toSign.length === 0) {
      if (key.kid === this.#signedWith && now < this.#lookAgainAt) return
      this.#lookAgainAt = now + LOOK_AGAIN_SECONDS
      this.#signedWith = key.kid
      this.#toSign = this.#kept.notSignedWith(key.kid)
    }
    await this.#inTurn(async () => {
      // Since it was looked, any may have been undone, have ended, or been signed by another broker.
      const some = this.#toSign.slice(0, SIGNED_AGAIN_PER_BEAT)
      const left = some
        .flatMap((id) => this.#kept.get(id) ?? [])
        .filter(({ kid }) => kid !== key.kid)
      const signed = left.map(({ said }) => this.#sign(said))
      await this.#append(signed.map(({ entry }) => entry))
      for (const each of signed) this.#kept.keep(each)
      this.#toSign.splice(0, some.length)
    })
  }

  /** One after the other, so that what is signed again never takes the place of its undo. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  #sign(said: Said): Signed {
    return signEntry(said, this.#options.issuer, this.#options.key())
  }
}
