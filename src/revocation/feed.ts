/**
 * Carries signed feed texts from brokers to holders; it believes nothing and checks nothing.
 *
 * Promises: `append` resolves only when the entry is as durable as the store is configured to be.
 * A follower first receives every entry still kept, then new ones in order; `beat` is delivered only
 * after all entries that were appended before it. When the connection is lost, or continuity is in
 * doubt, `lost` is called at once, and entries are replayed from the start on recovery.
 */
export interface FeedTransport {
  /** Publishes one signed entry; `expiresAt` (seconds) is when it may be forgotten, if ever. */
  append(entry: string, expiresAt: number | undefined): Promise<void>
  /** Publishes a heartbeat; rejects when the store's epoch is not the one given. */
  beat(heartbeat: string): Promise<void>
  follow(follower: FeedFollower): FeedSubscription
}

export interface FeedFollower {
  entry(text: string): void
  beat(text: string): void
  lost(why: string): void
}

export interface FeedSubscription {
  close(): Promise<void>
}
