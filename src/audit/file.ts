/**
 * The audit log as a file: append-only JSON Lines, flushed before the answer leaves.
 *
 * `record` resolves only after `fdatasync`, so what was acknowledged survives a kill and a power
 * cut. Records that arrive together share one flush. The first write that fails closes the log for
 * good: from then on every record is rejected, and with it every token, until the log is reopened.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { open as openHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { GroupCommit } from '../lib/group-commit.ts'
import { makeDirectory } from '../lib/make-directory.ts'
import { refuse } from '../refusal.ts'
import { appendLines } from './append.ts'
import { maskCredentials } from './mask.ts'
import type { AuditRecord, AuditSink } from './record.ts'

/** Records that may wait for a flush. More means the disk cannot keep up, and the answer is no. */
const MAX_WAITING_RECORDS = 20_000
/** Bytes that may wait for a flush; argument values, where recorded, can be large. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024

/** A sink over one file. */
export interface FileSink extends AuditSink {
  readonly file: string
  /** Why the log takes nothing more; `undefined` while it works. */
  readonly failure: string | undefined
  /** Flushes what was submitted, then closes the file. */
  close(): Promise<void>
}

export interface AuditLogOptions {
  readonly directory: string
  /** Which process writes, for instance `broker.example-4470`. */
  readonly origin: string
  /** Told once for each file that takes nothing more, and why, so that an operator learns of it. */
  readonly onFailure?: (failure: string) => void
}

/** A process's own audit log. */
export interface AuditLog extends FileSink {
  /**
   * Continues in a new file: after a failure, or to rotate. Records already submitted are flushed first.
   *
   * @throws {Error} (as a rejection) when no file can be made, and the old one goes on; when it is closed
   */
  reopen(): Promise<void>
}

/**
 * Appends to `file`, made with mode 0600 when it is not there. A line that a crash cut short is left
 * as it is and ended, so that the next record starts on its own line. One file is for one process.
 *
 * @throws {Error} when the file cannot be opened for appending
 */
export function fileSink(file: string): FileSink {
  return new OpenFile(file, openAppending(file, 0))
}

/**
 * Opens a new log for this process in `directory` (made with mode 0700 when it is not there). The
 * file's name carries the origin, the start time and the process id, so that no two processes and no
 * two starts ever share one.
 *
 * @throws {Error} when the directory or the file cannot be made
 */
export async function openAuditLog(options: AuditLogOptions): Promise<AuditLog> {
  await makeDirectory(options.directory, 0o700)
  const create = async () => {
    const file = join(options.directory, fileName(options.origin))
    const sink = new OpenFile(file, openAppending(file, constants.O_EXCL), options.onFailure)
    try {
      await flushDirectory(options.directory)
    } catch (error) {
      await sink.close()
      throw error
    }
    return sink
  }
  let current = await create()
  // One after the other: each closes the file before its own, and closing the log closes the last.
  let reopened: Promise<void> = Promise.resolve()
  let closed = false
  return {
    get file() {
      return current.file
    },
    get failure() {
      return current.failure
    },
    record: (record) => current.record(record),
    reopen() {
      if (closed) return Promise.reject(new Error('the audit log is closed'))
      const mine = reopened.then(async () => {
        const previous = current
        current = await create()
        await previous.close()
      })
      reopened = mine.catch(() => undefined)
      return mine
    },
    async close() {
      closed = true
      await reopened
      await current.close()
    },
  }
}

class OpenFile implements FileSink {
  readonly file: string
  readonly #fd: number
  readonly #lines: GroupCommit<string>
  readonly #onFailure: ((failure: string) => void) | undefined
  #waitingRecords = 0
  #waitingBytes = 0
  #failure: string | undefined
  #closing: Promise<void> | undefined

  constructor(file: string, fd: number, onFailure?: (failure: string) => void) {
    this.file = file
    this.#fd = fd
    this.#onFailure = onFailure
    this.#lines = new GroupCommit({ commit: (lines) => this.#append(lines) })
  }

  get failure(): string | undefined {
    return this.#failure ?? (this.#closing === undefined ? undefined : 'the log is closed')
  }

  /** @throws {Refusal} `audit_unavailable` (as a rejection) when the record is not durable */
  async record(record: AuditRecord): Promise<void> {
    if (this.failure !== undefined) refuse({ code: 'audit_unavailable', detail: this.failure })
    const line = `${maskCredentials(JSON.stringify(record))}\n`
    if (
      this.#waitingRecords >= MAX_WAITING_RECORDS ||
      this.#waitingBytes + line.length > MAX_WAITING_BYTES
    ) {
      refuse({ code: 'audit_unavailable', detail: 'too many records wait for the disk' })
    }
    this.#waitingRecords += 1
    this.#waitingBytes += line.length
    try {
      await this.#lines.submit(line)
    } catch (error) {
      refuse({ code: 'audit_unavailable', detail: 'the record could not be written' }, error)
    } finally {
      this.#waitingRecords -= 1
      this.#waitingBytes -= line.length
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#lines.close().then(() => closeSync(this.#fd))
    return this.#closing
  }

  async #append(lines: readonly string[]): Promise<void> {
    // After a failed write nobody knows what the file holds; a later success would hide a hole.
    if (this.#failure !== undefined) throw new Error(this.#failure)
    try {
      await appendLines(this.#fd, lines)
    } catch (error) {
      this.#failure = `writing failed: ${(error as NodeJS.ErrnoException).code ?? 'unknown error'}`
      this.#onFailure?.(this.#failure)
      throw error
    }
  }
}

/** `<origin>.<start time>.<pid>-<random>.jsonl`, nothing in it but letters, digits, dots and dashes. */
function fileName(origin: string): string {
  const safe = origin.replace(/[^A-Za-z0-9.-]+/g, '-').replace(/^[.-]+/, '') || 'writ'
  const start = new Date().toISOString().replace(/[-:]/g, '')
  return `${safe}.${start}.${process.pid}-${randomBytes(2).toString('hex')}.jsonl`
}

function openAppending(file: string, extraFlags: number): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants
  let fd: number
  try {
    fd = openSync(file, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR | extraFlags, 0o600)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new Error(`audit log ${file} cannot be opened for appending: ${code}`, { cause: error })
  }
  const stat = fstatSync(fd)
  if (stat.isFile() && stat.size > 0) {
    const last = Buffer.alloc(1)
    readSync(fd, last, 0, 1, stat.size - 1)
    if (last[0] !== 0x0a) writeSync(fd, '\n')
  }
  return fd
}

/** A new file's name is durable only once its directory is. */
async function flushDirectory(directory: string): Promise<void> {
  const handle = await openHandle(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
