import { useEffect } from 'preact/hooks'
import { onEvent, onOpened } from '../api/events.ts'
import type { Health, Holder } from '../api/types.ts'
import { Command } from '../ui/copy.tsx'
import { List } from '../ui/list.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, Notice, ProblemNote } from '../ui/state.tsx'
import { counted, shortServer } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'

const ASK_EVERY_MS = 10_000

const ADVICE: Readonly<Record<string, string>> = {
  store: 'The store cannot be reached: nothing is issued until it can.',
  feed: 'The revocation feed is stale: everything is refused until it is fresh.',
  keys: 'No key may sign now: see Keys.',
  audit: 'The audit cannot be written: nothing is issued until it can. Is the disk full?',
  trust: 'A trust bundle cannot be had, or nobody could be proved: see Identities.',
  certificate: "The listener's certificate has expired or is gone.",
}

export function HealthPage() {
  const health = useLoad<Health>('/health')
  const holders = useLoad<{ items: readonly Holder[] }>('/holders')
  const { set } = health
  const { reload: reloadHolders } = holders
  const { reload } = health
  useEffect(() => {
    const both = () => {
      reload()
      reloadHolders()
    }
    const ends = [onEvent('health', set), onEvent('holder', reloadHolders), onOpened(both)]
    const timer = setInterval(both, ASK_EVERY_MS)
    return () => {
      clearInterval(timer)
      for (const end of ends) end()
    }
  }, [])
  return (
    <>
      <div class="page-head">
        <h1>Health</h1>
        {health.value !== undefined && (
          <span class={`chip dot ${health.value.ready ? 'good' : 'bad'}`}>
            {health.value.ready ? 'ready' : 'not ready'}
          </span>
        )}
      </div>
      <div class="stack">
        {health.problem !== undefined && <ProblemNote problem={health.problem} retry={reload} />}
        {health.value === undefined ? (
          health.problem === undefined && <Loading what="the checks" />
        ) : (
          <Checks health={health.value} />
        )}
        <h2>Who holds the revocations</h2>
        {holders.problem !== undefined && (
          <ProblemNote problem={holders.problem} retry={reloadHolders} />
        )}
        {holders.value !== undefined && <HolderList holders={holders.value.items} />}
        <Command text="writ status" />
      </div>
    </>
  )
}

function Checks({ health: { checks, feed, policyVersion, catalogueVersion } }: { health: Health }) {
  const failing = Object.keys(checks).filter((name) => checks[name] === 'failing')
  return (
    <>
      {failing.map((name) => (
        <Notice key={name} kind="bad" title={`${name} is failing`}>
          {ADVICE[name] ?? 'The log of the broker says why.'}
        </Notice>
      ))}
      <section class="card">
        <ul class="checks">
          {Object.entries(checks).map(([name, state]) => (
            <li key={name}>
              <span>{name}</span>
              <span class={`chip dot ${state === 'ok' ? 'good' : 'bad'}`}>{state}</span>
            </li>
          ))}
        </ul>
        <dl class="facts">
          <dt>Feed</dt>
          <dd>
            {feed.fresh ? 'fresh' : 'stale'}, {counted(feed.revocations, 'revocation')} in force
          </dd>
          <dt>Policies</dt>
          <dd>
            <code>{policyVersion}</code>
          </dd>
          <dt>Catalogue</dt>
          <dd>
            <code>{catalogueVersion}</code>
          </dd>
        </dl>
      </section>
    </>
  )
}

function HolderList({ holders }: { holders: readonly Holder[] }) {
  if (holders.length === 0) {
    return (
      <div class="card">
        <Empty title="No holder is heard from">
          Brokers are holders, and verifiers and gateways that report.
        </Empty>
      </div>
    )
  }
  return (
    <List
      caption="Holders"
      items={holders}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Holder',
          phone: 'title',
          cell: ({ id, server, client }) => (
            <span class="two" title={id}>
              <span class="strong">{server === undefined ? id : shortServer(server)}</span>
              <span>{client ?? (server === undefined ? '' : id)}</span>
            </span>
          ),
        },
        { title: 'Kind', width: '112px', cell: ({ kind }) => kind },
        {
          title: 'Feed',
          width: '112px',
          phone: 'aside',
          cell: ({ fresh }) => (
            <span class={`chip dot ${fresh ? 'good' : 'warn'}`}>{fresh ? 'fresh' : 'stale'}</span>
          ),
        },
        { title: 'Heard', width: '112px', cell: ({ lastHeardAt }) => <Time at={lastHeardAt} /> },
        {
          title: 'Left out',
          width: '96px',
          number: true,
          cell: ({ lost }) =>
            lost === 0 ? <span class="muted">0</span> : <b class="bad-text">{lost}</b>,
        },
      ]}
    />
  )
}
