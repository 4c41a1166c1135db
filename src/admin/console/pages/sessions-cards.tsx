import { useRef } from 'preact/hooks'
import { stateAt } from '../state/matching.ts'
import { SessionState } from '../ui/state.tsx'
import { shortId } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'
import { useWindow } from '../ui/virtual.ts'
import { LastAction, type SessionsShown } from './sessions-table.tsx'

/** Of `.cards.sessions > li`. */
const CARD = 132

export function SessionCards(shown: SessionsShown) {
  const { sessions, selected, onSelect, now, mayChange } = shown
  const list = useRef<HTMLUListElement>(null)
  const { from, to } = useWindow(list, { count: sessions.length, rowHeight: CARD })
  return (
    <ul class="cards sessions" aria-label="Sessions" ref={list}>
      <li class="space" aria-hidden="true" style={{ height: `${from * CARD}px` }} />
      {sessions.slice(from, to).map((session) => {
        const { id, workload, principal, spent, refused, lastSeen } = session
        return (
          <li key={id}>
            {mayChange ? (
              <input
                type="checkbox"
                aria-label={`Select ${shortId(workload).name}`}
                checked={selected.has(id)}
                onChange={() => onSelect([id], !selected.has(id))}
              />
            ) : (
              <span />
            )}
            <a class="cut strong" href={`/sessions/${encodeURIComponent(id)}`}>
              {shortId(workload).name}
            </a>
            <SessionState state={stateAt(session, now)} />
            <span />
            <span class="of-card small">
              <span class="muted cut">
                {principal === workload ? 'for itself' : `for ${shortId(principal).name}`} ·{' '}
                <Time at={lastSeen} />
              </span>
              <LastAction action={session.lastAction} />
            </span>
            <span class="small muted number">
              {spent} spent
              <br />
              {refused} refused
            </span>
          </li>
        )
      })}
      <li
        class="space"
        aria-hidden="true"
        style={{ height: `${Math.max(0, sessions.length - to) * CARD}px` }}
      />
    </ul>
  )
}
