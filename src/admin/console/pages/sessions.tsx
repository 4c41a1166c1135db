import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Session } from '../api/types.ts'
import { useMayChange } from '../shell.tsx'
import { type Filter, matching, NO_FILTER, type Order, sorted, stateAt } from '../state/matching.ts'
import { go, keepInAddress, place } from '../state/router.ts'
import { known, loadSessions, MOST } from '../state/sessions.ts'
import { useStore } from '../state/store.ts'
import { StopDialog } from '../stop/stop-dialog.tsx'
import { Icon } from '../ui/icon.tsx'
import { useNarrow } from '../ui/media.ts'
import { Empty, Loading, ProblemNote } from '../ui/state.tsx'
import { counted } from '../ui/text.ts'
import { clock } from '../ui/time.tsx'
import { SessionCards } from './sessions-cards.tsx'
import { Filters, filterFrom } from './sessions-filter.tsx'
import { SessionTable } from './sessions-table.tsx'

const ASK_AFTER_MS = 300

export function SessionsPage() {
  const { sessions, loading, more, problem } = useStore(known)
  const now = useStore(clock)
  const narrow = useNarrow()
  const mayChange = useMayChange()
  const [filter, setFilter] = useState<Filter>(() => filterFrom(place.get().query))
  const [order, setOrder] = useState<Order>({ by: 'lastSeen', down: true })
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const [stopping, setStopping] = useState<readonly Session[]>()
  const query = useServerQuery(filter, more)
  // The text of the query stands for it.
  useEffect(() => void loadSessions(query), [JSON.stringify(query)])
  useLayoutEffect(
    () =>
      keepInAddress({
        ...filter,
        within: filter.within === NO_FILTER.within ? '' : filter.within,
      }),
    [filter],
  )

  const reading = useReading(selected.size > 0 || stopping !== undefined)
  const inAnyState = useMemo(
    () => matching(sessions, { ...filter, state: '' }, now),
    [sessions, filter, now],
  )
  const { state } = filter
  const found = useMemo(
    () =>
      state === '' ? inAnyState : inAnyState.filter((session) => stateAt(session, now) === state),
    [inAnyState, state, now],
  )
  const ordered = useStill(
    useMemo(() => sorted(found, order), [found, order]),
    reading.now,
    [filter, order],
  )
  const counts = useMemo(() => {
    const states = { live: 0, idle: 0, stopped: 0 }
    for (const session of inAnyState) states[stateAt(session, now)] += 1
    return states
  }, [inAnyState, now])
  const chosen = useMemo(() => sessions.filter(({ id }) => selected.has(id)), [sessions, selected])
  const toggle = (ids: readonly string[], on: boolean) =>
    setSelected((before) => {
      const next = new Set(before)
      for (const id of ids) on ? next.add(id) : next.delete(id)
      return next
    })
  const shown = {
    sessions: ordered,
    now,
    order,
    onOrder: setOrder,
    selected,
    onSelect: toggle,
    onOpen: (session: Session) => go(`/sessions/${encodeURIComponent(session.id)}`),
    onStop: (session: Session) => mayChange && setStopping(chosen.length > 0 ? chosen : [session]),
    mayChange,
  }
  return (
    <>
      <div class="page-head">
        <h1>Sessions</h1>
        <span class="muted" role="status">
          {loading && sessions.length === 0
            ? ''
            : `${counted(ordered.length, 'session')}${ordered.length === sessions.length ? '' : ` of ${sessions.length.toLocaleString('en')}`}`}
        </span>
        {mayChange && (
          <button type="button" class="button push" onClick={() => setStopping([])}>
            <span>
              Stop<span class="wide-only"> something</span> …
            </span>
          </button>
        )}
      </div>
      <Filters filter={filter} onFilter={setFilter} counts={counts} sessions={sessions} />
      {problem !== undefined && (
        <ProblemNote problem={problem} retry={() => void loadSessions(query)} />
      )}
      <div class="card table-card" ref={reading.ref}>
        {sessions.length === 0 && loading ? (
          <Loading what="sessions" />
        ) : ordered.length === 0 ? (
          problem === undefined && <NoSessions any={sessions.length > 0} />
        ) : narrow ? (
          <SessionCards {...shown} />
        ) : (
          <SessionTable {...shown} />
        )}
        {more && !loading && (
          <div class="note">
            The newest {MOST.toLocaleString('en')} are shown; the broker has more. Narrow the filter
            to reach them.
          </div>
        )}
      </div>
      {chosen.length > 0 && (
        <section class="selection" aria-label="Selection">
          <span>{counted(chosen.length, 'session')} selected</span>
          <button
            type="button"
            class="button quiet slim clear"
            onClick={() => setSelected(new Set())}
          >
            Clear
          </button>
          <button type="button" class="button stop push" onClick={() => setStopping(chosen)}>
            <Icon name="revocations" size={16} />
            Stop …
          </button>
        </section>
      )}
      {stopping !== undefined && (
        <StopDialog
          sessions={stopping}
          onClose={(stopped) => {
            setStopping(undefined)
            if (stopped) setSelected(new Set())
          }}
        />
      )}
    </>
  )
}

function NoSessions({ any }: { any: boolean }) {
  return any ? (
    <Empty title="No session matches">Clear a part of the filter, or look further back.</Empty>
  ) : (
    <Empty title="No session yet">
      A session appears here as soon as an agent asks for its first token.
    </Empty>
  )
}

/** While all fits, the broker is asked for a time alone, and the rest is filtered here. */
function useServerQuery(filter: Filter, more: boolean): Record<string, string> {
  const since = useMemo(() => {
    const within = Number(filter.within)
    // In steps, so that the same choice a moment later is the same query.
    return within > 0 ? String(Math.floor(Date.now() / 1000 / 60) * 60 - within) : ''
  }, [filter.within])
  const [wide, setWide] = useState<Record<string, string>>({})
  useEffect(() => {
    const timer = setTimeout(() => {
      const longest = filter.text.split(/\s+/).sort((a, b) => b.length - a.length)[0] ?? ''
      const next: Record<string, string> = more ? { text: longest, state: filter.state } : {}
      // Once the broker was asked for a part, only another part is a reason to ask again.
      setWide((before) => (!more && stillWithin(before, longest, filter.state) ? before : next))
    }, ASK_AFTER_MS)
    return () => clearTimeout(timer)
  }, [filter.text, filter.state, more])
  return { since, ...wide }
}

/** Whether what the broker was asked for holds all that matches now. */
function stillWithin(asked: Record<string, string>, text: string, state: string): boolean {
  const { text: had, state: was } = asked
  if (had === undefined) return false
  return text.includes(had) && (was === '' || was === state)
}

/** Whether somebody is in the middle of the list, with the pointer, the keyboard or a selection. */
function useReading(busy: boolean) {
  const ref = useRef<HTMLDivElement>(null)
  const inside = useRef(false)
  useEffect(() => {
    const at = ref.current
    if (at === null) return
    const enter = () => {
      inside.current = true
    }
    const leave = () => {
      inside.current = at.contains(document.activeElement)
    }
    at.addEventListener('pointerenter', enter)
    at.addEventListener('focusin', enter)
    at.addEventListener('pointerleave', leave)
    at.addEventListener('focusout', leave)
    return () => {
      at.removeEventListener('pointerenter', enter)
      at.removeEventListener('focusin', enter)
      at.removeEventListener('pointerleave', leave)
      at.removeEventListener('focusout', leave)
    }
  }, [])
  return { ref, now: () => busy || inside.current || window.scrollY > 200 }
}

/**
 * Keeps rows where they are while somebody reads: what they hold changes, their places do not, and
 * what is new goes to the end. A row that jumps away from under the pointer gets the wrong one stopped.
 */
function useStill(
  sessions: readonly Session[],
  reading: () => boolean,
  asked: readonly unknown[],
): readonly Session[] {
  const last = useRef<{ asked: readonly unknown[]; ids: readonly string[] }>({ asked, ids: [] })
  const same = last.current.asked.every((each, at) => each === asked[at])
  let result = sessions
  if (same && last.current.ids.length > 0 && reading()) {
    const left = new Map(sessions.map((session) => [session.id, session]))
    const kept: Session[] = []
    for (const id of last.current.ids) {
      const session = left.get(id)
      if (session === undefined) continue
      kept.push(session)
      left.delete(id)
    }
    result = [...kept, ...left.values()]
  }
  last.current = { asked, ids: result.map(({ id }) => id) }
  return result
}
