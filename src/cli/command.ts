import type { Command } from 'commander'
import { type Answer, CliError, printAnswer } from './answer.ts'
import { printable } from './text.ts'

/** What a command does: its options, then its positional arguments. */
export type Run<Options> = (options: Options, ...positional: string[]) => Promise<Answer>

/** Adds what every command has: `--json`, an example, and one answer at the end. */
export function finish<Options extends object>(
  command: Command,
  example: string,
  run: Run<Options>,
): Command {
  return command
    .option('--json', 'print exactly one JSON object')
    .addHelpText('after', `\nExample:\n  ${example}`)
    .action(async () => {
      // `--json` may stand anywhere: commander gives it to whichever part of the line knows it first.
      const options = command.optsWithGlobals<Options>()
      const answer = await run(options, ...(command.processedArgs as string[]))
      printAnswer(answer, 'json' in options)
    })
}

/** A word that only leads to subcommands, as in `writ keys`. */
export function addGroup(root: Command, name: string, description: string): Command {
  return root.command(name).description(description).option('--json').helpCommand(false)
}

/** An id as the last of a command line: one that begins with `-` would be taken for an option. */
export function asArgument(id: string): string {
  return id.startsWith('-') ? `-- ${id}` : id
}

/**
 * Seconds of a duration as in `30s`, `15m`, `2h`, `7d`.
 *
 * @param examples for people
 * @throws {CliError} usage
 */
export function parseDuration(text: string, examples: string): number {
  const match = /^([1-9]\d*)([smhd])$/.exec(text)
  const [, digits = '', unit = ''] = match ?? []
  const shown = `"${printable(text)}"`
  if (match === null) {
    throw new CliError('usage', `${shown} is no duration, expected one as in ${examples}`)
  }
  if (digits.length > MAX_DIGITS) {
    const most = `${'9'.repeat(MAX_DIGITS)}${unit}`
    throw new CliError('usage', `${shown} is too long a duration, at most ${most}`)
  }
  return Number(digits) * (UNIT_SECONDS[unit] ?? Number.NaN)
}

const MAX_DIGITS = 6
const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
