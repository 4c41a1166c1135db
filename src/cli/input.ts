import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
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

/** Reads a file, or standard input for `-`. @throws {CliError} usage, when it cannot be read or is too large */
export async function readInput(name: string): Promise<string> {
  try {
    return await readAll(name === '-' ? standardInput() : createReadStream(name))
  } catch (cause) {
    if (cause instanceof CliError) throw cause
    const code = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new CliError('usage', `cannot read the file (${code})`, { cause })
  }
}

function standardInput(): Readable {
  if (!process.stdin.isTTY) return process.stdin
  throw new CliError('usage', 'nothing was piped in', {
    hint: 'name a file, or pipe the text in',
  })
}

/** A device or a pipe need not come to an end. */
async function readAll(input: Readable): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_INPUT_BYTES) throw new CliError('usage', 'the input is larger than 2 MiB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
