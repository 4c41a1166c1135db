import { useEffect, useState } from 'preact/hooks'

const OVERSCAN = 8

export interface Window {
  readonly from: number
  readonly to: number
}

/**
 * Which of `count` rows of `rowHeight` pixels are on the screen, or nearly: only those are drawn. The
 * page itself scrolls, so that the browser's own keys and a phone's bars work as everywhere.
 */
export function useWindow(
  list: { readonly current: HTMLElement | null },
  { count, rowHeight }: { readonly count: number; readonly rowHeight: number },
): Window {
  const [seen, setSeen] = useState<Window>({ from: 0, to: 30 })
  useEffect(() => {
    let frame = 0
    const look = () => {
      frame = 0
      const at = list.current
      if (at === null) return
      const top = -at.getBoundingClientRect().top
      const from = Math.max(0, Math.floor(top / rowHeight) - OVERSCAN)
      const to = Math.ceil((top + innerHeight) / rowHeight) + OVERSCAN
      setSeen((before) => (before.from === from && before.to === to ? before : { from, to }))
    }
    const soon = () => {
      if (frame === 0) frame = requestAnimationFrame(look)
    }
    look()
    addEventListener('scroll', soon, { passive: true })
    addEventListener('resize', soon)
    return () => {
      cancelAnimationFrame(frame)
      removeEventListener('scroll', soon)
      removeEventListener('resize', soon)
    }
  }, [list, rowHeight])
  const to = Math.min(count, Math.max(seen.to, seen.from + 1))
  return { from: Math.min(seen.from, Math.max(0, count - 1)), to }
}
