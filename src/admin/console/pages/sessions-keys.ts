import { useLayoutEffect, useRef } from 'preact/hooks'
import type { SessionsShown } from './sessions-table.tsx'
import { ROW } from './sessions-table.tsx'

interface GridPlace {
  readonly at: number
  readonly body: { readonly current: HTMLElement | null }
  readonly setActive: (id: string) => void
}

/** Arrows move, Space selects, Enter opens, S stops, Escape selects nothing. */
export function useGridKeys(shown: SessionsShown, { at, body, setActive }: GridPlace) {
  const { sessions, selected, onSelect, onOpen, onStop, mayChange } = shown
  const wanted = useRef<number>(undefined)
  useLayoutEffect(() => {
    if (wanted.current === undefined || body.current === null) return
    const top = body.current.getBoundingClientRect().top + wanted.current * ROW
    wanted.current = undefined
    const head = 64
    if (top < head) window.scrollBy(0, top - head)
    else if (top + ROW > innerHeight - 80) window.scrollBy(0, top + ROW - innerHeight + 80)
  })
  return (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey)
      return
    const page = Math.max(1, Math.floor(innerHeight / ROW) - 3)
    const now = sessions[at]
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: sessions.length - 1,
    }
    const to = moves[event.key]
    if (to !== undefined) {
      const next = Math.min(sessions.length - 1, Math.max(0, to))
      wanted.current = next
      const id = sessions[next]?.id
      if (id !== undefined) setActive(id)
    } else if (now === undefined) return
    else if (event.key === 'Enter') onOpen(now)
    else if (event.key === ' ' && mayChange) onSelect([now.id], !selected.has(now.id))
    else if (event.key === 's' && mayChange) onStop(now)
    else if (event.key === 'Escape') onSelect([...selected], false)
    else return
    event.preventDefault()
  }
}
