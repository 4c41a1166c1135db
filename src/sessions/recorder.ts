/**
 * The broker's own word in the book of sessions: what it issued and refused, written a moment later so
 * that no exchange waits for it.
 *
 * What was taken for one writing keeps its sequence until the store has confirmed it, so a confirmation
 * that was lost does not make anything count twice.
 */
import type { AuditRecord } from '../audit/record.ts'
import type { SessionBook, SessionIdentity, SessionUpdate } from '../ledger/session-book.ts'
import { Gathering } from './gathering.ts'

export interface SessionRecorderOptions {
  readonly book: Pick<SessionBook, 'apply'>
  /** Names this process, and no other, ever: sequences begin again with each. */
  readonly origin: string
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /** How often it writes; 1,000. */
  readonly everyMs?: number
  /** Told when a writing failed; it is tried again. */
  readonly onError?: (error: unknown) => void
}

export interface SessionRecorder {
  /** Counts a record of an exchange. Costs about a microsecond, waits for nothing. */
  note(record: AuditRecord, identity?: SessionIdentity): void
  /** Resolves when all that was noted before is kept. @throws {Refusal} `ledger_unavailable` */
  flush(): Promise<void>
  /** Writes what is left. @throws as `flush` does; then that is not in the book, though in the audit */
  close(): Promise<void>
}

const MAX_SESSIONS_A_WRITING = 500

export function createSessionRecorder(options: SessionRecorderOptions): SessionRecorder {
  const { book, onError } = options
  const source = `broker:${options.origin}`
  const clock = options.clock ?? (() => Date.now() / 1000)
  const gathering = new Gathering('broker')
  let sequence = 0
  let unconfirmed: readonly SessionUpdate[] = []
  let writing: Promise<void> | undefined

  async function writeAll(): Promise<void> {
    for (;;) {
      if (unconfirmed.length === 0) {
        unconfirmed = gathering.take({ now: clock(), maxSessions: MAX_SESSIONS_A_WRITING })
        if (unconfirmed.length === 0) return
        sequence++
      }
      await apply(unconfirmed)
      unconfirmed = []
    }
  }

  async function apply(updates: readonly SessionUpdate[]): Promise<void> {
    try {
      await book.apply(source, sequence, updates)
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
      // One that the book can never take must not keep the others out of it.
      if (updates.length > 1) for (const update of updates) await apply([update])
      else onError?.(error)
    }
  }

  async function flush(): Promise<void> {
    // One that is under way may have taken its batch already.
    await writing?.catch(() => undefined)
    writing ??= writeAll().finally(() => {
      writing = undefined
    })
    return writing
  }

  const timer = setInterval(() => {
    if (writing === undefined) flush().catch((error: unknown) => onError?.(error))
  }, options.everyMs ?? 1000).unref()

  return {
    note(record, identity) {
      const { session, key } = record
      // Only what is established belongs to a session.
      if (session === undefined || key === undefined) return
      gathering.note(record, { session, key, at: Date.parse(record.time) / 1000, identity })
    },
    flush,
    async close() {
      clearInterval(timer)
      await flush()
    },
  }
}
