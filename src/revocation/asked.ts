/** What a broker is asked to stop or to let go, and what has to be right about it. */
import { FARTHEST_SECONDS } from '../lib/farthest.ts'
import { parseTarget, type Target } from './target.ts'

export interface RevocationRequest {
  readonly target: Target
  /** Seconds since the epoch: when the last token it concerns has expired. Never, when not given. */
  readonly until?: number | undefined
  readonly reason: string
  readonly by: string
}

export interface UndoRequest {
  readonly reason: string
  readonly by: string
}

/** Brokers' clocks may differ, so `before` may be a little later than now. */
const BEFORE_AHEAD_SECONDS = 300

/** Whether it is a time so far off that nothing would be let through for long, and that for good. */
export function isFarOff({ kind, value }: Target, now: number): boolean {
  return kind === 'before' && Number(value) > now + BEFORE_AHEAD_SECONDS
}

/** @throws {TypeError} a target, reason or end of another form, or a time that is far off */
export function checkRequest({ target, until, reason, by }: RevocationRequest, now: number) {
  if (isFarOff(target, now)) throw new TypeError('a time to come cannot be undone')
  checkWhy(reason, by)
  if (until !== undefined && !(until >= 0 && until < FARTHEST_SECONDS)) {
    throw new TypeError('until must be in seconds since the epoch')
  }
  return {
    target: parseTarget({ ...target }),
    reason,
    by,
    ...(until === undefined ? {} : { until }),
  }
}

/** @throws {TypeError} */
export function checkWhy(reason: string, by: string): void {
  if (typeof reason !== 'string' || reason.length > 1024 || typeof by !== 'string') {
    throw new TypeError('reason and by must be text, reason of at most 1024 characters')
  }
}
