import { SelectField, TextField } from '../ui/field.tsx'
import { relative, zoneAt } from '../ui/time.tsx'

/** When a revocation ends by itself: after a time, at a time, or never. */
export interface End {
  /** `--for` of the command; `at` for a date and a time; '' for never. */
  readonly after: string
  /** A local date and time, as in 2026-01-31T08:00. */
  readonly at: string
}

export const NEVER: End = { after: '', at: '' }

/** `--for` of the command, what it is called, and its length in seconds. */
const ENDS = [
  ['', 'Does not end', 0],
  ['15m', 'After 15 minutes', 900],
  ['1h', 'After an hour', 3_600],
  ['8h', 'After 8 hours', 28_800],
  ['1d', 'After a day', 86_400],
  ['7d', 'After 7 days', 604_800],
  ['at', 'At a date and time …', 0],
] as const

/** Seconds since the epoch; undefined for what does not end, NaN for no time. */
export function untilOf({ after, at }: End, now: number): number | undefined {
  if (after === 'at') return Date.parse(at) / 1000
  const seconds = ENDS.find(([each]) => each === after)?.[2] ?? 0
  return seconds === 0 ? undefined : Math.round(now) + seconds
}

/** @returns what is wrong, for the field */
export function endProblem(end: End, now: number): string | undefined {
  const until = untilOf(end, now)
  if (until === undefined || until > now) return undefined
  return Number.isNaN(until)
    ? 'Choose a date and a time'
    : 'This is in the past: choose a time to come'
}

/** The same as options of the command. */
export function endOptions(end: End): string {
  if (end.after !== 'at') return end.after === '' ? '' : ` --for ${end.after}`
  const at = Date.parse(end.at)
  return Number.isNaN(at)
    ? ' --until …'
    : ` --until ${new Date(at).toISOString().replace('.000', '')}`
}

interface EndProps {
  readonly end: End
  readonly onEnd: (end: End) => void
  readonly asked: boolean
}

export function EndFields({ end, onEnd, asked }: EndProps) {
  const now = Date.now() / 1000
  const until = untilOf(end, now)
  const known = until !== undefined && !Number.isNaN(until)
  const zone = `Your time, ${zoneAt(known ? until : now)}`
  return (
    <>
      <SelectField
        label="Ends"
        value={end.after}
        onValue={(after) => onEnd({ ...end, after })}
        options={ENDS.map(([value, text]) => [value, text])}
      />
      {end.after === 'at' && (
        <TextField
          label="Date and time"
          type="datetime-local"
          required
          value={end.at}
          onValue={(at) => onEnd({ ...end, at })}
          hint={known ? `${zone}: ${relative(until, now)}` : zone}
          wrong={asked || end.at !== '' ? endProblem(end, now) : undefined}
        />
      )}
    </>
  )
}
