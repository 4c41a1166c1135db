import { useEffect, useState } from 'preact/hooks'

/** A value that parts of the page watch. */
export interface Store<T> {
  get(): T
  set(next: T): void
  /** Returns what ends it. */
  subscribe(told: () => void): () => void
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial
  const watchers = new Set<() => void>()
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return
      value = next
      for (const told of [...watchers]) told()
    },
    subscribe(told) {
      watchers.add(told)
      return () => watchers.delete(told)
    },
  }
}

export function useStore<T>(store: Store<T>): T {
  const [value, setValue] = useState(store.get())
  useEffect(() => {
    // It may have changed between the render and this effect.
    setValue(() => store.get())
    return store.subscribe(() => setValue(() => store.get()))
  }, [store])
  return value
}
