/** What a command line asks to be stopped, and the same said as a command. */
import { commandOf } from '../admin/shell.ts'
import type { Target } from '../revocation/target.ts'
import { parseTargetText, TARGET_TEXT_HINT, targetText } from '../revocation/target-text.ts'
import type { AdminClient } from './admin-client.ts'
import { CliError } from './answer.ts'
import { parseDuration } from './command.ts'
import { type AdminOptions, sameBroker } from './open-admin.ts'
import { printable } from './text.ts'

export interface RevokeOptions extends AdminOptions {
  reason?: string
  for?: string
  until?: string
  dryRun?: boolean
  wait?: boolean
}

/** What is to be stopped, why and until when. */
export interface Wish {
  readonly targets: readonly Target[]
  readonly reason: string
  /** Seconds since the epoch. */
  readonly until?: number
}

const NO_REASON = 'not given'

/** @throws {CliError} usage */
export function parseWish(options: RevokeOptions, texts: readonly string[], now: number): Wish {
  const { reason = NO_REASON } = options
  if (reason.trim() === '') {
    throw new CliError('usage', 'the reason is empty', { hint: 'give one, or leave --reason out' })
  }
  return { targets: texts.map(targetOf), reason, ...untilOf(options, now) }
}

/** The command that does it, at the same broker: all that was asked, but for how it was to be shown. */
export function commandToDo(
  options: RevokeOptions,
  targets: readonly Target[],
  admin: AdminClient,
): string {
  const { reason, for: duration, until, wait } = options
  return commandOf(
    ...['writ', 'revoke', ...targets.map(targetText)],
    ...(reason === undefined ? [] : ['--reason', reason]),
    ...(duration === undefined ? [] : ['--for', duration]),
    ...(until === undefined ? [] : ['--until', until]),
    ...(wait ? ['--wait'] : []),
    ...sameBroker(options, admin),
  )
}

function targetOf(text: string): Target {
  try {
    return parseTargetText(text)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    const why = text.startsWith('before:') ? TIMES : error.message
    const message = `"${printable(text)}" is no target: ${why}`
    throw new CliError('usage', message, { hint: TARGET_TEXT_HINT })
  }
}

const TIMES = 'before takes a time as in 2026-01-31T08:00:00Z, or seconds since the epoch'

function untilOf(options: RevokeOptions, now: number): { until?: number } {
  const { for: duration, until } = options
  if (duration !== undefined && until !== undefined) {
    throw new CliError('usage', 'give --for or --until, and not both')
  }
  if (until !== undefined) return { until: instantOf(until, now) }
  if (duration === undefined) return {}
  return { until: Math.ceil(now + parseDuration(duration, '15m, 2h or 7d')) }
}

function instantOf(text: string, now: number): number {
  const whole = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(text)
  const seconds = whole ? Date.parse(text) / 1000 : Number.NaN
  if (seconds > now) return seconds
  throw new CliError('usage', `"${printable(text)}" is no time to come`, {
    hint: 'as in 2026-01-31T08:00:00Z, or with +01:00 instead of Z',
  })
}
