/** Looking through the book of sessions, page by page, in a way that lets everything else go on. */
import { setImmediate } from 'node:timers/promises'
import type { Session, SessionBook } from '../ledger/session-book.ts'
import type { Place } from './cursor.ts'

/** Reading and looking at so many takes some 10 ms. */
const BOOK_PAGE = 500

export interface Looking {
  /** Where to begin: the last one that was looked at before. */
  readonly after?: Place | undefined
  /** Only those seen at this time or later, seconds. */
  readonly since?: number | undefined
  /** How many are looked at; whole pages. */
  readonly most: number
}

export interface SessionPage {
  readonly sessions: readonly Session[]
  /** There are no others behind these. */
  readonly isLast: boolean
}

/** What all searches of this process wait for. */
let turn: Promise<unknown> = Promise.resolve()

/**
 * The pages, newest first, until the last one or the bound.
 *
 * A store may answer at once, so a search could hold up the whole process, heartbeats included, and
 * many searches together the longer. Of all searches one page is read at a time, and what else there is
 * to do goes before the next.
 */
export async function* sessionPages(
  book: Pick<SessionBook, 'list'>,
  { after, since, most }: Looking,
): AsyncGenerator<SessionPage> {
  let behind = after && { lastSeen: after.order, id: after.id }
  for (let looked = 0; looked < most; looked += BOOK_PAGE) {
    const sessions = await inTurn(() =>
      book.list({
        limit: BOOK_PAGE,
        ...(behind === undefined ? {} : { after: behind }),
        ...(since === undefined ? {} : { since }),
      }),
    )
    const last = sessions.at(-1)
    const isLast = last === undefined || sessions.length < BOOK_PAGE
    yield { sessions, isLast }
    if (isLast) return
    behind = { lastSeen: last.lastSeen, id: last.id }
  }
}

function inTurn<T>(read: () => Promise<T>): Promise<T> {
  const mine = turn.then(read)
  turn = mine.then(
    () => setImmediate(),
    () => setImmediate(),
  )
  return mine
}
