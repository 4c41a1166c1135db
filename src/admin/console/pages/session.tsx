import { useEffect, useState } from 'preact/hooks'
import { onEvent, onOpened } from '../api/events.ts'
import type { Session, SessionAction, SessionDetail } from '../api/types.ts'
import { useMayChange } from '../shell.tsx'
import { stateAt } from '../state/matching.ts'
import { useStore } from '../state/store.ts'
import { StopDialog } from '../stop/stop-dialog.tsx'
import { Command, CopyButton } from '../ui/copy.tsx'
import { Icon } from '../ui/icon.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, Notice, Outcome, ProblemNote, SessionState } from '../ui/state.tsx'
import { quoted, shortId, shortServer } from '../ui/text.ts'
import { clock, Time } from '../ui/time.tsx'

const AGAIN_AFTER_MS = 300

export function SessionPage({ id }: { id: string }) {
  const path = `/sessions/${encodeURIComponent(id)}`
  const { value: session, problem, reload } = useLoad<SessionDetail>(path)
  const now = useStore(clock)
  const mayChange = useMayChange()
  const [stopping, setStopping] = useState(false)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const soon = () => {
      clearTimeout(timer)
      timer = setTimeout(reload, AGAIN_AFTER_MS)
    }
    const ends = [
      onEvent('session', (changed) => changed.id === id && soon()),
      onEvent('revocation', soon),
      onOpened(soon),
    ]
    return () => {
      clearTimeout(timer)
      for (const end of ends) end()
    }
  }, [id, reload])
  const back = (
    <a class="back" href="/sessions">
      <Icon name="back" size={16} />
      Sessions
    </a>
  )
  if (session === undefined) {
    return (
      <>
        <div class="page-head">
          {back}
          <h1>Session</h1>
        </div>
        {problem === undefined ? (
          <Loading what="the session" />
        ) : problem.status === 404 ? (
          <Empty title="There is no such session">It may be too old to be kept.</Empty>
        ) : (
          <ProblemNote problem={problem} retry={reload} />
        )}
      </>
    )
  }
  const state = stateAt(session, now)
  return (
    <>
      <div class="page-head">
        {back}
        <h1>{shortId(session.workload).name}</h1>
        <SessionState state={state} />
        {mayChange && (
          <button type="button" class="button stop push" onClick={() => setStopping(true)}>
            <Icon name="revocations" size={16} />
            Stop …
          </button>
        )}
      </div>
      <div class="stack">
        {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
        {session.stoppedBy.length > 0 && (
          <Notice kind="bad" title="Stopped">
            {session.stoppedBy.map((each) => (
              <div key={each}>
                <a href={`/revocations/${encodeURIComponent(each)}`}>See who stopped it, and why</a>
              </div>
            ))}
          </Notice>
        )}
        <Counts session={session} />
        <div class="columns">
          <Actions actions={session.actions} />
          <Identity session={session} />
        </div>
      </div>
      {stopping && (
        <StopDialog
          sessions={[session]}
          onClose={() => {
            setStopping(false)
            reload()
          }}
        />
      )}
    </>
  )
}

function Counts({ session }: { session: Session }) {
  const { issued, spent, refused, tokensUntil } = session
  return (
    <dl class="card numbers">
      <div>
        <dt>Tokens issued</dt>
        <dd>{issued.toLocaleString('en')}</dd>
      </div>
      <div>
        <dt>Spent</dt>
        <dd>{spent.toLocaleString('en')}</dd>
      </div>
      <div>
        <dt>Refused</dt>
        <dd class={refused > 0 ? 'bad' : ''}>{refused.toLocaleString('en')}</dd>
      </div>
      <div>
        <dt>Last token ends</dt>
        <dd>{tokensUntil === 0 ? '–' : <Time at={tokensUntil} />}</dd>
      </div>
    </dl>
  )
}

function Actions({ actions }: { actions: readonly SessionAction[] }) {
  return (
    <section class="card">
      <h2>Last actions</h2>
      {actions.length === 0 ? (
        <Empty title="None is kept" />
      ) : (
        <ol class="timeline">
          {actions.map((action, at) => (
            <li key={`${action.at} ${action.jti ?? ''} ${action.outcome} ${at}`}>
              <span class="muted small">
                <Time at={action.at} />
              </span>
              <span class="wrap">
                <b>{action.name ?? action.method ?? 'session token'}</b>
                {action.server !== undefined && (
                  <span class="muted" title={action.server}>
                    {' '}
                    at {shortServer(action.server)}
                  </span>
                )}
                <span class="muted small">
                  {action.reason !== undefined && <span class="bad-text"> {action.reason}</span>}
                  {action.by !== 'broker' && ` · told by ${action.by}`}
                </span>
              </span>
              <Outcome outcome={action.outcome} />
              {action.arguments !== undefined && (
                <pre>{JSON.stringify(action.arguments, null, 2)}</pre>
              )}
            </li>
          ))}
        </ol>
      )}
    </section>
  )
}

function Identity({ session }: { session: SessionDetail }) {
  const { id, workload, principal, actors, key, address, task, servers, identity } = session
  return (
    <section class="card">
      <h2>Who it is</h2>
      <dl class="facts">
        <Fact title="Workload">{workload}</Fact>
        <Fact title="Acts for">{principal === workload ? 'itself' : principal}</Fact>
        {actors.length > 0 && <Fact title="Through">{actors.join(' → ')}</Fact>}
        {task !== undefined && <Fact title="Task">{task}</Fact>}
        {address !== undefined && <Fact title="Address">{address}</Fact>}
        <Fact title="First seen">
          <Time at={session.firstSeen} />
        </Fact>
        <Fact title="Last seen">
          <Time at={session.lastSeen} />
        </Fact>
        {servers.length > 0 && (
          <Fact title="Was at">
            {servers.map((server) => (
              <div key={server}>
                <a href={`/catalogue/server?${new URLSearchParams({ resource: server })}`}>
                  {shortServer(server)}
                </a>
              </div>
            ))}
          </Fact>
        )}
        {identity !== undefined && (
          <>
            <Fact title="Proved by">
              {identity.kind} of {identity.issuer}, until <Time at={identity.endsAt} />
            </Fact>
            {Object.entries(identity.attributes).map(([name, value]) => (
              <Fact key={name} title={name}>
                {typeof value === 'string' ? value : value.join(', ')}
              </Fact>
            ))}
          </>
        )}
        <Fact title="Key">
          <code>{key}</code> <CopyButton text={key} what="the key's thumbprint" />
        </Fact>
        <Fact title="Session">
          <code>{id}</code> <CopyButton text={id} what="the session's id" />
        </Fact>
      </dl>
      <div class="pad">
        <Command text={`writ sessions show ${quoted(id)}`} />
      </div>
    </section>
  )
}

function Fact({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </>
  )
}
