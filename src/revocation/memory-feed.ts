/** The feed inside one process, over whatever store keeps its entries, if any. */
import { FanOut } from './fan-out.ts'
import type { FeedTransport, KeptEntry } from './feed.ts'

/** Where a feed of one process keeps its entries over a restart. */
export interface FeedStore {
  load(): readonly KeptEntry[]
  /**
   * Resolves when durable; an entry with the same id is replaced. Those saved in the same turn become
   * durable together, or none of them.
   */
  save(entry: KeptEntry): Promise<void>
}

const SWEEP_EVERY_BEATS = 64

export function memoryFeed(store?: FeedStore): FeedTransport {
  const followers = new FanOut()
  let loaded = false
  let beats = 0

  // Not at once: the store is opened after the feed is made.
  function load(): void {
    if (loaded) return
    followers.replace(store?.load() ?? [])
    loaded = true
  }

  return {
    async append(text, expiresAt, id = text) {
      load()
      const entry = { id, text, expiresAt }
      await store?.save(entry)
      followers.entry(entry)
    },

    async appendAll(entries) {
      load()
      await Promise.all(entries.map((entry) => store?.save(entry)))
      for (const entry of entries) followers.entry(entry)
    },

    async beat(heartbeat) {
      load()
      followers.beat(heartbeat)
      if (++beats % SWEEP_EVERY_BEATS === 0) followers.sweep()
    },

    follow(follower) {
      load()
      return followers.follow(follower)
    },
  }
}
