import { askMe } from '../api/client.ts'

const TELL_EVERY_MS = 60_000

/** Somebody who reads, scrolls and filters is there, though none of that asks the broker anything. */
export function tellActivity(): () => void {
  let toldAt = performance.now()
  const told = () => {
    if (performance.now() - toldAt < TELL_EVERY_MS) return
    toldAt = performance.now()
    askMe().catch(() => {
      // What cannot be reached shows by itself.
    })
  }
  addEventListener('pointerdown', told)
  addEventListener('keydown', told)
  addEventListener('wheel', told, { passive: true })
  return () => {
    removeEventListener('pointerdown', told)
    removeEventListener('keydown', told)
    removeEventListener('wheel', told)
  }
}
