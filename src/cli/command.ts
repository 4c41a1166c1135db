import type { Command } from 'commander'
import { type Answer, printAnswer } from './answer.ts'

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

/** Seconds of a duration as in `30s`, `15m`, `2h`, `7d`; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const match = /^([1-9]\d{0,5})([smhd])$/.exec(text)
  if (match === null) return undefined
  return Number(match[1]) * (UNIT_SECONDS[match[2] ?? ''] ?? Number.NaN)
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
