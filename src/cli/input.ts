import { readFile } from 'node:fs/promises'
import { CliError } from './answer.ts'
import { withoutCredentials } from './text.ts'

const MAX_INPUT_BYTES = 2 * 1024 * 1024
/** The longest path of Linux. */
const MAX_NAME_CHARACTERS = 4096

/**
 * What is typed stays in the shell's history, and everybody on the machine sees it while it runs.
 *
 * @throws {CliError} usage, without repeating it, when a credential was given in place of a name
 */
export function refuseCredential(name: string): void {
  if (withoutCredentials(name) === name && name.length <= MAX_NAME_CHARACTERS) return
  throw new CliError('usage', 'the credential itself was given, expected a file or -', {
    hint: 'what is on the command line stays in the shell history; pipe it in instead',
  })
}

/** Reads a file, or standard input for `-`. @throws {CliError} usage, when it cannot be read */
export async function readInput(name: string): Promise<string> {
  let text: string
  try {
    text = name === '-' ? await readStandardInput() : await readFile(name, 'utf8')
  } catch (cause) {
    if (cause instanceof CliError) throw cause
    const code = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new CliError('usage', `cannot read the file (${code})`, { cause })
  }
  if (text.length > MAX_INPUT_BYTES) throw new CliError('usage', 'the input is larger than 2 MiB')
  return text
}

async function readStandardInput(): Promise<string> {
  if (process.stdin.isTTY) {
    throw new CliError('usage', 'nothing was piped in', {
      hint: 'name a file, or pipe the text in',
    })
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_INPUT_BYTES) throw new CliError('usage', 'the input is larger than 2 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
