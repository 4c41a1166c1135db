import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'
import { Icon } from './icon.tsx'

/** Where somebody begins, when nothing is marked as the beginning. */
const FIELD = '.dialog-body :is(input, select, textarea)'

interface Shown {
  readonly title: string
  readonly onClose: () => void
  readonly children: ComponentChildren
  readonly look?: string
}

/** A modal of the browser's own: it keeps the focus, Escape closes it, and the focus goes back. */
export function Dialog({ title, onClose, children, look = '' }: Shown) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useId()
  // Before anything else happens: what is typed from now on is for the dialog, not for what is under it.
  useLayoutEffect(() => {
    const shown = dialog.current!
    const before = document.activeElement
    shown.showModal()
    const first = shown.querySelector<HTMLElement>('[data-first]') ?? shown.querySelector(FIELD)
    if (first instanceof HTMLElement) first.focus()
    return () => {
      shown.close()
      // Removed before the browser returned the focus by itself; and whatever opened it may go with it.
      if (before instanceof HTMLElement && before.isConnected) before.focus()
      setTimeout(() => {
        if (document.activeElement === document.body) document.getElementById('content')?.focus()
      })
    }
  }, [])
  return (
    <dialog
      ref={dialog}
      class={look}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      // Browsers close it without asking when Escape is pressed again and again.
      onClose={(event) => event.currentTarget.isConnected && onClose()}
    >
      <div class="dialog-head">
        <h2 id={heading}>{title}</h2>
        <button type="button" class="button quiet icon slim" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  )
}
