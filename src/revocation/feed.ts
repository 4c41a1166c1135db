/**
 * What one server of a store is sure to remember. Brokers determine it and sign it into every
 * heartbeat; a holder spends on a server only while it can see that this epoch still stands.
 */
export interface Epoch {
  /** Names the one running server process that holds the data (Redis: its run id). */
  readonly server: string
  /** Tokens issued before this (seconds) may have been forgotten by it. */
  readonly since: number
  /** The key on that server whose value must be `guard`; a new epoch is a new value. */
  readonly guardKey: string
  readonly guard: string
}

/** An entry a broker holds and can put back when the store has lost it. */
export interface KeptEntry {
  readonly id: string
  readonly text: string
  readonly expiresAt: number | undefined
}

/**
 * Carries signed feed texts from brokers to holders; it believes nothing and checks nothing.
 *
 * Promises: `append` resolves only when the entry is as durable as the store is configured to be.
 * A follower first receives every entry still kept, then new ones in order; `beat` is delivered only
 * after all entries that were appended before it. When the connection is lost, or continuity is in
 * doubt, `lost` is called at once, and entries are replayed from the start on recovery.
 */
export interface FeedTransport {
  /**
   * Publishes one signed entry; `expiresAt` (seconds) is when it may be forgotten, if ever. An entry
   * with the same `id` takes the place of the one before it.
   */
  append(entry: string, expiresAt: number | undefined, id?: string): Promise<void>
  /**
   * Publishes a heartbeat that states `epochs`, in one step with the check that the store still
   * stands in them; rejects when it does not.
   */
  beat(heartbeat: string, epochs?: readonly Epoch[]): Promise<void>
  follow(follower: FeedFollower): FeedSubscription

  /** For brokers: several entries in one durable step, or none of them. */
  appendAll?(entries: readonly KeptEntry[]): Promise<void>
  /** For brokers: the epochs the store stands in now, begun anew where something may be lost. */
  epochs?(): Promise<readonly Epoch[]>
  /** For brokers: puts back what a store that lost data no longer holds. */
  restore?(entries: readonly KeptEntry[]): Promise<void>
  /** For holders: told the epochs of each heartbeat whose signature was good. */
  learn?(epochs: readonly Epoch[]): void
}

export interface FeedFollower {
  entry(text: string): void
  beat(text: string): void
  lost(why: string): void
  /** Every entry that was kept when following began (again) has been delivered. */
  ready?(): void
}

export interface FeedSubscription {
  close(): Promise<void>
}
