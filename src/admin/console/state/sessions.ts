/**
 * The sessions this page knows, kept up to date: loaded page by page, then by events. Up to
 * MOST of them are filtered here, at once, at every key; when the broker has more, the filter goes
 * to the broker as well.
 */
import { ApiProblem, ask, type Query } from '../api/client.ts'
import { onEvent, onOpened } from '../api/events.ts'
import type { Page, Session } from '../api/types.ts'
import { createStore } from './store.ts'

export const MOST = 10_000
const PAGE = 200
/** A page of a search may be short, or empty: this ends what finds too little. */
const MOST_PAGES = 200
/** Changes are shown together, so that a busy broker does not make the table flicker. */
const SHOW_EVERY_MS = 500
const AGAIN_AFTER_MS = 400

export interface Known {
  readonly sessions: readonly Session[]
  readonly loading: boolean
  /** The broker has more than are loaded. */
  readonly more: boolean
  readonly problem: ApiProblem | undefined
}

const NONE: Known = { sessions: [], loading: true, more: false, problem: undefined }

export const known = createStore<Known>(NONE)

const byId = new Map<string, Session>()
/** Undefined until a page wants sessions: none are loaded for the others. */
let asked: Query | undefined
let more = false
let loading: AbortController | undefined
let again: ReturnType<typeof setTimeout> | undefined
const revocationStates = new Map<string, string>()
/** Told of by events since the last load began: a load may have passed them by. */
const told = new Set<string>()
let shown: ReturnType<typeof setTimeout> | undefined

/** Loads what fits the query, newest first; what is on the screen stays until it is there. */
export async function loadSessions(query: Query, background = false): Promise<void> {
  loading?.abort()
  const mine = new AbortController()
  loading = mine
  const same = JSON.stringify(query) === JSON.stringify(asked)
  asked = query
  known.set({ ...known.get(), loading: true, problem: undefined })
  const fresh = new Set<string>()
  told.clear()
  try {
    let cursor: string | null = ''
    let pages = 0
    do {
      const page: Page<Session> = await ask('/sessions', {
        query: { ...query, limit: PAGE, cursor: cursor ?? '' },
        signal: mine.signal,
        background: background || pages > 0,
      })
      if (pages === 0 && !same) byId.clear()
      pages += 1
      for (const session of page.items) {
        fresh.add(session.id)
        const newer = told.has(session.id) ? byId.get(session.id) : undefined
        if (newer === undefined || !isBehind(session, newer)) byId.set(session.id, session)
      }
      cursor = page.next
      // The first page at once; of the rest, what has come since the last look.
      if (pages === 1) show()
      else shown ??= setTimeout(show, SHOW_EVERY_MS)
    } while (cursor !== null && fresh.size < MOST && pages < MOST_PAGES)
    more = cursor !== null
    // What the broker no longer keeps is gone here too.
    for (const id of byId.keys()) if (!fresh.has(id) && !told.has(id)) byId.delete(id)
    show()
    known.set({ ...known.get(), loading: false })
  } catch (error) {
    if (mine.signal.aborted) return
    const problem = error instanceof ApiProblem ? error : new ApiProblem({ status: 0 })
    known.set({ ...known.get(), loading: false, problem })
  }
}

/** An answer may be older than what an event has told meanwhile. */
function isBehind(answered: Session, told: Session): boolean {
  const tokens = (of: Session) => of.issued + of.spent + of.refused
  return answered.lastSeen < told.lastSeen || tokens(answered) < tokens(told)
}

function show(): void {
  clearTimeout(shown)
  shown = undefined
  known.set({ ...known.get(), sessions: [...byId.values()], more })
}

function loadAgain(): void {
  if (asked !== undefined) void loadSessions(asked, true)
}

/** Keeps the list true until it is ended. */
export function followSessions(): () => void {
  const ends = [
    onEvent('session', (session) => {
      told.add(session.id)
      byId.set(session.id, { ...byId.get(session.id), ...session })
      shown ??= setTimeout(show, SHOW_EVERY_MS)
    }),
    onOpened(loadAgain),
    onEvent('revocation', ({ id, state }) => {
      // Whom it hits is the broker's to say. Acknowledgements change nothing about that.
      if (revocationStates.get(id) === state) return
      revocationStates.set(id, state)
      clearTimeout(again)
      again = setTimeout(loadAgain, AGAIN_AFTER_MS)
    }),
  ]
  return () => {
    for (const end of ends) end()
  }
}
