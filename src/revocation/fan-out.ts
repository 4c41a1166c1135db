import { steadyClock } from '../lib/steady-clock.ts'
import type { FeedFollower, FeedSubscription, KeptEntry } from './feed.ts'

/**
 * One source of feed texts, many followers in this process. A follower that comes late is first
 * given everything kept. Followers are called in turn, so a heartbeat never overtakes an entry.
 */
export class FanOut {
  readonly #clock = steadyClock()
  readonly #followers = new Set<FeedFollower>()
  #entries = new Map<string, KeptEntry>()
  #whole = false

  /** Continuity is in doubt: nothing is whole until the next `replace`. */
  lost(why: string): void {
    this.#whole = false
    for (const follower of this.#followers) follower.lost(why)
  }

  /** Everything the source keeps now. */
  replace(entries: Iterable<KeptEntry>): void {
    this.#entries = new Map()
    for (const entry of entries) this.#entries.set(entry.id, entry)
    this.#whole = true
    for (const follower of this.#followers) this.#replay(follower)
  }

  entry(entry: KeptEntry): void {
    this.#entries.set(entry.id, entry)
    for (const follower of this.#followers) follower.entry(entry.text)
  }

  /** Heartbeats mean "you know everything before me": none is passed on while that is untrue. */
  beat(text: string): void {
    if (!this.#whole) return
    for (const follower of this.#followers) follower.beat(text)
  }

  /** Forgets entries that have ended. */
  sweep(): void {
    const now = this.#clock()
    for (const { id, expiresAt } of this.#entries.values()) {
      if (expiresAt !== undefined && expiresAt < now) this.#entries.delete(id)
    }
  }

  get followers(): number {
    return this.#followers.size
  }

  follow(follower: FeedFollower): FeedSubscription {
    this.#followers.add(follower)
    if (this.#whole) this.#replay(follower)
    return {
      close: async () => {
        this.#followers.delete(follower)
      },
    }
  }

  #replay(follower: FeedFollower): void {
    for (const { text } of this.#entries.values()) follower.entry(text)
    follower.ready?.()
  }
}
