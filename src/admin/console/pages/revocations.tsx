import { useEffect, useLayoutEffect, useState } from 'preact/hooks'
import { onEvent, onOpened } from '../api/events.ts'
import type { Revocation, Target } from '../api/types.ts'
import { useMayChange } from '../shell.tsx'
import { keepInAddress, place } from '../state/router.ts'
import { StopDialog } from '../stop/stop-dialog.tsx'
import { KIND_TEXT, targetText } from '../stop/target-text.ts'
import { UndoDialog } from '../stop/undo-dialog.tsx'
import { By } from '../ui/by.tsx'
import { Choice, SearchField, Segments } from '../ui/filters.tsx'
import { useLater } from '../ui/later.ts'
import { List, type ListColumn } from '../ui/list.tsx'
import { usePages } from '../ui/load.ts'
import { Empty, Loading, ProblemNote, RevocationState } from '../ui/state.tsx'
import { Time } from '../ui/time.tsx'

const STATES: readonly (readonly [string, string])[] = [
  ['', 'All'],
  ['live', 'In force'],
  ['ended', 'Ended'],
  ['undone', 'Undone'],
]

const KINDS: readonly (readonly [string, string])[] = [
  ['', 'Every kind'],
  ...Object.entries(KIND_TEXT),
]

const AGAIN_AFTER_MS = 300

export function RevocationsPage() {
  const [state, setState] = useState(() => place.get().query.get('state') ?? '')
  const [kind, setKind] = useState(() => place.get().query.get('kind') ?? '')
  const [text, setText] = useState(() => place.get().query.get('text') ?? '')
  const query = { state, kind, text: useLater(text) }
  const { items, more, problem, reload, loading } = usePages<Revocation>('/revocations', query)
  const [stopping, setStopping] = useState(false)
  const [undoing, setUndoing] = useState<Revocation>()
  const mayChange = useMayChange()
  useLayoutEffect(() => keepInAddress({ state, kind, text }), [state, kind, text])
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const soon = () => {
      clearTimeout(timer)
      timer = setTimeout(reload, AGAIN_AFTER_MS)
    }
    const ends = [onEvent('revocation', soon), onOpened(soon)]
    return () => {
      clearTimeout(timer)
      for (const end of ends) end()
    }
  }, [reload])
  const filtered = state !== '' || kind !== '' || text !== ''
  return (
    <>
      <div class="page-head">
        <h1>Revocations</h1>
        {mayChange && (
          <button type="button" class="button push" onClick={() => setStopping(true)}>
            <span>
              Stop<span class="wide-only"> something</span> …
            </span>
          </button>
        )}
      </div>
      <search class="filters">
        <SearchField
          label="Filter revocations"
          placeholder="Target, reason, person …"
          value={text}
          onValue={setText}
        />
        <Segments label="State" value={state} options={STATES} onValue={setState} />
        <Choice label="Kind of target" value={kind} options={KINDS} onValue={setKind} />
      </search>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {items === undefined ? (
        problem === undefined && <Loading what="revocations" />
      ) : items.length === 0 ? (
        <div class="card" aria-busy={loading}>
          {filtered ? (
            <Empty title="No revocation matches">Clear a part of the filter.</Empty>
          ) : (
            <Empty title="Nothing was ever stopped">
              What is stopped appears here, with who did it, why, and who has heard it.
            </Empty>
          )}
        </div>
      ) : (
        <List
          caption="Revocations"
          columns={columns(mayChange ? setUndoing : undefined)}
          items={items}
          keyOf={({ id }) => id}
          more={more}
        />
      )}
      {stopping && (
        <StopDialog
          sessions={[]}
          onClose={() => {
            setStopping(false)
            reload()
          }}
        />
      )}
      {undoing !== undefined && (
        <UndoDialog
          revocation={undoing}
          onClose={() => {
            setUndoing(undefined)
            reload()
          }}
        />
      )}
    </>
  )
}

function columns(onUndo: ((revocation: Revocation) => void) | undefined): ListColumn<Revocation>[] {
  return [
    {
      title: 'What',
      phone: 'title',
      cell: ({ id, target }) => (
        <span class="two" title={targetText(target)}>
          <a class="strong" href={`/revocations/${encodeURIComponent(id)}`}>
            {targetText(target)}
          </a>
          <span>{kindText(target)}</span>
        </span>
      ),
    },
    {
      title: 'State',
      width: '104px',
      phone: 'aside',
      cell: ({ state }) => <RevocationState state={state} />,
    },
    {
      title: 'Why',
      width: '24%',
      cell: ({ reason, by, byName }) => (
        <span class="two" title={`${reason} (${by})`}>
          <span>{reason}</span>
          <span>
            <By id={by} name={byName} />
          </span>
        </span>
      ),
    },
    { title: 'Made', width: '112px', cell: ({ at }) => <Time at={at} /> },
    {
      title: 'Ends',
      width: '112px',
      cell: ({ until }) =>
        until === undefined ? <span class="muted">never</span> : <Time at={until} />,
    },
    {
      title: 'Held by',
      width: '88px',
      number: true,
      cell: ({ holders: { holding, all }, state }) =>
        state === 'live' ? (
          <span class={holding < all ? 'warn-text' : ''}>
            {holding} of {all}
          </span>
        ) : (
          <span class="muted">–</span>
        ),
    },
    ...(onUndo === undefined
      ? []
      : [
          {
            title: '',
            width: '92px',
            cell: (revocation: Revocation) =>
              revocation.canUndo && (
                <button type="button" class="button slim" onClick={() => onUndo(revocation)}>
                  Undo …
                </button>
              ),
          },
        ]),
  ]
}

export const kindText = ({ kind, beneath }: Target): string =>
  beneath ? `${KIND_TEXT[kind]}s beneath` : KIND_TEXT[kind]
