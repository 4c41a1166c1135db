/**
 * Keeps what was not reported yet over a stop, in one file for one process: the batches as they were
 * numbered, so that one which did arrive does not count twice.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isJsonObject, type Json, parseJson } from '../lib/json.ts'
import { HOLDER_KINDS, type HolderKind, type ReportedSession } from '../sessions/report.ts'

/** What is sent as one report, unchanged until it is acknowledged. */
export interface Batch {
  /** The process that counted it. */
  readonly holder: string
  readonly kind: HolderKind
  readonly sequence: number
  readonly sessions: readonly ReportedSession[]
}

export interface Spooled {
  readonly batches: readonly Batch[]
  /** What its process could not count. */
  readonly lost: number
}

/** Whose outcomes these are: a file is read back by nobody else. */
export interface SpoolOwner {
  readonly clientId: string
  readonly resource: string
}

const OTHERS_WRITE = 0o022
const LIMITS = { maxBytes: 256 * 1024 * 1024, maxDepth: 16 }

/**
 * What an earlier process left, or nothing. A damaged file is moved aside, and told of.
 *
 * @throws {Error} when the file cannot be read, or belongs to another client or server
 */
export async function readSpool(
  file: string,
  owner: SpoolOwner,
  onProblem: (problem: string) => void,
): Promise<Spooled> {
  const bytes = await readOwn(file)
  if (bytes === undefined) return { batches: [], lost: 0 }
  const kept = parsed(bytes)
  if (kept === undefined) {
    await rename(file, `${file}.damaged`)
    onProblem(`${file} was damaged and is now ${file}.damaged: its outcomes are not reported`)
    return { batches: [], lost: 0 }
  }
  if (kept.client !== owner.clientId || kept.resource !== owner.resource) {
    throw new Error(`${file} keeps the reports of another verifier: give each its own spoolFile`)
  }
  return kept
}

/** @throws {Error} when somebody else may have written it: it would be signed as this verifier's word */
async function readOwn(file: string): Promise<Uint8Array | undefined> {
  // Without waiting: a pipe in its place would be waited for for ever.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
  const handle = await open(file, flags).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new Error(`cannot read ${file}, which keeps reports`, { cause })
  })
  if (handle === undefined) return undefined
  try {
    const found = await handle.stat()
    const { mode, uid, size } = found
    if (!found.isFile()) throw new Error(`${file} is no file that could keep reports`)
    const own = process.getuid === undefined || uid === process.getuid() || uid === 0
    const shared = process.platform !== 'win32' && (mode & OTHERS_WRITE) !== 0
    if (!own || shared)
      throw new Error(`${file} keeps reports, and other users can write it: remove it`)
    // One that is larger than any that is written is damaged, and not read to find that out.
    return size > LIMITS.maxBytes ? new Uint8Array() : await handle.readFile()
  } finally {
    await handle.close()
  }
}

/**
 * Writes the whole file at once, also when the power fails; only this user may read it.
 *
 * @param replace whether what is there is this process' own
 * @throws {Error} when it cannot be written, or another process has written there
 */
export async function writeSpool(
  file: string,
  { clientId: client, resource }: SpoolOwner,
  { batches, lost }: Spooled,
  replace: boolean,
): Promise<void> {
  const text = JSON.stringify({ version: 1, client, resource, lost, batches })
  const draft = `${file}.${randomBytes(8).toString('hex')}.draft`
  try {
    await writeWhole(draft, text)
    if (replace) await rename(draft, file)
    else await takeName(draft, file, text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new Error(`${file} keeps the reports of another process: give each its own spoolFile`)
  } finally {
    await removeSpool(draft)
  }
  if (process.platform === 'win32') return
  const directory = await open(dirname(file), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Some file systems have no links. There, who starts meanwhile may find half of it, as damaged. */
async function takeName(draft: string, file: string, text: string): Promise<void> {
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error
    await writeWhole(file, text)
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } catch (error) {
    await removeSpool(file)
    throw error
  } finally {
    await handle.close()
  }
}

export async function removeSpool(file: string): Promise<void> {
  await unlink(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
}

/** The broker checks every session; here only what this process relies on. */
function parsed(bytes: Uint8Array): (Spooled & { client: unknown; resource: unknown }) | undefined {
  try {
    const value = parseJson(bytes, LIMITS)
    if (!isJsonObject(value) || value.version !== 1) return undefined
    const { client, resource, lost, batches } = value
    if (!Array.isArray(batches) || !Number.isSafeInteger(lost)) return undefined
    return { client, resource, lost: lost as number, batches: batches.map(batchOf) }
  } catch {
    return undefined
  }
}

/** @throws {Error} */
function batchOf(json: Json): Batch {
  const { holder, kind, sequence, sessions } = json as unknown as Batch
  const known = typeof holder === 'string' && HOLDER_KINDS.includes(kind)
  if (!known || !Number.isSafeInteger(sequence) || !Array.isArray(sessions)) {
    throw new Error('not a batch')
  }
  return { holder, kind, sequence, sessions }
}
