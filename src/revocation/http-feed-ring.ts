/**
 * The last events of the feed in one broker process, numbered, so that a follower whose connection was
 * cut can go on from where it was.
 *
 * The numbers are this process' own: brokers hear the same feed, each in an order of its own. So an id
 * names the process as well, and another process, or this one started again, knows nothing of it.
 */
import { randomBytes } from 'node:crypto'
import type { FeedSubscription, FeedTransport } from './feed.ts'
import { FEED_ID, type FeedEvent, isOneLine } from './http-feed-events.ts'

interface Held extends FeedEvent {
  readonly id: string
  readonly arrivedMs: number
}

/** What an event costs besides its text, roughly. */
const EVENT_BYTES = 128

export class FeedRing {
  readonly transport: FeedTransport
  readonly #maxBytes: number
  readonly #instance = randomBytes(12).toString('base64url')
  readonly #listeners = new Set<() => void>()
  /** Those from `#first` on are held; what is before it in the array is let go of now and then. */
  #events: Held[] = []
  #first = 0
  /** How many events came before the first one in the array. */
  #dropped = 0
  #bytes = 0
  #whole = false
  #subscription: FeedSubscription | undefined

  /** @param maxBytes how much is kept; who is further behind than that begins anew */
  constructor(transport: FeedTransport, maxBytes: number) {
    this.transport = transport
    this.#maxBytes = maxBytes
  }

  /** Follows the transport from the first time on. */
  open(): void {
    this.#subscription ??= this.transport.follow({
      entry: (text) => this.#append('entry', text),
      beat: (text) => this.#append('beat', text),
      lost: () => {
        this.#whole = false
        this.#append('lost', 'lost')
      },
      ready: () => {
        this.#whole = true
        this.#append('ready', 'ready')
      },
    })
  }

  async close(): Promise<void> {
    await this.#subscription?.close()
  }

  /** Whether everything that is kept has been heard, as far as anybody knows. */
  get whole(): boolean {
    return this.#whole
  }

  /** How many events there have been: where somebody is who has seen them all. */
  get head(): number {
    return this.#dropped + this.#events.length
  }

  idOf(position: number): string {
    return `${this.#instance}.${position}`
  }

  /** Where an id is; undefined when it is not ours, or nobody can go on from there any more. */
  positionOf(id: string): number | undefined {
    if (!FEED_ID.test(id) || !id.startsWith(`${this.#instance}.`)) return undefined
    const position = Number(id.slice(this.#instance.length + 1))
    return position <= this.head && this.covers(position) ? position : undefined
  }

  /** Whether every event after `position` is still held. */
  covers(position: number): boolean {
    return position >= this.#dropped + this.#first
  }

  /** The event after `position`, if there has been one. */
  after(position: number): Held | undefined {
    return this.#events[position - this.#dropped]
  }

  /** @returns how not to be told any more */
  onEvent(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #append(event: FeedEvent['event'], data: string): void {
    if (!isOneLine(data)) return
    const id = this.idOf(this.head + 1)
    this.#events.push({ event, data, id, arrivedMs: performance.now() })
    this.#bytes += data.length + EVENT_BYTES
    while (this.#bytes > this.#maxBytes) {
      this.#bytes -= (this.#events[this.#first++]?.data.length ?? 0) + EVENT_BYTES
    }
    if (this.#first > this.#events.length / 2) {
      this.#events = this.#events.slice(this.#first)
      this.#dropped += this.#first
      this.#first = 0
    }
    for (const listener of this.#listeners) listener()
  }
}
