import { useEffect } from 'preact/hooks'
import { createStore, useStore } from '../state/store.ts'

/** Counted, so that the same thing said again is said again. */
const said = createStore({ text: '', turn: 0 })
const SHOWN_MS = 4_000

/** Says it in passing, to eyes and to screen readers. */
export function say(text: string): void {
  said.set({ text, turn: said.get().turn + 1 })
}

export function Toast() {
  const { text, turn } = useStore(said)
  useEffect(() => {
    if (text === '') return
    const timer = setTimeout(() => say(''), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [text, turn])
  return (
    <div class="toast" role="status">
      {text !== '' && <span key={turn}>{text}</span>}
    </div>
  )
}
