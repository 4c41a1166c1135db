/**
 * What a command says and how it ends. Every command prints its answer on standard output and its
 * errors on standard error; with `--json`, exactly one object on standard output, errors too.
 */
import { jsonText, printable } from './text.ts'

/** Documented in this folder's README; scripts depend on these. */
export const EXIT = {
  ok: 0,
  /** The question was understood and the answer is no: refused, denied, different, not valid. */
  no: 1,
  /** The command line or the configuration is wrong. */
  usage: 2,
  /** Something this needs cannot be reached: a store, a broker, an MCP server. */
  unavailable: 3,
  /** A bug in Writ. */
  bug: 4,
} as const

type ExitCode = (typeof EXIT)[keyof typeof EXIT]

export interface Answer {
  /** Without `ok`; that follows from the exit code. */
  readonly json: Readonly<Record<string, unknown>>
  /** The same for people; no newline at the end. */
  readonly text: string
  readonly exitCode?: 0 | 1
  /** What stays done when the answer cannot be written. */
  readonly done?: string
  /** All was said while it ran. */
  readonly printed?: true
}

/** An end of a command that is not an answer. */
export class CliError extends Error {
  readonly code: 'refused' | 'usage' | 'configuration' | 'unavailable' | 'bug'
  readonly hint: string | undefined

  constructor(
    code: CliError['code'],
    message: string,
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause })
    this.name = 'CliError'
    this.code = code
    this.hint = options.hint
  }

  get exitCode(): ExitCode {
    return EXIT_OF[this.code]
  }
}

const EXIT_OF: Readonly<Record<CliError['code'], ExitCode>> = {
  refused: EXIT.no,
  usage: EXIT.usage,
  configuration: EXIT.usage,
  unavailable: EXIT.unavailable,
  bug: EXIT.bug,
}

/** Of the answer that is being written. */
let done: string | undefined

/**
 * The end of a command whose answer cannot be written (a full disk). It is no "no": that code would be
 * believed.
 */
export function endUnwritten(why: string): never {
  const known = done === undefined ? '' : `; ${done}`
  process.stderr.write(`writ: error: the answer cannot be written (${why})${printable(known)}\n`)
  process.exit(EXIT.unavailable)
}

export function printAnswer(answer: Answer, json: boolean): void {
  done = answer.done
  const ok = (answer.exitCode ?? EXIT.ok) === EXIT.ok
  process.exitCode = answer.exitCode ?? EXIT.ok
  if (answer.printed) return
  const text = json ? jsonText({ ok, ...answer.json }) : answer.text
  if (text !== '') process.stdout.write(`${text}\n`)
}

export function printError(error: CliError, json: boolean): void {
  const { code, message, hint } = error
  if (json) {
    const shown = { code, message, ...(hint === undefined ? {} : { hint }) }
    process.stdout.write(`${jsonText({ ok: false, error: shown })}\n`)
  } else {
    process.stderr.write(`writ: error: ${shownLines(message)}\n`)
    if (hint !== undefined) process.stderr.write(`writ: hint: ${shownLines(hint)}\n`)
  }
  process.exitCode = error.exitCode
}

/** An error may repeat what somebody else has said; its lines are its own. */
function shownLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}
