import { useLayoutEffect, useRef } from 'preact/hooks'

const ROWS = 'tbody > tr, .cards > li, .timeline > li'

interface MoreProps {
  /** Loads what follows; undefined when nothing does. */
  readonly more: (() => void) | undefined
  /** How many there are now. */
  readonly count: number
  readonly title?: string
}

/** Stands beside its list. When it goes, its focus goes to the first row that came: nobody has to begin at the top again. */
export function More({ more, count, title = 'Load more' }: MoreProps) {
  const place = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const before = useRef(count)
  // Looked at before it is gone, when the focus is nowhere.
  const focused = button.current !== null && button.current === document.activeElement
  useLayoutEffect(() => {
    if (more !== undefined) {
      before.current = count
      return
    }
    if (!focused) return
    const rows = place.current!.parentElement!.querySelectorAll<HTMLElement>(ROWS)
    const row = rows[Math.min(before.current, rows.length - 1)] ?? place.current!
    row.tabIndex = -1
    // It is where the button was: nothing has to move.
    row.focus({ preventScroll: true })
  })
  return (
    <div ref={place} class={more === undefined ? '' : 'note'}>
      {more !== undefined && (
        <button ref={button} type="button" class="button slim" onClick={more}>
          {title}
        </button>
      )}
    </div>
  )
}
