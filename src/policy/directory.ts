/** The policy files of a directory as they were at one moment, and a cheap way to see that they changed. */
import { type BigIntStats, constants } from 'node:fs'
import { open, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PolicyFile } from './check.ts'

const MAX_TOTAL_BYTES = 8 * 1024 * 1024
/** How often a directory that changes while it is read is read again; all pauses together take 0.5 s. */
const ATTEMPTS = 10
const PAUSE_MS = 10

/** What a directory held, or why that is no set of policies. */
export type PolicyReading = {
  /** As `stampOf` says it; empty for a directory that never held still. */
  readonly stamp: string
} & ({ readonly files: PolicyFile[] } | { readonly problem: Error })

/**
 * Reads `*.cedar`, in the order of their names, as they all were at one moment: files that are
 * replaced, removed or written meanwhile are read again, a few times.
 *
 * An empty file is one that somebody is about to write: taken as it is, its forbids would be gone.
 * Never rejects.
 */
export async function readDirectory(directory: string): Promise<PolicyReading> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await sleep(PAUSE_MS * attempt)
    const reading = await readOnce(directory)
    // Each file was open before this look and is the same after it: there was a moment when all were.
    // What is wrong counts, like what is right, only of a state that held.
    if ((await stampOf(directory)) === reading.stamp) return reading
  }
  return { stamp: '', problem: new Error(`${directory} keeps changing while it is read`) }
}

/**
 * The files of `readDirectory`.
 *
 * @throws {Error} when the directory cannot be read or does not hold still, holds no policy file, an
 *   empty one, one that is no UTF-8 or no file, or too much text
 */
export async function readPolicies(directory: string): Promise<PolicyFile[]> {
  const reading = await readDirectory(directory)
  if ('problem' in reading) throw reading.problem
  return reading.files
}

/** Differs whenever a file was added, removed, replaced or written, or cannot be read any more. Never rejects. */
export async function stampOf(directory: string): Promise<string> {
  try {
    const stamps: string[] = []
    for (const name of await policyNames(directory)) {
      stamps.push(stampOfFile(name, await seen(join(directory, name))))
    }
    return stamps.join('\n')
  } catch (error) {
    return unreadable(error)
  }
}

async function readOnce(directory: string): Promise<PolicyReading> {
  let names: string[]
  try {
    names = await policyNames(directory)
  } catch (error) {
    return { stamp: unreadable(error), problem: error as Error }
  }
  const stamps: string[] = []
  const files: PolicyFile[] = []
  let problem =
    names.length === 0
      ? new Error(`${directory} holds no *.cedar file; without a policy nobody may do anything`)
      : undefined
  let bytesLeft = MAX_TOTAL_BYTES
  for (const name of names) {
    const read = await readText(join(directory, name), bytesLeft)
    stamps.push(stampOfFile(name, read.found))
    if ('problem' in read) {
      problem ??= read.problem
      continue
    }
    bytesLeft -= read.bytes
    files.push({ name, text: read.text })
  }
  const stamp = stamps.join('\n')
  return problem === undefined ? { stamp, files } : { stamp, problem }
}

type Found = BigIntStats

type ReadText = { readonly found: Found | string } & (
  | { readonly text: string; readonly bytes: number }
  | { readonly problem: Error }
)

/** The text of the very file whose state is returned, whatever its name leads to by then. */
async function readText(path: string, bytesLeft: number): Promise<ReadText> {
  let found: Found | undefined
  try {
    // A pipe by that name would keep an ordinary `open` waiting for ever.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    found = await handle.stat({ bigint: true })
    if (!found.isFile()) throw new Error(`${path} is no file`)
    if (found.size > bytesLeft) {
      throw new Error(`${path} is too large; all policies have at most ${MAX_TOTAL_BYTES} bytes`)
    }
    const content = await handle.readFile()
    const text = decode(content)
    if (text === undefined) throw new Error(`${path} is not UTF-8`)
    if (text.trim() === '') throw new Error(`${path} is empty; remove it`)
    return { found, text, bytes: content.length }
  } catch (error) {
    const problem = error as Error
    if (found !== undefined) return { found, problem }
    const code = codeOf(error)
    // What is gone counts as gone, whatever has come by now; what may not be opened can be seen all the same.
    return { found: code === 'ENOENT' ? code : await seen(path), problem }
  }
}

/** What is there, or the code of why that cannot be said. */
async function seen(path: string): Promise<Found | string> {
  return await stat(path, { bigint: true }).catch(codeOf)
}

function decode(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    return undefined
  }
}

function stampOfFile(name: string, found: Found | string): string {
  if (typeof found === 'string') return `${name} ${found}`
  const { ino, size, mtimeNs, ctimeNs } = found
  return `${name} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
}

function unreadable(error: unknown): string {
  return `unreadable: ${codeOf(error)}`
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown'
}

async function policyNames(directory: string): Promise<string[]> {
  const names = await readdir(directory)
  return names.filter((name) => name.endsWith('.cedar') && !name.startsWith('.')).sort()
}
