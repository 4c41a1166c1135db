import type { Epoch, FeedTransport } from '../revocation/feed.ts'
import type { Documents } from './documents.ts'
import type { SessionBook } from './session-book.ts'

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
   * `true` only for the first caller. `id` is 1 to 256 printable ASCII characters without spaces.
   *
   * With `issuedAt` (seconds) the call also rejects with `token_before_epoch` when the store may
   * have forgotten spends of things issued then. Unlike a look at `honoursFrom()` beforehand, that
   * check holds at the moment of the spend. Subtract what the issuer's clock may be ahead of ours
   * (for a DPoP proof: its `iat` minus the seconds a proof may be ahead).
   *
   * @throws {Refusal} ledger_unavailable, token_before_epoch, token_expired (nothing would be kept)
   * @throws {TypeError} an id or a time of another form
   */
  spend(id: string, expiresAt: number, issuedAt?: number): Promise<boolean>

  /**
   * Takes one of `limit` uses of `id`, and marks `proof` spent, in one step; `true` when both
   * succeed. For tokens of several uses; a replayed proof never costs a use. `limit` is at most 1024.
   */
  use(
    id: string,
    limit: number,
    proof: string,
    expiresAt: number,
    issuedAt?: number,
  ): Promise<boolean>

  /**
   * Whether `spend` has marked `id` and the mark is still kept. It only tells what was so a moment
   * ago: what may happen once is decided by `spend` alone. Uses counted by `use` are not looked at.
   *
   * @param resource whose verifiers spend, for a broker that shares their store; otherwise what this
   * ledger itself has spent
   * @throws {Refusal} ledger_unavailable
   */
  isSpent(id: string, resource?: string): Promise<boolean>

  /**
   * Remembers `value` under `id` if nothing is there yet, and answers what is there.
   * (An SVID and the first key that used it.) `value` has the form of an id. For brokers.
   */
  bind(id: string, value: string, expiresAt: number): Promise<string>

  /**
   * Issue times (seconds) before this are not remembered for `id`; 0 when nothing was lost.
   *
   * @throws {Refusal} ledger_unavailable while this cannot be known
   */
  honoursFrom(id: string): number

  /**
   * Carries the revocation feed when the store can: Redis for everybody, SQLite and memory for the
   * broker that owns them (`role: 'broker'`). Otherwise undefined: follow the broker's HTTP stream.
   */
  readonly feed: FeedTransport | undefined

  /** What else a broker must not lose, in the same store; `undefined` for verifiers. */
  readonly documents: Documents | undefined

  /** Which sessions there are, in the same store; `undefined` for verifiers. */
  readonly sessions: SessionBook | undefined

  /**
   * For a verifier whose feed is not this store's own (the broker's HTTP stream): told the epochs of
   * every verified heartbeat. `ledger.feed` learns them by itself.
   */
  learn?(epochs: readonly Epoch[]): void

  /**
   * Resolves when the store may be used; after a loss, only once tokens issued now are honoured
   * again. Rejects, saying what is wrong and what to set, when it may not be used as configured.
   */
  open(): Promise<void>

  close(): Promise<void>
}
