import { useEffect, useState } from 'preact/hooks'
import { onEvent, onOpened } from '../api/events.ts'
import type { HolderOfRevocation, RevocationDetail } from '../api/types.ts'
import { useMayChange } from '../shell.tsx'
import { Holding } from '../stop/stopped.tsx'
import { targetText } from '../stop/target-text.ts'
import { UndoDialog } from '../stop/undo-dialog.tsx'
import { By } from '../ui/by.tsx'
import { Command } from '../ui/copy.tsx'
import { Icon } from '../ui/icon.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, ProblemNote, RevocationState } from '../ui/state.tsx'
import { shortServer } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'
import { kindText } from './revocations.tsx'

const ASK_EVERY_MS = 2_000

export function RevocationPage({ id }: { id: string }) {
  const path = `/revocations/${encodeURIComponent(id)}`
  const { value, problem, reload } = useLoad<RevocationDetail>(path)
  const mayChange = useMayChange()
  const [undoing, setUndoing] = useState(false)
  const waiting = value?.state === 'live' && value.holders.holding < value.holders.all
  useEffect(() => {
    const ends = [
      onEvent('revocation', (changed) => changed.id === id && reload()),
      onOpened(reload),
    ]
    return () => {
      for (const end of ends) end()
    }
  }, [id, reload])
  useEffect(() => {
    if (!waiting) return
    const timer = setInterval(reload, ASK_EVERY_MS)
    return () => clearInterval(timer)
  }, [waiting, reload])
  return (
    <>
      <div class="page-head">
        <a class="back" href="/revocations">
          <Icon name="back" size={16} />
          Revocations
        </a>
        <h1>{value === undefined ? 'Revocation' : targetText(value.target)}</h1>
        {value !== undefined && <RevocationState state={value.state} />}
        {value?.canUndo && mayChange && (
          <button type="button" class="button push" onClick={() => setUndoing(true)}>
            Undo …
          </button>
        )}
      </div>
      {value === undefined ? (
        problem === undefined ? (
          <Loading what="the revocation" />
        ) : problem.status === 404 ? (
          <Empty title="There is no such revocation" />
        ) : (
          <ProblemNote problem={problem} retry={reload} />
        )
      ) : (
        <div class="stack">
          {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
          <div class="columns">
            <Holders revocation={value} />
            <Facts revocation={value} />
          </div>
        </div>
      )}
      {undoing && value !== undefined && (
        <UndoDialog
          revocation={value}
          onClose={() => {
            setUndoing(false)
            reload()
          }}
        />
      )}
    </>
  )
}

function Facts({ revocation }: { revocation: RevocationDetail }) {
  const { target, reason, by, byName, at, until, undone, id, command } = revocation
  return (
    <section class="card">
      <h2>Who and why</h2>
      <dl class="facts">
        <dt>What</dt>
        <dd>{kindText(target)}</dd>
        <dt>Reason</dt>
        <dd>{reason}</dd>
        <dt>By</dt>
        <dd>
          <By id={by} name={byName} />
        </dd>
        <dt>Made</dt>
        <dd>
          <Time at={at} />
        </dd>
        <dt>Ends</dt>
        <dd>{until === undefined ? 'never' : <Time at={until} />}</dd>
        {undone !== undefined && (
          <>
            <dt>Undone</dt>
            <dd>
              <Time at={undone.at} /> by <By id={undone.by} name={undone.byName} />: {undone.reason}
            </dd>
          </>
        )}
        <dt>Id</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </dl>
      <div class="pad">
        <Command text={command} />
      </div>
    </section>
  )
}

function Holders({ revocation: { holders, state } }: { revocation: RevocationDetail }) {
  return (
    <section class="card">
      <h2>Who has heard it</h2>
      {state === 'live' && (
        <div class="pad">
          <Holding {...holders} />
        </div>
      )}
      {holders.items.length === 0 ? (
        <Empty title="No holder is heard from" />
      ) : (
        <ul class="timeline holders">
          {holders.items.map((holder) => (
            <HolderRow key={holder.id} holder={holder} />
          ))}
        </ul>
      )}
    </section>
  )
}

function HolderRow({ holder }: { holder: HolderOfRevocation }) {
  const { id, kind, server, lastHeardAt, fresh, holds } = holder
  return (
    <li>
      <span class="muted">{kind}</span>
      <span class="wrap">
        {server === undefined ? id : shortServer(server)}
        <span class="muted small" title={id}>
          {' '}
          heard <Time at={lastHeardAt} />
          {fresh ? '' : ', not fresh: it refuses everything'}
        </span>
      </span>
      <span class={`chip dot ${holds ? 'good' : 'warn'}`}>{holds ? 'has it' : 'not yet'}</span>
    </li>
  )
}
