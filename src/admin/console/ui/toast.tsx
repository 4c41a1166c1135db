import { useEffect } from 'preact/hooks'
import { createStore, useStore } from '../state/store.ts'

const said = createStore('')
const SHOWN_MS = 4_000

/** Says it in passing, to eyes and to screen readers. */
export function say(text: string): void {
  said.set(text)
}

export function Toast() {
  const text = useStore(said)
  useEffect(() => {
    if (text === '') return
    const timer = setTimeout(() => said.set(''), SHOWN_MS)
    return () => clearTimeout(timer)
  }, [text])
  return (
    <div class="toast" role="status">
      {text}
    </div>
  )
}
