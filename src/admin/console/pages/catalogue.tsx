import { useState } from 'preact/hooks'
import type { Server, ServerDetail } from '../api/types.ts'
import { place } from '../state/router.ts'
import { useStore } from '../state/store.ts'
import { Command, CopyButton } from '../ui/copy.tsx'
import { SearchField } from '../ui/filters.tsx'
import { Icon } from '../ui/icon.tsx'
import { List } from '../ui/list.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, ProblemNote } from '../ui/state.tsx'
import { counted, quoted, shortServer } from '../ui/text.ts'
import { Time } from '../ui/time.tsx'

interface Servers {
  readonly catalogueVersion: string
  readonly items: readonly Server[]
}

export function CataloguePage() {
  const { value, problem, reload } = useLoad<Servers>('/servers')
  return (
    <>
      <div class="page-head">
        <h1>Catalogue</h1>
        <p>
          What each MCP server was seen to offer when it was pinned. A definition that changed since
          gets no token.
        </p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {value === undefined ? (
        problem === undefined && <Loading what="the catalogue" />
      ) : value.items.length === 0 ? (
        <div class="card">
          <Empty title="No server is in the catalogue">
            Pin one with <code>writ catalogue pin &lt;url&gt;</code> and name its file in the
            configuration.
          </Empty>
        </div>
      ) : (
        <List
          caption="MCP servers"
          items={value.items}
          keyOf={({ resource }) => resource}
          columns={[
            {
              title: 'Server',
              phone: 'title',
              cell: ({ name, resource }) => (
                <span class="two" title={resource}>
                  <a class="strong" href={`/catalogue/server?${new URLSearchParams({ resource })}`}>
                    {name}
                  </a>
                  <span>{resource}</span>
                </span>
              ),
            },
            { title: 'Offers', width: '30%', cell: ({ definitions }) => offers(definitions) },
            {
              title: 'Pinned',
              width: '136px',
              cell: ({ pinnedAt }) => <Time at={Date.parse(pinnedAt) / 1000} />,
            },
          ]}
        />
      )}
    </>
  )
}

function offers(definitions: Server['definitions']): string {
  const of = (kind: string) => definitions.filter((each) => each.kind === kind).length
  const resources = of('resource') + of('resource_template')
  return [
    of('tool') > 0 && counted(of('tool'), 'tool'),
    of('prompt') > 0 && counted(of('prompt'), 'prompt'),
    resources > 0 && counted(resources, 'resource'),
  ]
    .filter(Boolean)
    .join(', ')
}

export function ServerPage() {
  const { query } = useStore(place)
  const resource = query.get('resource') ?? ''
  const { value, problem, reload } = useLoad<ServerDetail>('/servers/detail', { resource })
  const [text, setText] = useState('')
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const found = value?.definitions.filter((each) =>
    words.every((word) => `${each.kind} ${each.name} ${each.hash}`.toLowerCase().includes(word)),
  )
  return (
    <>
      <div class="page-head">
        <a class="back" href="/catalogue">
          <Icon name="back" size={16} />
          Catalogue
        </a>
        <h1>{value?.name ?? shortServer(resource)}</h1>
        <p class="wrap">{resource}</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {value === undefined ? (
        problem === undefined && <Loading what="the server" />
      ) : (
        <div class="stack">
          <Command text={`writ catalogue pin ${quoted(resource)}`} />
          <search class="filters flat">
            <SearchField
              label="Filter definitions"
              placeholder="Name or hash …"
              value={text}
              onValue={setText}
            />
          </search>
          {found?.length === 0 ? (
            <div class="card">
              <Empty title="No definition matches" />
            </div>
          ) : (
            found?.map((each) => (
              <Definition key={`${each.kind} ${each.name}`} of={each} resource={resource} />
            ))
          )}
        </div>
      )}
    </>
  )
}

interface DefinitionProps {
  readonly of: ServerDetail['definitions'][number]
  readonly resource: string
}

function Definition({ of, resource }: DefinitionProps) {
  const { kind, name, hash, readOnly, destructive, argumentsOpen, definition } = of
  const says = typeof definition.description === 'string' ? definition.description : undefined
  const to = new URLSearchParams({ server: resource, name })
  return (
    <section class="card definition" aria-label={name}>
      <div class="row">
        <h3 class="mono wrap">{name}</h3>
        <span class="chip">{kind.replace('_', ' ')}</span>
        {readOnly && <span class="chip good">reads only</span>}
        {destructive && <span class="chip bad">destructive</span>}
        {argumentsOpen && <span class="chip warn">open arguments</span>}
        {kind === 'tool' && (
          <a class="button slim push" href={`/simulator?${to}`}>
            Simulate
          </a>
        )}
      </div>
      {says !== undefined && <p class="muted wrap">{says}</p>}
      <div class="row small">
        <code class="muted cut hash" title={hash}>
          {hash}
        </code>
        <CopyButton text={hash} what={`the hash of ${name}`} />
      </div>
      <details class="plain">
        <summary>Pinned definition</summary>
        <pre>{JSON.stringify(definition, null, 2)}</pre>
      </details>
    </section>
  )
}
