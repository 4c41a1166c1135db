/** The feed inside one process, over whatever store keeps its entries, if any. */
import { FanOut } from './fan-out.ts'
import type { FeedTransport, KeptEntry } from './feed.ts'

/** Where a feed of one process keeps its entries over a restart. */
export interface FeedStore {
  load(): readonly KeptEntry[]
  /** Resolves when all are durable, and rejects when none is; an entry with the same id is replaced. */
  save(entries: readonly KeptEntry[]): Promise<void>
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

  async function appendAll(entries: readonly KeptEntry[]): Promise<void> {
    load()
    await store?.save(entries)
    for (const entry of entries) followers.entry(entry)
  }

  return {
    append: (text, expiresAt, id = text) => appendAll([{ id, text, expiresAt }]),
    appendAll,

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
