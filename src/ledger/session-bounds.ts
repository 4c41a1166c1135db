/** What a question to a session book, and a batch for it, may look like; the same in every store. */
import { checkId } from './bounds.ts'
import { checkPage } from './document-bounds.ts'
import type { SessionBook, SessionUpdate } from './session-book.ts'
import { checkedUpdate } from './session-form.ts'
import { type ActionRow, actionRows } from './session-merge.ts'

/** How long a session is kept after it was last seen, unless configured otherwise. */
export const KEEP_SECONDS = 30 * 86_400

/** @throws {TypeError} */
export function checkSessionId(id: string): void {
  checkId(id, 'session id')
}

/** An update and the rows that its actions are kept as. */
export interface Checked {
  readonly update: SessionUpdate
  readonly rows: readonly ActionRow[]
}

/**
 * The updates, checked and copied, before anything of them is kept.
 *
 * @throws {TypeError} a source, sequence or update of another form, or two updates of one session
 */
export function checkedBatch(
  source: string,
  sequence: number,
  updates: readonly SessionUpdate[],
  now: number,
): Checked[] {
  checkId(source, 'source')
  if (!Number.isSafeInteger(sequence) || sequence < 0) {
    throw new TypeError('sequence must be a whole number')
  }
  const batch = updates.map((given) => {
    const update = checkedUpdate(given, now)
    return { update, rows: actionRows(update, source, sequence) }
  })
  if (new Set(batch.map(({ update }) => update.id)).size < batch.length) {
    throw new TypeError('a batch must have at most one update of each session')
  }
  return batch
}

/** @throws {TypeError} */
export function checkSessionList(options: Parameters<SessionBook['list']>[0]): void {
  const { after, since, limit } = options
  if (after !== undefined) {
    checkId(after.id, 'after.id')
    if (!Number.isFinite(after.lastSeen)) throw new TypeError('after.lastSeen must be in seconds')
  }
  if (since !== undefined && !Number.isFinite(since)) {
    throw new TypeError('since must be in seconds')
  }
  checkPage(limit)
}
