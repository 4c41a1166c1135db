import { useCallback, useEffect, useState } from 'preact/hooks'
import { ApiProblem, ask, type Query } from '../api/client.ts'
import type { Page } from '../api/types.ts'

export interface Loaded<T> {
  readonly value: T | undefined
  readonly problem: ApiProblem | undefined
  readonly loading: boolean
  readonly reload: () => void
  readonly set: (value: T) => void
}

const asProblem = (error: unknown) =>
  error instanceof ApiProblem
    ? error
    : new ApiProblem({
        status: 0,
        title: 'Something in this page went wrong',
        detail: String(error),
      })

/** Asks once for each path and query; what is there stays on the screen while it asks again. */
export function useLoad<T>(path: string | undefined, query: Query = {}): Loaded<T> {
  const [value, set] = useState<T>()
  const [problem, setProblem] = useState<ApiProblem>()
  const [loading, setLoading] = useState(true)
  const [turn, setTurn] = useState(0)
  const key = JSON.stringify(query)
  // The key stands for the query, the turn for asking again.
  useEffect(() => {
    if (path === undefined) return
    const stop = new AbortController()
    setLoading(true)
    ask<T>(path, { query, signal: stop.signal, background: turn > 0 }).then(
      (found) => {
        set(() => found)
        setProblem(undefined)
        setLoading(false)
      },
      (error: unknown) => {
        if (stop.signal.aborted) return
        setProblem(asProblem(error))
        setLoading(false)
      },
    )
    return () => stop.abort()
  }, [path, key, turn])
  const reload = useCallback(() => setTurn((before) => before + 1), [])
  return { value, problem, loading, reload, set: (next) => set(() => next) }
}

export interface Pages<T> extends Omit<Loaded<Page<T>>, 'value' | 'set'> {
  readonly items: readonly T[] | undefined
  readonly more: (() => void) | undefined
}

/** A list that is fetched page by page, when asked for more. */
export function usePages<T>(path: string, query: Query = {}): Pages<T> {
  const first = useLoad<Page<T>>(path, query)
  const [later, setLater] = useState<{ of: unknown; items: readonly T[]; next: string | null }>()
  const [problem, setProblem] = useState<ApiProblem>()
  const page = first.value
  const rest = page !== undefined && later?.of === page ? later : undefined
  const next = rest === undefined ? page?.next : rest.next
  const more =
    next == null || page === undefined
      ? undefined
      : () => {
          ask<Page<T>>(path, { query: { ...query, cursor: next } }).then(
            ({ items, next }) =>
              setLater({ of: page, items: [...(rest?.items ?? []), ...items], next }),
            (error: unknown) => setProblem(asProblem(error)),
          )
        }
  return {
    items: page === undefined ? undefined : [...page.items, ...(rest?.items ?? [])],
    problem: first.problem ?? problem,
    loading: first.loading,
    reload: first.reload,
    more,
  }
}

/** An action that is under way, and what it was refused with. */
export function useAction(): {
  readonly busy: boolean
  readonly problem: ApiProblem | undefined
  readonly run: (action: () => Promise<void>) => void
} {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<ApiProblem>()
  const run = (action: () => Promise<void>) => {
    setBusy(true)
    setProblem(undefined)
    action()
      .catch((error: unknown) => setProblem(asProblem(error)))
      .finally(() => setBusy(false))
  }
  return { busy, problem, run }
}
