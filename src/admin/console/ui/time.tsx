import { useEffect } from 'preact/hooks'
import { createStore, useStore } from '../state/store.ts'

/** Seconds since the epoch, moved on every few seconds while somebody looks. */
export const clock = createStore(Date.now() / 1000)

const MOVE_EVERY_MS = 5_000

export function useClock(): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') clock.set(Date.now() / 1000)
    }, MOVE_EVERY_MS)
    return () => clearInterval(timer)
  }, [])
}

const full = new Intl.DateTimeFormat(undefined, {
  dateStyle: 'medium',
  timeStyle: 'medium',
})

export const instant = (seconds: number): string => full.format(seconds * 1000)

/** The time zone of this browser, with its offset at that time, as in “Europe/Berlin, GMT+2”. */
export function zoneAt(seconds: number): string {
  const { timeZone } = full.resolvedOptions()
  const offset = new Intl.DateTimeFormat('en', { timeZoneName: 'shortOffset' })
    .formatToParts(seconds * 1000)
    .find(({ type }) => type === 'timeZoneName')?.value
  return offset === undefined || timeZone === 'UTC' ? timeZone : `${timeZone}, ${offset}`
}

const UNITS = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
] as const

export function span(seconds: number): string {
  for (const [size, unit] of UNITS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`
  }
  return '0 s'
}

export function relative(seconds: number, now: number): string {
  const ago = now - seconds
  if (Math.abs(ago) < 5) return 'now'
  return ago > 0 ? `${span(ago)} ago` : `in ${span(-ago)}`
}

/** How long ago; the exact time is in its title. */
export function Time({ at }: { at: number }) {
  const now = useStore(clock)
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={instant(at)}>
      {relative(at, Math.max(now, 0))}
    </time>
  )
}
