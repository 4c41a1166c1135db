import type { SigningKey } from '../api/types.ts'
import { Command } from '../ui/copy.tsx'
import { List } from '../ui/list.tsx'
import { useLoad } from '../ui/load.ts'
import { Empty, Loading, ProblemNote } from '../ui/state.tsx'
import { Time } from '../ui/time.tsx'

const LOOK = { signing: 'good dot', published: 'accent dot', retired: 'dot', gone: 'dot' } as const

export function KeysPage() {
  const { value, problem, reload } = useLoad<{ items: readonly SigningKey[] }>('/keys')
  return (
    <>
      <div class="page-head">
        <h1>Keys</h1>
        <p>The keys that sign tokens. Only their public halves are here.</p>
      </div>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {value === undefined ? (
        problem === undefined && <Loading what="the keys" />
      ) : value.items.length === 0 ? (
        <div class="card">
          <Empty title="There is no key">
            <code>writ keys new</code> makes one.
          </Empty>
        </div>
      ) : (
        <div class="stack">
          <List
            caption="Signing keys"
            items={value.items}
            keyOf={({ kid }) => kid}
            columns={[
              {
                title: 'Key',
                phone: 'title',
                cell: ({ kid, algorithm }) => (
                  <span class="two" title={kid}>
                    <code class="strong">{kid}</code>
                    <span>{algorithm}</span>
                  </span>
                ),
              },
              {
                title: 'State',
                width: '128px',
                phone: 'aside',
                cell: ({ state }) => <span class={`chip ${LOOK[state]}`}>{state}</span>,
              },
              {
                title: 'Published',
                width: '136px',
                cell: ({ publishedAt }) => <Time at={publishedAt} />,
              },
              { title: 'Signs', width: '136px', cell: ({ signsFrom }) => <Time at={signsFrom} /> },
              {
                title: 'Gone',
                width: '136px',
                cell: ({ goneFrom }) =>
                  goneFrom === undefined ? <span class="muted">–</span> : <Time at={goneFrom} />,
              },
            ]}
          />
          <Command text="writ keys rotate" />
        </div>
      )}
    </>
  )
}
