/**
 * The log of the process, for operators. Requests are not logged: the audit is their record. Bodies,
 * headers and tokens never come here; as a last line of defence, what looks like a credential in an
 * error's text is masked.
 */
import { type Logger, pino } from 'pino'
import { maskCredentials } from '../audit/mask.ts'

/** JSON lines on standard output. */
export function createLog(level = 'info'): Logger {
  return pino({ level, base: undefined, serializers: { err: describeError } })
}

/** Type, message and place of an error; none of its own members, which may hold anything. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { message: 'something that is not an Error was thrown' }
  return {
    type: error.name,
    message: maskCredentials(error.message),
    stack: maskCredentials(error.stack ?? ''),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}
