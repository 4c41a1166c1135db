/**
 * What one follower over HTTP still has to be sent, in order: either what came since its last id, or
 * everything that is kept and then what comes.
 *
 * It holds a place in the ring and not the events themselves, so a follower that does not read costs
 * nothing but its place, until the ring has gone past it.
 */
import type { FeedSubscription } from './feed.ts'
import { type FeedEvent, isOneLine } from './http-feed-events.ts'
import type { FeedRing } from './http-feed-ring.ts'

/**
 * A heartbeat held longer than this is not sent: a holder that has heard none of its origin could not
 * tell that it is old. The next is due anyway.
 */
const OLD_BEAT_MS = 500

export class FeedReader {
  readonly #ring: FeedRing
  readonly #onMore: () => void
  readonly #stopListening: () => void
  /** What is sent before the ring's events; a replay that is complete ends with `ready`. */
  #replay: FeedEvent[] = []
  #replayed = 0
  #snapshot: FeedSubscription | undefined
  #position: number
  #live: boolean
  /** Whether it goes on from the id that was asked for. */
  readonly resumed: boolean

  /**
   * @param lastId what the follower has seen before, if anything
   * @param onMore called when there may be more to send, or it is left behind
   */
  constructor(ring: FeedRing, lastId: string | undefined, onMore: () => void) {
    ring.open()
    this.#ring = ring
    this.#onMore = onMore
    const position = lastId === undefined ? undefined : ring.positionOf(lastId)
    this.resumed = position !== undefined
    this.#live = this.resumed
    this.#position = position ?? ring.head
    this.#stopListening = ring.onEvent(onMore)
    if (position !== undefined) return
    // Whoever believed to know everything must not go on believing it. The empty id is for those who
    // would otherwise come back with the one that is not known.
    if (lastId !== undefined || !ring.whole) this.#lost()
    this.#takeSnapshot()
  }

  /** The next event to send; undefined when there is none now. */
  next(): FeedEvent | undefined {
    const replayed = this.#replay[this.#replayed]
    if (replayed !== undefined) {
      this.#replayed += 1
      if (this.#replayed === this.#replay.length) {
        this.#replay = []
        this.#replayed = 0
      }
      return replayed
    }
    if (!this.#live) return undefined
    for (;;) {
      const event = this.#ring.after(this.#position)
      if (event === undefined) return undefined
      this.#position += 1
      const { event: kind, data, id, arrivedMs } = event
      const old = kind === 'beat' && performance.now() - arrivedMs > OLD_BEAT_MS
      if (!old) return { event: kind, data, id }
    }
  }

  /** Whether everything that was kept has been handed out, and what comes is next. */
  get live(): boolean {
    return this.#live && this.#replay.length === 0
  }

  /** Where to go on from what has been handed out; meaningful once `live`. */
  get id(): string {
    return this.#ring.idOf(this.#position)
  }

  /** The ring has gone past it: whatever was to be sent next is gone. */
  get leftBehind(): boolean {
    return !this.#ring.covers(this.#position)
  }

  close(): void {
    this.#stopListening()
    this.#endSnapshot()
  }

  #lost(): void {
    this.#replay.push({ event: 'lost', data: 'lost', id: '' })
  }

  /**
   * Everything kept is what a new follower of the transport is given first. What came to the ring since
   * this began follows it: the same twice changes nothing.
   */
  #takeSnapshot(): void {
    let begun = false
    const add = (event: FeedEvent): void => {
      if (this.#live) return
      this.#replay.push(event)
      if (event.event === 'ready') this.#live = true
      // Not while this is still being made.
      if (begun) this.#onMore()
    }
    this.#snapshot = this.#ring.transport.follow({
      entry: (data) => isOneLine(data) && add({ event: 'entry', data }),
      beat: () => undefined,
      lost: () => add({ event: 'lost', data: 'lost', id: '' }),
      ready: () => {
        add({ event: 'ready', data: 'ready', id: this.id })
        this.#endSnapshot()
      },
    })
    begun = true
    // It may have been ready at once.
    if (this.#live) this.#endSnapshot()
  }

  #endSnapshot(): void {
    this.#snapshot?.close().catch(() => undefined)
    this.#snapshot = undefined
  }
}
