/** What the admin API refuses (RFC 9457), as the end of a command. */
import type { Problem } from '../admin/schemas.ts'
import { CliError } from './answer.ts'
import { printable } from './text.ts'

/** Undefined when it is no problem of this API. */
export function readProblem(text: string): Problem | undefined {
  try {
    const json: unknown = JSON.parse(text)
    if (typeof json !== 'object' || json === null) return undefined
    const { code, title, status } = json as Problem
    const told = typeof code === 'string' && typeof title === 'string' && typeof status === 'number'
    return told ? (json as Problem) : undefined
  } catch {
    return undefined
  }
}

export function problemError(
  status: number,
  problem: Problem | undefined,
  { where, through }: { readonly where: string; readonly through: 'broker' | 'url' },
): CliError {
  if (problem === undefined) {
    return new CliError('unavailable', `${where} answered ${status}, and is no admin API`, {
      hint: 'is it the admin listener, and is it of this version?',
    })
  }
  const detail = typeof problem.detail === 'string' ? `: ${problem.detail}` : ''
  const message = printable(`${lowerFirst(problem.title)}${detail}`).slice(0, 500)
  const hint = hintOf(problem, { where, through })
  return new CliError(codeOf(problem), message, hint === undefined ? {} : { hint })
}

function codeOf({ code, status }: Problem): CliError['code'] {
  if (code === 'request_invalid' || code === 'request_too_large') return 'usage'
  return status >= 500 || status === 429 ? 'unavailable' : 'refused'
}

function hintOf(
  { code, pointer, status }: Problem,
  { where, through }: { readonly where: string; readonly through: 'broker' | 'url' },
): string | undefined {
  switch (code) {
    case 'signin_required':
      return through === 'url' ? `run writ login --url ${where}` : undefined
    case 'role_insufficient':
      return 'ask an admin to do it, or to give you the role; writ login without --read-only asks for all of yours'
    case 'touch_required':
      return `run writ login --url ${where}, and this command again within five minutes`
    case 'request_invalid':
      return typeof pointer === 'string' && pointer !== ''
        ? printable(`look at ${pointer}`)
        : undefined
    case 'conflict':
      return 'look at it again: somebody else may have changed it'
    case 'audit_unavailable':
      return 'make room for the audit log, then send the broker SIGHUP or restart it'
    default:
      return status >= 500 ? 'look at writ status, and at the log of the broker' : undefined
  }
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1)
}
