import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { ask } from '../api/client.ts'
import { onEvent } from '../api/events.ts'
import type { Revocation, RevocationDetail } from '../api/types.ts'
import { Notice } from '../ui/state.tsx'
import { counted } from '../ui/text.ts'
import { targetText } from './target-text.ts'

const ASK_EVERY_MS = 700
/** After that the page of the revocation goes on telling. */
const ASK_FOR_MS = 120_000

/** How many hold it, as it comes in: told by events, asked for besides. */
function useHolding(revocations: readonly Revocation[]): {
  readonly holding: number
  readonly all: number
} {
  const [counts, set] = useState(
    () => new Map(revocations.map(({ id, holders }) => [id, holders] as const)),
  )
  // The one that fewest hold stands for all; the same process hears them in one order.
  const last = revocations.at(-1)?.id
  const [least] = [...counts.values()].sort((a, b) => a.holding - a.all - (b.holding - b.all))
  const complete = least !== undefined && least.all > 0 && least.holding >= least.all
  useEffect(
    () =>
      onEvent('revocation', ({ id, holders }) =>
        set((before) => (before.has(id) ? new Map(before).set(id, holders) : before)),
      ),
    [],
  )
  const until = useRef(Date.now() + ASK_FOR_MS).current
  useEffect(() => {
    if (complete || last === undefined) return
    const timer = setInterval(() => {
      if (Date.now() > until) return clearInterval(timer)
      const ids = [...new Set([last, [...counts].find(([, at]) => at === least)?.[0] ?? last])]
      for (const id of ids) {
        ask<RevocationDetail>(`/revocations/${encodeURIComponent(id)}`, { background: true }).then(
          ({ holders: { holding, all } }) =>
            set((before) => new Map(before).set(id, { holding, all })),
          () => {
            // The next time, or by an event.
          },
        )
      }
    }, ASK_EVERY_MS)
    return () => clearInterval(timer)
  }, [complete, last, counts, least, until])
  return least ?? { holding: 0, all: 0 }
}

interface StoppedProps {
  readonly revocations: readonly Revocation[]
  readonly onClose: () => void
}

export function Stopped({ revocations, onClose }: StoppedProps) {
  const { holding, all } = useHolding(revocations)
  const button = useRef<HTMLButtonElement>(null)
  useLayoutEffect(() => button.current?.focus(), [])
  const complete = all > 0 && holding >= all
  return (
    <div class="dialog">
      <div class="dialog-body">
        <Notice kind="good" title="In force, and on the record">
          Whatever hears the revocations refuses it from now on.
        </Notice>
        <Holding holding={holding} all={all} />
        {!complete && (
          <p class="muted small">
            A holder that has not said so may be stopped or cut off; without the feed it refuses
            everything once its bound has passed.
          </p>
        )}
        <ul class="stack made">
          {revocations.slice(0, 8).map(({ id, target }) => (
            <li key={id} class="wrap">
              <a href={`/revocations/${encodeURIComponent(id)}`} onClick={onClose}>
                {targetText(target)}
              </a>
            </li>
          ))}
          {revocations.length > 8 && (
            <li class="muted">and {counted(revocations.length - 8, 'other')}</li>
          )}
        </ul>
      </div>
      <div class="dialog-foot">
        <button
          ref={button}
          type="button"
          class="button main"
          // It is where “Stop” was: the second click of a double one would hide what came of it.
          onClick={(event) => event.detail < 2 && onClose()}
        >
          Done
        </button>
      </div>
    </div>
  )
}

/** “Held by 4 of 4”, as words and as a bar. */
export function Holding({ holding, all }: { holding: number; all: number }) {
  return (
    <div class="stack holding">
      <b role="status">{`Held by ${holding} of ${all}`}</b>
      <div class="meter" aria-hidden="true">
        <i style={{ width: `${all === 0 ? 0 : Math.round((100 * holding) / all)}%` }} />
      </div>
    </div>
  )
}
