import { useMemo, useState } from 'preact/hooks'
import type { Session } from '../api/types.ts'
import { type Filter, NO_FILTER } from '../state/matching.ts'
import { Command } from '../ui/copy.tsx'
import { TextField } from '../ui/field.tsx'
import { Choice, MoreButton, SearchField, Segments } from '../ui/filters.tsx'
import { byText, quoted } from '../ui/text.ts'

export function filterFrom(query: URLSearchParams): Filter {
  const found = Object.entries(NO_FILTER).map(([name, standard]) => [
    name,
    query.get(name) || standard,
  ])
  return Object.fromEntries(found) as Filter
}

const WITHIN = [
  ['3600', 'Last hour'],
  ['86400', 'Last day'],
  ['604800', 'Last 7 days'],
  ['all', 'All that is kept'],
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
  return (
    <>
      <search class="filters">
        <SearchField
          label="Filter sessions"
          placeholder="Agent, principal, server, tool, address …"
          value={filter.text}
          onValue={(text) => onFilter({ ...filter, text })}
        />
        <Segments
          label="State"
          value={filter.state}
          options={[
            ['', 'All', counts.live + counts.idle + counts.stopped],
            ['live', 'Live', counts.live],
            ['idle', 'Idle', counts.idle],
            ['stopped', 'Stopped', counts.stopped],
          ]}
          onValue={(state) => onFilter({ ...filter, state })}
        />
        <Choice
          label="Seen"
          value={filter.within}
          options={WITHIN}
          onValue={(within) => onFilter({ ...filter, within })}
        />
        <MoreButton open={open} used={used} onOpen={setOpen} />
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
