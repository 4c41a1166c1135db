import { useLayoutEffect, useState } from 'preact/hooks'
import type { AuditEntry } from '../api/types.ts'
import { keepInAddress, place } from '../state/router.ts'
import { By } from '../ui/by.tsx'
import { CopyButton } from '../ui/copy.tsx'
import { SelectField, TextField } from '../ui/field.tsx'
import { Choice, MoreButton, SearchField } from '../ui/filters.tsx'
import { useLater } from '../ui/later.ts'
import { type Pages, usePages } from '../ui/load.ts'
import { More } from '../ui/more.tsx'
import { Empty, Loading, Outcome, ProblemNote } from '../ui/state.tsx'
import { shortServer } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'

const NAMES = [
  'text',
  'outcome',
  'workload',
  'reason',
  'door',
  'by',
  'session',
  'from',
  'to',
] as const
const MORE = ['workload', 'reason', 'door', 'by', 'from', 'to'] as const
type Search = Record<(typeof NAMES)[number], string>

const OUTCOMES = [
  ['', 'Every outcome'],
  ['issued', 'Issued'],
  ['refused', 'Refused'],
  ['allowed', 'Allowed'],
  ['event', 'Events'],
] as const

function fromAddress(): Search {
  const { query } = place.get()
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ''])) as Search
}

const secondsOf = (local: string) =>
  local === '' || Number.isNaN(Date.parse(local)) ? '' : String(Date.parse(local) / 1000)

export function AuditPage() {
  const [search, setSearch] = useState<Search>(fromAddress)
  const used = MORE.filter((name) => search[name] !== '').length
  const [open, setOpen] = useState(used > 0)
  const later = useLater(search)
  const query = { ...later, from: secondsOf(later.from), to: secondsOf(later.to) }
  const pages = usePages<AuditEntry>('/audit', query)
  useLayoutEffect(() => keepInAddress(search), [search])
  const set = (name: keyof Search) => (value: string) => setSearch({ ...search, [name]: value })
  return (
    <>
      <div class="page-head">
        <h1>Audit</h1>
        <p>
          What was asked, by whom, and what was answered: this broker’s own record, newest first.
        </p>
      </div>
      <search class="filters">
        <SearchField
          label="Search the audit"
          placeholder="Any text in a record …"
          value={search.text}
          onValue={set('text')}
        />
        <Choice
          label="Outcome"
          value={search.outcome}
          options={OUTCOMES}
          onValue={set('outcome')}
        />
        <MoreButton open={open} used={used} onOpen={setOpen} />
      </search>
      {open && <MoreSearch search={search} set={set} />}
      <Found pages={pages} />
    </>
  )
}

interface MoreProps {
  readonly search: Search
  readonly set: (name: keyof Search) => (value: string) => void
}

function MoreSearch({ search, set }: MoreProps) {
  return (
    <div class="card more-filters">
      <TextField label="Workload" value={search.workload} onValue={set('workload')} />
      <TextField label="Reason" value={search.reason} onValue={set('reason')} />
      <SelectField
        label="Door"
        value={search.door}
        onValue={set('door')}
        options={DOORS.map((door) => [door, door === '' ? 'Every door' : door])}
      />
      <TextField label="By (admin)" value={search.by} onValue={set('by')} />
      <TextField label="From" type="datetime-local" value={search.from} onValue={set('from')} />
      <TextField label="To" type="datetime-local" value={search.to} onValue={set('to')} />
    </div>
  )
}

const DOORS = [
  '',
  'token-exchange',
  'jwt-bearer',
  'client-credentials',
  'introspection',
  'verifier',
  'admin',
]

function Found({ pages: { items, more, problem, reload, loading } }: { pages: Pages<AuditEntry> }) {
  return (
    <>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {items === undefined ? (
        problem === undefined && <Loading what="the audit" />
      ) : (
        <section class="card" aria-label="Records" aria-busy={loading}>
          {items.length === 0 && (
            <Empty title="No record matches">Look wider, or further back.</Empty>
          )}
          <ol class="timeline audit">
            {items.map((entry, at) => (
              <Entry key={`${entry.time} ${entry.jti ?? ''} ${at}`} entry={entry} />
            ))}
          </ol>
          <More
            more={more}
            count={items.length}
            title={items.length === 0 ? 'Look further back' : 'Load more'}
          />
        </section>
      )}
    </>
  )
}

function Entry({ entry }: { entry: AuditEntry }) {
  const [open, setOpen] = useState(false)
  const { time, door, outcome, reason, workload, server, name, method, by } = entry
  const who = workload ?? entry.principal ?? by
  const text = JSON.stringify(entry, null, 2)
  return (
    <li>
      <span class="muted small">
        <Time at={Date.parse(time) / 1000} />
      </span>
      <span class="wrap">
        <b>
          {outcome === 'refused' || outcome === 'event'
            ? (reason ?? outcome)
            : (name ?? method ?? reason ?? door)}
        </b>
        <span class="muted">
          {who !== undefined && (
            <>
              {' · '}
              <By id={who} />
            </>
          )}
          {outcome === 'refused' && name !== undefined && ` · ${name}`}
          {server !== undefined && ` at ${shortServer(server)}`}
          {` · ${door}`}
        </span>
      </span>
      <span class="row">
        <Outcome outcome={outcome} />
        <button
          type="button"
          class="button quiet slim"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {open ? 'Less' : 'All'}
          <span class="hidden"> of the record of {time}</span>
        </button>
      </span>
      {open && (
        <div class="record">
          <pre>{text}</pre>
          <CopyButton text={text} what="the record" />
        </div>
      )}
    </li>
  )
}
