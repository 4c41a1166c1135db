/** Searching the book of sessions: page by page of the book, up to a bound. */
import type { Session as Kept } from '../ledger/session-book.ts'
import { cursorOf, parseCursor } from './cursor.ts'
import type { Call } from './route.ts'
import type { Session, SessionFilter } from './schemas/sessions.ts'
import { sessionPages } from './session-pages.ts'
import { Stops, sessionOf } from './session-view.ts'

const LIST = 'sessions'
/** Sessions looked at for one page of an answer. */
const MOST_LOOKED_AT = 10_000

export interface Found {
  readonly items: readonly Session[]
  readonly next: string | null
  readonly bounded: boolean
}

export async function searchSessions({ parts, query, now }: Call<SessionFilter>): Promise<Found> {
  let after = parseCursor(LIST, query.cursor)
  const stops = new Stops(parts.revocations.list(), now)
  const matches = matcher(query)
  const items: Session[] = []
  const nextOf = () => (after === undefined ? null : cursorOf(LIST, after))
  const looking = { after, since: query.since, most: MOST_LOOKED_AT }
  for await (const { sessions, isLast } of sessionPages(parts.sessions, looking)) {
    for (const [at, kept] of sessions.entries()) {
      after = { order: kept.lastSeen, id: kept.id }
      // What the book knows by itself first: it is cheaper than asking what stops a session.
      if (!matches(kept)) continue
      const session = sessionOf(kept, stops, now)
      if (query.state !== undefined && session.state !== query.state) continue
      items.push(session)
      if (items.length < query.limit) continue
      const isEnd = isLast && at === sessions.length - 1
      return { items, next: isEnd ? null : nextOf(), bounded: false }
    }
    if (isLast) return { items, next: null, bounded: false }
  }
  return { items, next: nextOf(), bounded: true }
}

function matcher(filter: SessionFilter): (session: Kept) => boolean {
  const { workload, beneath, principal, server, task, address, text } = filter
  const sought = text?.toLowerCase()
  return (session) =>
    (workload === undefined || session.workload === workload) &&
    (beneath === undefined || isBeneath(session.workload, beneath)) &&
    (principal === undefined || session.principal === principal) &&
    (server === undefined || session.servers.includes(server)) &&
    (task === undefined || session.task === task) &&
    (address === undefined || session.address === address) &&
    (sought === undefined || shows(session, sought))
}

/** Whole segments of a path only: beneath `…/b` is `…/b/c` and not `…/b-c`. */
function isBeneath(workload: string, path: string): boolean {
  return workload === path || workload.startsWith(`${path}/`)
}

/** Whether what a list shows of it contains the text, given in lower case. */
function shows(session: Kept, sought: string): boolean {
  const { lastAction, identity } = session
  return [
    session.id,
    session.workload,
    session.principal,
    ...session.actors,
    session.key,
    session.address,
    session.task,
    ...session.servers,
    lastAction?.method,
    lastAction?.name,
    lastAction?.reason,
    identity?.issuer,
  ].some((shown) => shown?.toLowerCase().includes(sought))
}
