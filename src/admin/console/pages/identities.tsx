import { useState } from 'preact/hooks'
import type { Identities } from '../api/types.ts'
import { SearchField } from '../ui/filters.tsx'
import { List } from '../ui/list.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, ProblemNote } from '../ui/state.tsx'
import { shortId } from '../ui/text.ts'
import { span, Time } from '../ui/time.tsx'

export function IdentitiesPage() {
  const { value, problem, reload } = useLoad<Identities>('/identities')
  return (
    <>
      <div class="page-head">
        <h1>Identities</h1>
        <p>Whose proofs count, and which workloads proved who they are.</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {value === undefined ? (
        problem === undefined && <Loading what="the identities" />
      ) : (
        <div class="stack">
          <Workloads of={value} />
          <h2>Trust domains</h2>
          <TrustDomains domains={value.trustDomains} />
          {value.issuers.length > 0 && <h2>Issuers of tokens</h2>}
          {value.issuers.length > 0 && (
            <List
              caption="Issuers of tokens"
              items={value.issuers}
              keyOf={({ alias }) => alias}
              columns={[
                {
                  title: 'Alias',
                  phone: 'title',
                  width: '24%',
                  cell: ({ alias }) => <b>{alias}</b>,
                },
                { title: 'Issuer', cell: ({ url }) => <span class="wrap">{url}</span> },
                { title: 'Vouches for', width: '160px', cell: ({ vouchesFor }) => vouchesFor },
              ]}
            />
          )}
        </div>
      )}
    </>
  )
}

function Workloads({ of: { workloads, bounded } }: { of: Identities }) {
  const [text, setText] = useState('')
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = workloads.filter(({ id, issuer = '', kind = '' }) =>
    words.every((word) => `${id} ${issuer} ${kind}`.toLowerCase().includes(word)),
  )
  return (
    <>
      <search class="filters flat">
        <SearchField
          label="Filter workloads"
          placeholder="Workload, issuer …"
          value={text}
          onValue={setText}
        />
      </search>
      {found.length === 0 ? (
        <div class="card">
          {workloads.length === 0 ? (
            <Empty title="Nobody was seen yet">
              A workload appears here once it has proved who it is.
            </Empty>
          ) : (
            <Empty title="No workload matches" />
          )}
        </div>
      ) : (
        <List
          caption="Workloads"
          items={found}
          keyOf={({ id }) => id}
          columns={[
            {
              title: 'Workload',
              phone: 'title',
              cell: ({ id }) => (
                <span class="two" title={id}>
                  <a
                    class="strong"
                    href={`/sessions?${new URLSearchParams({ workload: id, within: 'all' })}`}
                  >
                    {shortId(id).name}
                  </a>
                  <span>{shortId(id).of}</span>
                </span>
              ),
            },
            {
              title: 'Proved by',
              width: '24%',
              cell: ({ kind, issuer }) => (kind === undefined ? '–' : `${kind} of ${issuer}`),
            },
            { title: 'Sessions', width: '104px', number: true, cell: ({ sessions }) => sessions },
            {
              title: 'Live',
              width: '88px',
              number: true,
              cell: ({ live }) => (live === 0 ? <span class="muted">0</span> : live),
            },
            {
              title: 'Seen',
              width: '120px',
              number: true,
              cell: ({ lastSeen }) => <Time at={lastSeen} />,
            },
          ]}
        />
      )}
      {bounded && <p class="muted small">There are more sessions than were looked at.</p>}
    </>
  )
}

function TrustDomains({ domains }: { domains: Identities['trustDomains'] }) {
  if (domains.length === 0) {
    return (
      <div class="card">
        <Empty title="No trust domain is configured" />
      </div>
    )
  }
  return (
    <List
      caption="Trust domains"
      items={domains}
      keyOf={({ name }) => name}
      columns={[
        {
          title: 'Trust domain',
          phone: 'title',
          cell: ({ name, problem }) => (
            <span class="two">
              <span class="strong">{name}</span>
              <span title={problem}>{problem ?? ''}</span>
            </span>
          ),
        },
        {
          title: 'State',
          width: '112px',
          phone: 'aside',
          cell: ({ problem }) => (
            <span class={`chip dot ${problem === undefined ? 'good' : 'bad'}`}>
              {problem === undefined ? 'ok' : 'problem'}
            </span>
          ),
        },
        { title: 'From', width: '128px', cell: ({ source }) => source },
        {
          title: 'Confirmed',
          width: '128px',
          cell: ({ ageSeconds }) => (ageSeconds === undefined ? '–' : `${span(ageSeconds)} ago`),
        },
        { title: 'JWT keys', width: '96px', number: true, cell: ({ jwtKeys }) => jwtKeys },
        {
          title: 'Authorities',
          width: '112px',
          number: true,
          cell: ({ x509Authorities }) => x509Authorities,
        },
      ]}
    />
  )
}
