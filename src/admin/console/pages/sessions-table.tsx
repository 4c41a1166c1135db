import { useRef, useState } from 'preact/hooks'
import type { Session, SessionAction } from '../api/types.ts'
import { type Column, type Order, stateAt } from '../state/matching.ts'
import { SessionState } from '../ui/state.tsx'
import { shortId, shortServer } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'
import { useWindow } from '../ui/virtual.ts'
import { useGridKeys } from './sessions-keys.ts'

export interface SessionsShown {
  readonly sessions: readonly Session[]
  readonly now: number
  readonly order: Order
  readonly onOrder: (order: Order) => void
  readonly selected: ReadonlySet<string>
  readonly onSelect: (ids: readonly string[], on: boolean) => void
  readonly onOpen: (session: Session) => void
  readonly onStop: (session: Session) => void
  readonly mayChange: boolean
}

/** Of `tr.sessions-row`. */
export const ROW = 56

const COLUMNS: readonly (readonly [
  title: string,
  width: string,
  by?: Column | undefined,
  number?: true,
])[] = [
  ['', '44px'],
  ['Agent', '26%', 'workload'],
  ['State', '108px'],
  ['For', '18%'],
  ['Last action', '26%'],
  ['Issued', '76px', 'issued', true],
  ['Spent', '76px', 'spent', true],
  ['Refused', '84px', 'refused', true],
  ['Seen', '104px', 'lastSeen', true],
]

/**
 * A grid with one stop for the Tab key: the arrows move through it, and `aria-activedescendant` says
 * where one is, so that the focus is not lost when a row leaves the screen and is not drawn any more.
 */
export function SessionTable(shown: SessionsShown) {
  const { sessions, selected, onSelect, order, onOrder, mayChange } = shown
  const body = useRef<HTMLTableSectionElement>(null)
  const [active, setActive] = useState<string>()
  const { from, to } = useWindow(body, { count: sessions.length, rowHeight: ROW })
  const at = Math.max(0, active === undefined ? 0 : sessions.findIndex(({ id }) => id === active))
  const onKeyDown = useGridKeys(shown, { at, body, setActive })
  const all = sessions.length > 0 && sessions.every(({ id }) => selected.has(id))
  const now = sessions[at]
  return (
    <table
      // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a table that is moved through
      role="grid"
      aria-label="Sessions"
      aria-rowcount={sessions.length + 1}
      aria-multiselectable={mayChange}
      tabIndex={0}
      {...(now !== undefined && at >= from && at < to
        ? { 'aria-activedescendant': `s-${now.id}` }
        : {})}
      onKeyDown={onKeyDown}
      onFocus={(event) => {
        if (event.target === event.currentTarget)
          setActive((before) => before ?? sessions[from]?.id)
      }}
    >
      <colgroup>
        {COLUMNS.map(([title, width]) => (
          <col key={title} style={{ width }} />
        ))}
      </colgroup>
      <thead>
        <tr aria-rowindex={1}>
          {COLUMNS.map(([title, , by, number]) => (
            <th
              key={title}
              scope="col"
              class={number ? 'number' : ''}
              {...(by === order.by ? { 'aria-sort': order.down ? 'descending' : 'ascending' } : {})}
            >
              {title === '' ? (
                mayChange ? (
                  <input
                    type="checkbox"
                    aria-label="Select all that are shown"
                    checked={all}
                    onChange={() =>
                      onSelect(
                        sessions.map(({ id }) => id),
                        !all,
                      )
                    }
                  />
                ) : (
                  <span class="hidden">Selection</span>
                )
              ) : by === undefined ? (
                title
              ) : (
                <button
                  type="button"
                  onClick={() => onOrder({ by, down: order.by === by ? !order.down : true })}
                >
                  {title}
                  {by === order.by && <span aria-hidden="true">{order.down ? '↓' : '↑'}</span>}
                </button>
              )}
            </th>
          ))}
        </tr>
      </thead>
      <tbody ref={body}>
        <Space rows={from} />
        {sessions.slice(from, to).map((session, index) => (
          <SessionRow
            key={session.id}
            session={session}
            index={from + index}
            active={session.id === now?.id}
            shown={shown}
          />
        ))}
        <Space rows={sessions.length - to} />
      </tbody>
    </table>
  )
}

const Space = ({ rows }: { rows: number }) =>
  rows <= 0 ? null : (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it takes the focus
    <tr class="space" aria-hidden="true">
      <td colSpan={COLUMNS.length} style={{ height: `${rows * ROW}px` }} />
    </tr>
  )

interface RowProps {
  readonly session: Session
  readonly index: number
  readonly active: boolean
  readonly shown: SessionsShown
}

function SessionRow({ session, index, active, shown }: RowProps) {
  const { selected, onSelect, onOpen, now, mayChange } = shown
  const { id, workload, principal, issued, spent, refused, lastSeen, task } = session
  const agent = shortId(workload)
  const whom = shortId(principal)
  return (
    <tr
      id={`s-${id}`}
      class={`sessions-row open${active ? ' active' : ''}`}
      aria-rowindex={index + 2}
      {...(mayChange ? { 'aria-selected': selected.has(id) } : {})}
      onClick={(event) => {
        if ((event.target as Element).closest('a, input') === null) onOpen(session)
      }}
    >
      <td>
        {mayChange && (
          <input
            type="checkbox"
            tabIndex={-1}
            aria-label={`Select ${agent.name}`}
            checked={selected.has(id)}
            onChange={() => onSelect([id], !selected.has(id))}
          />
        )}
      </td>
      <td>
        <span class="two" title={workload}>
          <a class="strong" href={`/sessions/${encodeURIComponent(id)}`} tabIndex={-1}>
            {agent.name}
          </a>
          <span>{task === undefined ? agent.of : `${agent.of} · ${task}`}</span>
        </span>
      </td>
      <td>
        <SessionState state={stateAt(session, now)} />
      </td>
      <td>
        <span class="two" title={principal}>
          {principal === workload ? (
            <span class="muted">itself</span>
          ) : (
            <>
              <span>{whom.name}</span>
              <span>{whom.of}</span>
            </>
          )}
        </span>
      </td>
      <td>
        <LastAction action={session.lastAction} />
      </td>
      <td class="number">{issued.toLocaleString('en')}</td>
      <td class="number">{spent.toLocaleString('en')}</td>
      <td class="number">
        {refused === 0 ? (
          <span class="muted">0</span>
        ) : (
          <b class="bad-text">{refused.toLocaleString('en')}</b>
        )}
      </td>
      <td class="number muted">
        <Time at={lastSeen} />
      </td>
    </tr>
  )
}

export function LastAction({ action }: { action: SessionAction | undefined }) {
  if (action === undefined) return <span class="muted">–</span>
  const what =
    action.name ?? action.method ?? (action.outcome === 'refused' ? 'a request' : 'a session token')
  const refused = action.outcome === 'refused'
  return (
    <span class="two" title={`${action.outcome}: ${what}`}>
      <span>
        <span class={refused ? 'bad-text' : ''}>{refused ? '✕ ' : ''}</span>
        {what}
      </span>
      <span>
        {action.outcome}
        {action.reason === undefined ? '' : `: ${action.reason}`}
        {action.server === undefined ? '' : ` · ${shortServer(action.server)}`}
      </span>
    </span>
  )
}
