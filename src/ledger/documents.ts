import type { JsonObject } from '../lib/json.ts'

/**
 * Keeps the small JSON documents that a broker must not lose: people and their passkeys, sign-ins,
 * the history of revocations, who holds the feed, answers to requests that may be sent twice. For
 * brokers; all that share a store see the same documents.
 *
 * Every implementation keeps these promises:
 *
 * - Resolved means as durable as the store was configured to be, and seen by every later read of
 *   every process that shares the store.
 * - `create`, `replace` and `take` are atomic: of any number at once, from any number of processes,
 *   exactly one resolves with success.
 * - A document is gone from the moment it expires, whether or not it has been purged.
 * - When the store cannot be asked, every call rejects with a `Refusal` `ledger_unavailable`. What was
 *   to be written may have been written, or be written by a store that answers too late.
 *
 * `kind` is 1 to 32 of `a-z` and `_`; `id` is 1 to 256 printable ASCII characters without spaces; a document
 * is at most 64 KiB of strict JSON. Anything else is a `TypeError`.
 */
export interface Documents {
  /** Writes it, whatever was there. */
  put(kind: string, id: string, value: JsonObject, options?: DocumentOptions): Promise<void>

  /** Writes it when nothing is there: `true` for exactly one caller. */
  create(kind: string, id: string, value: JsonObject, options?: DocumentOptions): Promise<boolean>

  /** Writes it when what is there has this version; `false` when it has another, or is gone. */
  replace(
    kind: string,
    id: string,
    version: string,
    value: JsonObject,
    options?: DocumentOptions,
  ): Promise<boolean>

  get(kind: string, id: string): Promise<Document | undefined>

  /** Reads and removes in one step: exactly one caller gets it. */
  take(kind: string, id: string): Promise<Document | undefined>

  /** `false` when there was none. */
  remove(kind: string, id: string): Promise<boolean>

  /**
   * Those of a kind with this `group`, or all, by descending `order` and then descending id; at most
   * `limit` (1 to 1000). `after` is the last one of the page before.
   */
  list(kind: string, options: ListOptions): Promise<readonly Document[]>
}

export interface DocumentOptions {
  /** Seconds since the epoch; never when not given. */
  readonly expiresAt?: number | undefined
  /** What it belongs to, so that the others can be found: an id's form. */
  readonly group?: string | undefined
  /** Its place in lists: a finite number, for instance a time in seconds; 0 when not given. */
  readonly order?: number | undefined
}

export interface Document {
  readonly id: string
  readonly value: JsonObject
  /** Another one after each write. */
  readonly version: string
  readonly order: number
  readonly group: string | undefined
  readonly expiresAt: number | undefined
}

export interface ListOptions {
  readonly group?: string | undefined
  readonly after?: { readonly order: number; readonly id: string } | undefined
  readonly limit: number
}
