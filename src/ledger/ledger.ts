import type { FeedTransport } from '../revocation/feed.ts'

/**
 * Remembers what has been spent.
 *
 * Every implementation keeps these promises:
 *
 * - Of any number of concurrent calls of `spend` with one id, from any number of processes that
 *   share the store, exactly one resolves to `true`; a resend of one's own unanswered command
 *   never makes the honest caller lose.
 * - A `true` is durable as far as the store was configured to be (see this folder's README): it is
 *   given only after the store has acknowledged the mark.
 * - When the store cannot be asked, or its answer cannot be trusted (timeout, connection lost,
 *   replicas behind, memory of the past in doubt), the call rejects with a `Refusal`
 *   `ledger_unavailable`. It never guesses and never falls back to another store.
 * - What was lost is known: `honoursFrom()` is the earliest issue time whose spends this store is
 *   sure to remember. Tokens issued earlier must be refused (`token_before_epoch`).
 */
export interface Ledger {
  readonly kind: 'memory' | 'sqlite' | 'redis'

  /**
   * Marks `id` spent until `expiresAt` (seconds since the epoch; the store adds the clock skew).
   * `true` only for the first caller. `id` is at most 256 ASCII characters.
   */
  spend(id: string, expiresAt: number): Promise<boolean>

  /**
   * Takes one of `limit` uses of `id`, and marks `proof` spent, in one step; `true` when both
   * succeed. For tokens of several uses.
   */
  use(id: string, limit: number, proof: string, expiresAt: number): Promise<boolean>

  /**
   * Remembers `value` under `id` if nothing is there yet, and answers what is there.
   * (An SVID and the first key that used it.)
   */
  bind(id: string, value: string, expiresAt: number): Promise<string>

  /** Issue times (seconds) before this are not remembered for `id`; 0 when nothing was lost. */
  honoursFrom(id: string): number

  /** Carries the revocation feed when the store can (Redis, SQLite); otherwise undefined. */
  readonly feed: FeedTransport | undefined

  /** Rejects, saying what is wrong and what to do, when the store may not be used as configured. */
  open(): Promise<void>

  close(): Promise<void>
}
