import { useEffect, useState } from 'preact/hooks'
import { go } from './state/router.ts'
import { Dialog } from './ui/dialog.tsx'

const PLACES: Readonly<Record<string, readonly [string, string]>> = {
  s: ['/sessions', 'Sessions'],
  r: ['/revocations', 'Revocations'],
  a: ['/audit', 'Audit'],
  p: ['/policies', 'Policies'],
  m: ['/simulator', 'Simulator'],
  c: ['/catalogue', 'Catalogue'],
  h: ['/health', 'Health'],
}

const IN_TABLE = [
  [['↑', '↓'], 'Move through the sessions'],
  [['Space'], 'Select or leave out'],
  [['Enter'], 'Open'],
  [['S'], 'Stop the selected, or this one'],
  [['Esc'], 'Clear the selection; close a dialog'],
] as const

const SECOND_KEY_MS = 1_200

/** Keys for the whole console; none of them while somebody types, or a dialog is open. */
export function Shortcuts() {
  const [shown, setShown] = useState(false)
  useEffect(() => {
    let goingUntil = 0
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
      const at = event.target as Element
      if (at.closest('input, textarea, select, [contenteditable], dialog') !== null) return
      if (document.querySelector('dialog[open]') !== null) return
      if (event.timeStamp < goingUntil) {
        goingUntil = 0
        const to = PLACES[event.key]
        if (to !== undefined) {
          event.preventDefault()
          go(to[0])
        }
        return
      }
      if (event.key === '/') {
        const filter = document.querySelector<HTMLInputElement>('[data-filter]')
        if (filter === null) return
        event.preventDefault()
        filter.focus()
        filter.select()
      } else if (event.key === '?') {
        event.preventDefault()
        setShown(true)
      } else if (event.key === 'g') goingUntil = event.timeStamp + SECOND_KEY_MS
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])
  if (!shown) return null
  return (
    <Dialog title="Keyboard shortcuts" onClose={() => setShown(false)}>
      <div class="dialog-body">
        <Keys title="Anywhere">
          {[
            [['/'], 'Go to the filter'],
            [['?'], 'Show this'],
            ...Object.entries(PLACES).map(([key, [, text]]) => [['g', key], text] as const),
          ]}
        </Keys>
        <Keys title="In the table of sessions">{IN_TABLE}</Keys>
      </div>
    </Dialog>
  )
}

type Rows = readonly (readonly [readonly string[], string] | readonly (string | string[])[])[]

function Keys({ title, children }: { title: string; children: Rows }) {
  return (
    <section class="stack">
      <h3>{title}</h3>
      <dl class="keys">
        {children.map(([keys, text]) => (
          <div key={text} class="row">
            <dt class="row">
              {(keys as readonly string[]).map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}
