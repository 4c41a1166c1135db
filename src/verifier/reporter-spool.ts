/**
 * Keeps what was not reported yet over a stop, in one file for each process that stopped: the batches as
 * they were numbered, so that one which did arrive does not count twice.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
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
/** Of one file, and of all that one start reads. */
const LIMITS = { maxBytes: 256 * 1024 * 1024, maxDepth: 16 }
const MARK_BYTES = 12
/** What the name of a file ends in: not that of a draft, or of what was damaged. */
const MARK = /^[\w-]{16}$/

/** What one process left, and the file it is in. */
export interface Kept extends Spooled {
  readonly file: string
}

/**
 * Everything that earlier processes left. A damaged file is moved aside, and told of.
 *
 * Each process writes one file of its own, which is never written again, so several may read it: what
 * they send twice counts once, and it is gone when the first of them has sent all of it.
 *
 * @param name how the files of these processes begin
 * @throws {Error} when a file cannot be read, or belongs to another client or server
 */
export async function readSpools(
  name: string,
  owner: SpoolOwner,
  onProblem: (problem: string) => void,
): Promise<Kept[]> {
  const found: Kept[] = []
  let room = LIMITS.maxBytes
  for (const file of await filesOf(name)) {
    const bytes = await readOwn(file, room)
    if (bytes === 'too much') break
    if (bytes === undefined) continue
    room -= bytes.byteLength
    const kept = await keptIn(file, bytes, owner, onProblem)
    if (kept !== undefined) found.push({ ...kept, file })
  }
  return found
}

/** The one of this name as well: before, all that was kept was in it. */
async function filesOf(name: string): Promise<string[]> {
  const start = `${basename(name)}.`
  const all = await readdir(dirname(name)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw new Error(`cannot list ${dirname(name)}, where reports are kept`, { cause })
  })
  const own = all.filter((one) => one.startsWith(start) && MARK.test(one.slice(start.length)))
  return [name, ...own.sort().map((one) => join(dirname(name), one))]
}

async function keptIn(
  file: string,
  bytes: Uint8Array,
  owner: SpoolOwner,
  onProblem: (problem: string) => void,
): Promise<Spooled | undefined> {
  const kept = parsed(bytes)
  if (kept === undefined) {
    // Another that starts may have moved it as well.
    await rename(file, `${file}.damaged`).catch(unlessGone)
    onProblem(`${file} was damaged and is now ${file}.damaged: its outcomes are not reported`)
    return undefined
  }
  if (kept.client !== owner.clientId || kept.resource !== owner.resource) {
    throw new Error(`${file} keeps the reports of another verifier: give each its own spoolFile`)
  }
  return kept
}

/**
 * @param room how many bytes of other files and this one are still read; the rest is for a later start
 * @throws {Error} when somebody else may have written it: it would be signed as this verifier's word
 */
async function readOwn(file: string, room: number): Promise<Uint8Array | 'too much' | undefined> {
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
    if (size > LIMITS.maxBytes) return new Uint8Array()
    return size > room ? 'too much' : await handle.readFile()
  } finally {
    await handle.close()
  }
}

/**
 * Writes a whole new file at once, also when the power fails; only this user may read it.
 *
 * @param name how the file begins; what follows is this process' own, so nothing is replaced
 * @throws {Error} when it cannot be written
 */
export async function writeSpool(
  name: string,
  { clientId: client, resource }: SpoolOwner,
  { batches, lost }: Spooled,
): Promise<void> {
  const file = `${name}.${randomBytes(MARK_BYTES).toString('base64url')}`
  const draft = `${file}.draft`
  try {
    await writeWhole(draft, JSON.stringify({ version: 1, client, resource, lost, batches }))
    await rename(draft, file)
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
  await unlink(file).catch(unlessGone)
}

function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
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
