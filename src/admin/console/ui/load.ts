import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { ApiProblem, type Ask, ask, type Query } from '../api/client.ts'
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

type Read<T> = (options: Pick<Ask, 'signal' | 'background'>) => Promise<T>

/** Reads once for each key; what is there stays on the screen while it reads again. */
function useRead<T>(key: string | undefined, read: Read<T>) {
  const [value, set] = useState<T>()
  const [problem, setProblem] = useState<ApiProblem>()
  const [loading, setLoading] = useState(true)
  const [turn, setTurn] = useState(0)
  // The key stands for what is read, the turn for reading it again.
  useEffect(() => {
    if (key === undefined) return
    const stop = new AbortController()
    setLoading(true)
    read({ signal: stop.signal, background: turn > 0 }).then(
      (found) => {
        if (stop.signal.aborted) return
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
  }, [key, turn])
  const reload = useCallback(() => setTurn((before) => before + 1), [])
  return { value, set, problem, setProblem, loading, reload }
}

export function useLoad<T>(path: string | undefined, query: Query = {}): Loaded<T> {
  const key = path === undefined ? undefined : JSON.stringify([path, query])
  const read: Read<T> = (options) => ask<T>(path!, { query, ...options })
  const { value, problem, loading, reload, set } = useRead(key, read)
  return { value, problem, loading, reload, set: (next) => set(() => next) }
}

export interface Pages<T> extends Omit<Loaded<T>, 'value' | 'set'> {
  readonly items: readonly T[] | undefined
  readonly more: (() => void) | undefined
}

interface Some<T> extends Page<T> {
  readonly key: string
  readonly pages: number
}

/** A list that is fetched page by page, when asked for more; all that is shown is read again. */
export function usePages<T>(path: string, query: Query = {}): Pages<T> {
  const key = JSON.stringify([path, query])
  const wanted = useRef({ key, pages: 1 })
  // Another list begins with one page again.
  if (wanted.current.key !== key) wanted.current = { key, pages: 1 }
  const page = (cursor: string, options: Pick<Ask, 'signal' | 'background'> = {}) =>
    ask<Page<T>>(path, { query: { ...query, cursor }, ...options })
  const read: Read<Some<T>> = async (options) => {
    let all = await page('', options)
    let pages = 1
    for (; pages < wanted.current.pages && all.next !== null; pages += 1) {
      const { items, next } = await page(all.next, { ...options, background: true })
      all = { items: [...all.items, ...items], next }
    }
    return { ...all, key, pages }
  }
  const { value, set, problem, setProblem, loading, reload } = useRead(key, read)
  const cursor = value?.next
  const more = () => {
    // Who reads it again meanwhile reads as many.
    wanted.current.pages = value!.pages + 1
    page(cursor!).then(
      ({ items, next }) => {
        setProblem(undefined)
        // Unless it was read again meanwhile, or asked for twice.
        set((now) =>
          now === undefined || now.key !== key || now.next !== cursor
            ? now
            : { key, pages: now.pages + 1, items: [...now.items, ...items], next },
        )
      },
      (error: unknown) => setProblem(asProblem(error)),
    )
  }
  return {
    items: value?.items,
    problem,
    loading,
    reload,
    more: cursor == null || value?.key !== key ? undefined : more,
  }
}

/** One try of an action. */
export interface Attempt {
  /** Aborted when whoever tries it goes away: what was not sent yet is not sent any more. */
  readonly signal: AbortSignal
  /** The same for the same request, so that one that is sent again, its answer lost, is done once. */
  readonly keyOf: (request: unknown) => string
}

/** An action that is under way, and what it was refused with. */
export function useAction(): {
  readonly busy: boolean
  readonly problem: ApiProblem | undefined
  /** Does nothing while one is under way. */
  readonly run: (action: (attempt: Attempt) => Promise<void>) => void
} {
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<ApiProblem>()
  const running = useRef<AbortController>(undefined)
  const sent = useRef<{ readonly text: string; readonly key: string }>(undefined)
  useLayoutEffect(() => () => running.current?.abort(), [])
  const keyOf = (request: unknown): string => {
    const text = JSON.stringify(request)
    if (sent.current?.text !== text) sent.current = { text, key: crypto.randomUUID() }
    return sent.current.key
  }
  const run = (action: (attempt: Attempt) => Promise<void>) => {
    if (running.current !== undefined) return
    const stop = new AbortController()
    running.current = stop
    setBusy(true)
    setProblem(undefined)
    action({ signal: stop.signal, keyOf })
      .then(
        () => {
          sent.current = undefined
        },
        (error: unknown) => {
          const refused = asProblem(error)
          // It was done and its answer is gone, or is somebody else's: another try is another request.
          if (refused.code === 'conflict') sent.current = undefined
          setProblem(refused)
        },
      )
      .finally(() => {
        running.current = undefined
        setBusy(false)
      })
  }
  return { busy, problem, run }
}
