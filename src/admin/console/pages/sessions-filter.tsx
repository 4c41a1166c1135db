import { useMemo, useState } from 'preact/hooks'
import type { Session } from '../api/types.ts'
import { type Filter, NO_FILTER } from '../state/matching.ts'
import { Command } from '../ui/copy.tsx'
import { TextField } from '../ui/field.tsx'
import { Icon } from '../ui/icon.tsx'
import { byText, quoted } from '../ui/text.ts'

export function filterFrom(query: URLSearchParams): Filter {
  const found = Object.entries(NO_FILTER).map(([name, standard]) => [
    name,
    query.get(name) ?? standard,
  ])
  return Object.fromEntries(found) as Filter
}

const WITHIN = [
  ['3600', 'Last hour'],
  ['86400', 'Last day'],
  ['604800', 'Last 7 days'],
  ['', 'All that is kept'],
] as const

const MOST_SUGGESTED = 200

interface FiltersProps {
  readonly filter: Filter
  readonly onFilter: (filter: Filter) => void
  readonly counts: Readonly<Record<Session['state'], number>>
  readonly sessions: readonly Session[]
}

export function Filters({ filter, onFilter, counts, sessions }: FiltersProps) {
  const used = (['workload', 'principal', 'server', 'task'] as const).filter(
    (name) => filter[name] !== '',
  ).length
  const [open, setOpen] = useState(used > 0)
  const all = counts.live + counts.idle + counts.stopped
  const states = [
    ['', 'All', all],
    ['live', 'Live', counts.live],
    ['idle', 'Idle', counts.idle],
    ['stopped', 'Stopped', counts.stopped],
  ] as const
  return (
    <>
      <search class="filters">
        <SearchField
          label="Filter sessions"
          placeholder="Agent, principal, server, tool, address …"
          value={filter.text}
          onValue={(text) => onFilter({ ...filter, text })}
        />
        <fieldset class="segments" aria-label="State">
          {states.map(([state, text, count]) => (
            <button
              key={state}
              type="button"
              aria-pressed={filter.state === state}
              onClick={() => onFilter({ ...filter, state })}
            >
              {text} <span class="count">{count.toLocaleString('en')}</span>
            </button>
          ))}
        </fieldset>
        <select
          aria-label="Seen"
          value={filter.within}
          onChange={(event) => onFilter({ ...filter, within: event.currentTarget.value })}
        >
          {WITHIN.map(([value, text]) => (
            <option key={value} value={value} selected={filter.within === value}>
              {text}
            </option>
          ))}
        </select>
        <button
          type="button"
          class="button"
          aria-expanded={open}
          onClick={() => setOpen((before) => !before)}
        >
          <Icon name="filter" size={16} />
          More{used > 0 ? ` (${used})` : ''}
        </button>
      </search>
      {open && <MoreFilters filter={filter} onFilter={onFilter} sessions={sessions} />}
    </>
  )
}

function MoreFilters({ filter, onFilter, sessions }: Omit<FiltersProps, 'counts'>) {
  const known = useMemo(() => {
    const of = (names: readonly string[]) =>
      [...new Set(names)].sort(byText).slice(0, MOST_SUGGESTED)
    return {
      workload: of(sessions.map(({ workload }) => workload)),
      principal: of(sessions.map(({ principal }) => principal)),
      server: of(sessions.flatMap(({ servers }) => servers)),
      task: of(sessions.flatMap(({ task }) => task ?? [])),
    }
  }, [sessions])
  const fields = [
    ['workload', 'Workload'],
    ['principal', 'Principal'],
    ['server', 'MCP server'],
    ['task', 'Task'],
  ] as const
  return (
    <div class="card more-filters">
      {fields.map(([name, label]) => (
        <TextField
          key={name}
          label={label}
          value={filter[name]}
          list={known[name]}
          onValue={(value) => onFilter({ ...filter, [name]: value })}
        />
      ))}
      <div class="whole">
        <Command text={listCommand(filter, known)} />
      </div>
    </div>
  )
}

const SEEN: Readonly<Record<string, string>> = { '3600': '1h', '86400': '1d', '604800': '7d' }

/** The command takes whole names, so what is only a part of one is looked for in any text. */
function listCommand(filter: Filter, known: Readonly<Record<string, readonly string[]>>): string {
  const words = ['writ sessions list']
  const parts = [filter.text]
  if (filter.state !== '') words.push(`--state ${filter.state}`)
  for (const name of ['workload', 'principal', 'server', 'task'] as const) {
    if (filter[name] === '') continue
    if (known[name]?.includes(filter[name])) words.push(`--${name} ${quoted(filter[name])}`)
    else parts.push(filter[name])
  }
  const longest = parts.sort((a, b) => b.length - a.length)[0]
  if (longest !== undefined && longest !== '') words.push(`--text ${quoted(longest)}`)
  const seen = SEEN[filter.within]
  if (seen !== undefined) words.push(`--seen ${seen}`)
  return words.join(' ')
}

interface SearchProps {
  readonly label: string
  readonly placeholder: string
  readonly value: string
  readonly onValue: (value: string) => void
}

/** The field that `/` goes to. Escape empties it. */
export function SearchField({ label, placeholder, value, onValue }: SearchProps) {
  return (
    <div class="search">
      <Icon name="search" size={16} />
      <input
        data-filter=""
        type="text"
        aria-label={label}
        placeholder={placeholder}
        autoComplete="off"
        spellcheck={false}
        value={value}
        onInput={(event) => onValue(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return
          if (value === '') event.currentTarget.blur()
          onValue('')
        }}
      />
      <kbd>/</kbd>
    </div>
  )
}
