/**
 * A broker's half of the feed: signs revocations and heartbeats, and keeps the feed whole.
 *
 * A heartbeat says "you know everything", so it is sent only when that is so: after the store's
 * epochs have been read, after what a store that lost data no longer holds has been put back, and
 * after entries signed with a key that will soon be forgotten have been signed again.
 */
import { randomBytes } from 'node:crypto'
import type { SigningKey } from '../token/jws.ts'
import type { KeySource } from '../token/key-set.ts'
import type { FeedSubscription, FeedTransport, KeptEntry } from './feed.ts'
import { signBeat, signRevocation, verifyFeedText } from './feed-text.ts'
import { COUNTS_AFTER_END_SECONDS, hasEnded } from './revoked-set.ts'
import { parseTarget, type Revocation, type Target } from './target.ts'

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

export interface RevocationRequest {
  readonly target: Target
  /** Seconds since the epoch: when the last token it concerns has expired. Never, when not given. */
  readonly until?: number | undefined
  readonly reason: string
  readonly by: string
}

interface Held {
  readonly revocation: Revocation
  readonly entry: KeptEntry
  /** The key it was signed with. */
  readonly kid: string
}

export class RevocationPublisher {
  readonly #options: RevocationPublisherOptions
  readonly #clock: () => number
  readonly #origin = randomBytes(12).toString('base64url')
  readonly #held = new Map<string, Held>()
  readonly #started = Promise.withResolvers<void>()
  #subscription: FeedSubscription | undefined
  #verifying: Promise<void> = Promise.resolve()
  #replayed = false
  #guards: string | undefined
  #signedWith: string | undefined
  #lastAt = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #beating: Promise<void> = Promise.resolve()

  constructor(options: RevocationPublisherOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
    this.#started.promise.catch(() => undefined)
  }

  /** Resolves when the first heartbeat is out. */
  start(): Promise<void> {
    if (this.#subscription === undefined) {
      this.#subscription = this.#options.transport.follow({
        entry: (text) => this.#hold(text),
        beat: () => undefined,
        lost: () => {
          this.#replayed = false
        },
        ready: () => {
          this.#replayed = true
        },
      })
      this.#beating = this.#loop()
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
    const { until, reason, by } = request
    if (until !== undefined && !Number.isFinite(until)) throw new TypeError('until must be seconds')
    if (typeof reason !== 'string' || reason.length > 1024 || typeof by !== 'string') {
      throw new TypeError('reason and by must be text, reason of at most 1024 characters')
    }
    const revocation: Revocation = {
      id: randomBytes(16).toString('base64url'),
      target: parseTarget({ ...request.target }),
      at: this.#clock(),
      reason,
      by,
      ...(until === undefined ? {} : { until }),
    }
    const held = this.#sign(revocation)
    const { entry } = held
    await this.#options.transport.append(entry.text, entry.expiresAt, entry.id)
    this.#held.set(entry.id, held)
    return revocation
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#started.reject(new Error('closed before a heartbeat was sent'))
    await this.#beating
    await this.#subscription?.close()
  }

  async #loop(): Promise<void> {
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
    await this.#verifying
    this.#dropEnded()
    const epochs = (await transport.epochs?.()) ?? []
    const guards = epochs.map(({ guard }) => guard).join(' ')
    if (guards !== this.#guards) {
      // A new epoch means that the store may have lost entries as well.
      await transport.restore?.([...this.#held.values()].map(({ entry }) => entry))
      this.#guards = guards
    }
    await this.#signAgain(key())
    this.#lastAt = Math.max(this.#clock(), this.#lastAt + 0.001)
    const beat = { origin: this.#origin, at: this.#lastAt, epochs }
    await transport.beat(signBeat(beat, issuer, key()), epochs)
  }

  /** Entries outlive keys: one that no published key verifies would be refused by new holders. */
  async #signAgain(key: SigningKey): Promise<void> {
    // Once per change of our own key: brokers whose keys differ must not undo each other's work.
    if (key.kid === this.#signedWith) return
    for (const { revocation, kid } of this.#held.values()) {
      if (kid === key.kid) continue
      const held = this.#sign(revocation)
      const { entry } = held
      await this.#options.transport.append(entry.text, entry.expiresAt, entry.id)
      this.#held.set(entry.id, held)
    }
    this.#signedWith = key.kid
  }

  #sign(revocation: Revocation): Held {
    const key = this.#options.key()
    const text = signRevocation(revocation, this.#options.issuer, key)
    const { id, until } = revocation
    const expiresAt = until === undefined ? undefined : until + COUNTS_AFTER_END_SECONDS
    return { revocation, kid: key.kid, entry: { id, text, expiresAt } }
  }

  /** What other brokers revoked; believed only with their signature, or ours would launder it. */
  #hold(text: string): void {
    const { issuer, keys } = this.#options
    this.#verifying = this.#verifying.then(async () => {
      try {
        const content = await verifyFeedText(text, issuer, keys)
        if (content.kind !== 'revoke') return
        const { revocation } = content
        const { id, until } = revocation
        const expiresAt = until === undefined ? undefined : until + COUNTS_AFTER_END_SECONDS
        const kid = kidOf(text)
        this.#held.set(id, { revocation, kid, entry: { id, text, expiresAt } })
      } catch (error) {
        this.#options.onError?.(error)
      }
    })
  }

  #dropEnded(): void {
    const now = this.#clock()
    for (const [id, { revocation }] of this.#held) {
      if (hasEnded(revocation, now)) this.#held.delete(id)
    }
  }
}

function kidOf(text: string): string {
  const header = Buffer.from(text.slice(0, text.indexOf('.')), 'base64url').toString()
  return String(JSON.parse(header).kid)
}
