/**
 * Who holds the revocations, and how far each of them has heard: the brokers themselves, and the
 * verifiers and gateways that report. So an admin can see whether all of them have what was stopped.
 *
 * Each holder is a document that its own word keeps alive. A holder that says nothing holds nothing
 * that anybody could know of; it is listed as silent for a while, and then forgotten.
 */
import type { Document, DocumentOptions, Documents } from '../ledger/documents.ts'
import type { JsonObject } from '../lib/json.ts'
import { hashStrings } from '../token/hash-strings.ts'
import type { HolderKind } from './report.ts'

export const HOLDER = 'holder'
/** Twice this, and a report or two may be lost without anything to see. */
const SILENT_AFTER_SECONDS = 10
const FORGOTTEN_AFTER_SECONDS = 600
const MAX_HOLDERS = 1000

export interface Holder {
  readonly id: string
  readonly kind: 'broker' | HolderKind
  /** The MCP server's resource URI; not of brokers. */
  readonly server?: string | undefined
  /** The client that reports for it. */
  readonly client?: string | undefined
  /** By the clock of the broker that heard it, seconds since the epoch. */
  readonly lastHeardAt: number
  /** Whether it hears the feed within its bound; one that does not lets nothing through. */
  readonly fresh: boolean
  /** Outcomes that it could not count. */
  readonly lost: number
  /** The last good heartbeat of each origin, seconds since the epoch. */
  readonly heard: Readonly<Record<string, number>>
  /** Nothing was heard of it for 10 s. */
  readonly silent: boolean
}

export interface Holders {
  /** @throws {Refusal} (as a rejection) `ledger_unavailable` */
  list(): Promise<readonly Holder[]>
  /** Takes this process off the list. */
  close(): Promise<void>
}

export interface HoldersOptions {
  readonly documents: Pick<Documents, 'put' | 'list' | 'remove'>
  /** What this process has heard itself. */
  readonly revocations: {
    readonly heard: Readonly<Record<string, number>>
    readonly fresh: boolean
  }
  /** Names this process: another one after each start. */
  readonly origin: string
  /** How often it says that it is there; 1,000. */
  readonly everyMs?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /** Told when it could not be said; it is tried again. */
  readonly onError?: (error: unknown) => void
}

/** Lists the holders, and is one: what this process has heard is written every second. */
export function createHolders(options: HoldersOptions): Holders {
  const { documents, revocations, origin, onError } = options
  const clock = options.clock ?? (() => Date.now() / 1000)
  let writing: Promise<void> = Promise.resolve()
  let busy = false

  async function write(): Promise<void> {
    const now = clock()
    const { heard, fresh } = revocations
    const own = { id: origin, kind: 'broker' as const, fresh, lost: 0, heard }
    try {
      const { value, options } = holderDocument({ ...own, at: now, lastHeardAt: now }, now)
      await documents.put(HOLDER, holderId(origin, ''), value, options)
    } catch (error) {
      onError?.(error)
    }
  }
  function tick(): void {
    // A store that hangs must not be asked again every second.
    if (busy) return
    busy = true
    writing = write().finally(() => {
      busy = false
    })
  }
  tick()
  const timer = setInterval(tick, options.everyMs ?? 1000).unref()

  return {
    async list() {
      const now = clock()
      const found = await documents.list(HOLDER, { limit: MAX_HOLDERS })
      return found.map((document) => holderOf(document, now))
    },
    async close() {
      clearInterval(timer)
      await writing
      await documents
        .remove(HOLDER, holderId(origin, ''))
        .catch((error: unknown) => onError?.(error))
    },
  }
}

/** What is kept of a holder, and for how long. */
export function holderDocument(
  holder: Omit<Holder, 'silent'> & { readonly at: number },
  now: number,
): { readonly value: JsonObject; readonly options: DocumentOptions } {
  const { client, heard } = holder
  return {
    value: { ...holder, heard: { ...heard } } as unknown as JsonObject,
    options: {
      expiresAt: now + FORGOTTEN_AFTER_SECONDS,
      order: now,
      group: client === undefined ? undefined : hashStrings([client]),
    },
  }
}

/** Ids of clients may be longer than those of documents, and hold anything. */
export function holderId(holder: string, client: string): string {
  return hashStrings([client, holder])
}

function holderOf({ value }: Document, now: number): Holder {
  const { at, ...holder } = value as unknown as Omit<Holder, 'silent'> & { readonly at: number }
  return { ...holder, silent: now - holder.lastHeardAt > SILENT_AFTER_SECONDS }
}
