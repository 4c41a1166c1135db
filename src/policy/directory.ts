/** The policy files of a directory, and a cheap way to see that they changed. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PolicyFile } from './check.ts'

const MAX_TOTAL_BYTES = 8 * 1024 * 1024

/**
 * Reads `*.cedar`, in the order of their names.
 *
 * An empty file is one that somebody is about to write: taken as it is, its forbids would be gone.
 *
 * @throws {Error} when the directory cannot be read, holds no policy file, an empty one, or too much text
 */
export async function readPolicies(directory: string): Promise<PolicyFile[]> {
  const names = await policyNames(directory)
  if (names.length === 0) {
    throw new Error(`${directory} holds no *.cedar file; without a policy nobody may do anything`)
  }
  const files: PolicyFile[] = []
  let bytes = 0
  for (const name of names) {
    const content = await readFile(join(directory, name))
    bytes += content.length
    if (bytes > MAX_TOTAL_BYTES)
      throw new Error(`${directory} holds more than ${MAX_TOTAL_BYTES} bytes`)
    const text = decode(content)
    if (text === undefined) throw new Error(`${join(directory, name)} is not UTF-8`)
    if (text.trim() === '') throw new Error(`${join(directory, name)} is empty; remove it`)
    files.push({ name, text })
  }
  return files
}

function decode(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    return undefined
  }
}

/** Differs whenever a file was added, removed, replaced or written. */
export async function stampOf(directory: string): Promise<string> {
  const stamps: string[] = []
  for (const name of await policyNames(directory)) {
    const { ino, size, mtimeNs, ctimeNs } = await stat(join(directory, name), { bigint: true })
    stamps.push(`${name} ${ino} ${size} ${mtimeNs} ${ctimeNs}`)
  }
  return stamps.join('\n')
}

async function policyNames(directory: string): Promise<string[]> {
  const names = await readdir(directory)
  return names.filter((name) => name.endsWith('.cedar') && !name.startsWith('.')).sort()
}
