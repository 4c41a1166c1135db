/**
 * Every revocation that was made, with who, why and when, also after it has ended or was undone.
 *
 * The feed goes first, because it is what stops. What it says is written down afterwards, and once
 * more by every broker that hears it, so that a broker that dies in between leaves no gap. A record
 * that could not be written is tried again.
 */

import { setImmediate } from 'node:timers/promises'
import type { DocumentOptions, Documents } from '../ledger/documents.ts'
import { BoundedMap } from '../lib/bounded-map.ts'
import { FARTHEST_SECONDS } from '../lib/farthest.ts'
import type { RevocationPublisher, RevocationRequest, UndoRequest } from './publisher.ts'
import {
  documentOf,
  mentions,
  type RecordedRevocation,
  type RevocationState,
  recordedOf,
  stateOf,
} from './recorded.ts'
import type { HeardEntry, Revocations } from './revocations.ts'
import type { Revocation, TargetKind, Undo } from './target.ts'

export type { RecordedRevocation, RevocationState } from './recorded.ts'

/** The last one of a page. */
export interface Position {
  readonly order: number
  readonly id: string
}

export interface HistoryOptions {
  readonly documents: Pick<Documents, 'create' | 'replace' | 'get' | 'list'>
  readonly publisher: Pick<RevocationPublisher, 'revokeAll' | 'undo'>
  /** What is held in this process; what of it is not on record is written down by `repair`. */
  readonly revocations: Pick<Revocations, 'list' | 'undone'>
  /** How long the record of what has ended or was undone is kept; 400 days. */
  readonly keepSeconds?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /** Told why something could not be written down; it is tried again. */
  readonly onError?: (error: unknown) => void
}

export interface HistoryQuery {
  readonly state?: RevocationState | undefined
  readonly kind?: TargetKind | undefined
  /** Occurs in the id, the target, a reason or a name. */
  readonly text?: string | undefined
  /** Where the page before ended. */
  readonly after?: Position | undefined
  /** 1 to 1000. */
  readonly limit: number
}

export interface HistoryPage {
  /** Newest first. May be fewer than asked for although there are more. */
  readonly items: readonly RecordedRevocation[]
  /** Undefined at the end. */
  readonly next: Position | undefined
}

const KIND = 'revocation'
const KEEP_SECONDS = 400 * 86_400
const RETRY_MS = 1000
const PAGE = 500
/** Looked through for one page of a query that few match. */
const MAX_LOOKED_THROUGH = 5000
/** Waiting to be written. When more comes, all that is held is gone through, a part at a time. */
const MAX_UNWRITTEN = 10_000
/** Ids known to be on record; of others the store is asked. */
const MAX_REMEMBERED = 20_000

export type History = RevocationHistory

export function openHistory(options: HistoryOptions): History {
  return new RevocationHistory(options)
}

class RevocationHistory {
  readonly #options: HistoryOptions
  readonly #clock: () => number
  readonly #unwritten: HeardEntry[] = []
  /** Something was heard that could not wait. */
  #missed = false
  /** What was held then and has not been gone through yet. */
  #held: HeardEntry[] = []
  /** The feed says everything again whenever it is read from its start. */
  readonly #onRecord = new BoundedMap<string, 'live' | 'undone'>(MAX_REMEMBERED)
  #writing: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: HistoryOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => Date.now() / 1000)
  }

  /**
   * Stops all targets, and writes it down. Resolved means what `revokeAll` promises; a record that
   * could not be written yet is tried again.
   *
   * @throws {TypeError} a target, reason or time of another form
   * @throws {Refusal} ledger_unavailable
   */
  async revoke(requests: readonly RevocationRequest[]): Promise<RecordedRevocation[]> {
    const revocations = await this.#options.publisher.revokeAll(requests)
    await this.#record(revocations.map((revocation) => ({ kind: 'revoke', revocation })))
    return revocations
  }

  /**
   * Ends a revocation before its time. One that is undone already stays as it was.
   *
   * @throws {TypeError} when there is none of this id, or it has ended, or is of a kind that cannot be
   *   undone
   * @throws {Refusal} ledger_unavailable
   */
  async undo(id: string, request: UndoRequest): Promise<RecordedRevocation> {
    const known = await this.get(id)
    if (known?.undone !== undefined) return known
    const revocation = await this.#options.publisher.undo(known ?? id, request)
    const { reason, by } = request
    const undo = { id, at: this.#clock(), until: Number.POSITIVE_INFINITY, reason, by, origin: '' }
    await this.#record([
      { kind: 'revoke', revocation },
      { kind: 'undo', undo },
    ])
    // As it is on record: another broker may have written it first.
    const recorded = await this.get(id).catch(() => undefined)
    if (recorded?.undone !== undefined) return recorded
    return { ...revocation, undone: { at: undo.at, reason, by } }
  }

  /** Also one that is in force and not on record yet. */
  async get(id: string): Promise<RecordedRevocation | undefined> {
    const document = await this.#options.documents.get(KIND, id)
    const recorded = document && recordedOf(document.value)
    return recorded ?? this.#options.revocations.list().find((each) => each.id === id)
  }

  async list({ state, kind, text, after, limit }: HistoryQuery): Promise<HistoryPage> {
    const now = this.#clock()
    const items: RecordedRevocation[] = []
    let position = after
    for (let looked = 0; looked < MAX_LOOKED_THROUGH; looked += PAGE) {
      const page = await this.#options.documents.list(KIND, {
        group: kind,
        after: position,
        limit: PAGE,
      })
      for (const { id, order, value } of page) {
        position = { order, id }
        const recorded = recordedOf(value)
        if (recorded === undefined) continue
        if (state !== undefined && stateOf(recorded, now) !== state) continue
        if (text !== undefined && !mentions(recorded, text)) continue
        items.push(recorded)
        if (items.length >= limit) return { items, next: position }
      }
      if (page.length < PAGE) return { items, next: undefined }
      // A store may answer at once, and heartbeats must not wait for a long search.
      await setImmediate()
    }
    return { items, next: position }
  }

  /** Writes down what is in force here and not on record; once after the feed has been heard. */
  async repair(): Promise<void> {
    this.#missed = true
    await this.#written()
  }

  /** To be told everything that this process' holder hears; returns at once. */
  hear(entry: HeardEntry): void {
    if (this.#closed) return
    if (this.#unwritten.length < MAX_UNWRITTEN) this.#unwritten.push(entry)
    else this.#missed = true
    void this.#written()
  }

  /** Tries once more to write down what is not on record yet. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    await this.#written()
    clearTimeout(this.#retry)
  }

  /** Without waiting for what else is to be written, of which there may be much after a start. */
  async #record(entries: readonly HeardEntry[]): Promise<void> {
    try {
      for (const entry of entries) await this.#write(entry)
    } catch {
      for (const entry of entries) this.hear(entry)
    }
  }

  /** Resolves when everything heard so far is on record, or has to be tried again later. */
  async #written(): Promise<void> {
    if (this.#unwritten.length === 0 && this.#held.length === 0 && !this.#missed) return
    this.#writing ??= this.#writeAll()
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    clearTimeout(this.#retry)
    // Where there is nothing to write it would end before it is known to have begun, and never begin again.
    await Promise.resolve()
    try {
      do {
        for (let next = this.#unwritten[0]; next !== undefined; next = this.#unwritten[0]) {
          await this.#write(next)
          this.#unwritten.shift()
        }
      } while (!this.#closed && this.#takeHeld())
    } catch (error) {
      this.#options.onError?.(error)
      if (!this.#closed) this.#retry = setTimeout(() => void this.#written(), RETRY_MS).unref()
    } finally {
      // In the same turn in which the last one was taken, so that none is left lying.
      this.#writing = undefined
    }
  }

  /** The next part of what is held, if anything was missed; answers whether there is any. */
  #takeHeld(): boolean {
    if (this.#missed) {
      const { revocations } = this.#options
      this.#missed = false
      this.#held = [
        ...revocations.list().map((revocation) => ({ kind: 'revoke', revocation }) as const),
        ...revocations.undone().map((undo) => ({ kind: 'undo', undo }) as const),
      ]
    }
    this.#unwritten.push(...this.#held.splice(0, PAGE))
    return this.#unwritten.length > 0
  }

  async #write(entry: HeardEntry): Promise<void> {
    try {
      if (entry.kind === 'revoke') await this.#writeRevocation(entry.revocation)
      else await this.#writeUndo(entry.undo)
    } catch (error) {
      // What no store takes must not hold up the others.
      if (!(error instanceof TypeError)) throw error
      this.#options.onError?.(error)
    }
  }

  async #writeRevocation(revocation: Revocation): Promise<void> {
    const { documents, publisher } = this.#options
    const { id } = revocation
    if (this.#onRecord.get(id) === 'live') return
    if (await documents.create(KIND, id, documentOf(revocation), this.#place(revocation))) {
      this.#onRecord.set(id, 'live')
      return
    }
    const document = await documents.get(KIND, id)
    const undone = document && recordedOf(document.value)?.undone
    // Somebody may have undone it, and said so here, since it was read.
    const isUndone = undone !== undefined || this.#onRecord.get(id) === 'undone'
    this.#onRecord.set(id, isUndone ? 'undone' : 'live')
    // The feed forgets after a while what has been undone; here it is on record.
    if (undone !== undefined && stateOf(revocation, this.#clock()) === 'live') {
      await publisher.undo(revocation, undone)
    }
  }

  async #writeUndo({ id, at, reason, by }: Undo): Promise<void> {
    const { documents } = this.#options
    for (;;) {
      const document = await documents.get(KIND, id)
      const recorded = document && recordedOf(document.value)
      this.#onRecord.set(id, 'undone')
      if (recorded === undefined || document === undefined || recorded.undone !== undefined) return
      const undone = { ...recorded, undone: { at, reason, by } }
      const value = documentOf(undone)
      if (await documents.replace(KIND, id, document.version, value, this.#place(undone))) return
    }
  }

  #place(recorded: RecordedRevocation): DocumentOptions {
    const { at, until, target, undone } = recorded
    const end = undone?.at ?? until
    const keepSeconds = this.#options.keepSeconds ?? KEEP_SECONDS
    return {
      order: at,
      group: target.kind,
      expiresAt: end === undefined ? undefined : Math.min(end + keepSeconds, FARTHEST_SECONDS - 1),
    }
  }
}
