/**
 * What one process at a time may do. The lock is an SQLite transaction on a file of its own, because the
 * operating system takes it away from a process that dies; a lock file would stay, and nobody could tell.
 */
import { chmod } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from './answer.ts'

const WAIT_MS = 45_000
const LOOK_EVERY_MS = 50
/** SQLITE_BUSY */
const BUSY = 5

/**
 * Runs it when nobody else does; `file` is made, for this user alone, and stays.
 *
 * @param busy what to say when another process does not let go of it
 * @throws {CliError} unavailable
 */
export async function whileLocked<T>(
  file: string,
  busy: string,
  run: () => Promise<T>,
): Promise<T> {
  const { DatabaseSync } = await import('node:sqlite')
  const until = performance.now() + WAIT_MS
  let database: InstanceType<typeof DatabaseSync> | undefined
  try {
    for (;;) {
      try {
        database ??= new DatabaseSync(file)
        await chmod(file, 0o600)
        database.exec('BEGIN EXCLUSIVE')
        break
      } catch (error) {
        const { errcode, message } = error as Error & { readonly errcode?: number }
        if (errcode !== BUSY) throw new CliError('unavailable', `cannot lock ${file}: ${message}`)
        if (performance.now() > until) throw new CliError('unavailable', busy)
        await sleep(LOOK_EVERY_MS)
      }
    }
    return await run()
  } finally {
    database?.close()
  }
}
