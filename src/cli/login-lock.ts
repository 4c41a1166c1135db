/**
 * One command at a time changes the saved sign-ins. A refresh token that two commands use at once ends
 * the whole sign-in: the broker cannot tell the second from a thief.
 *
 * The lock is an SQLite transaction on a file of its own, because the operating system takes it away
 * from a process that dies; a lock file would stay, and nobody could tell.
 */
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CliError } from './answer.ts'
import { makeDirectory } from './login-file.ts'

const WAIT_MS = 45_000
const LOOK_EVERY_MS = 50
/** SQLITE_BUSY */
const BUSY = 5

/** @throws {CliError} unavailable, when another command does not let go of it */
export async function whileLocked<T>(directory: string, run: () => Promise<T>): Promise<T> {
  const { DatabaseSync } = await import('node:sqlite')
  await makeDirectory(directory)
  const path = join(directory, 'lock')
  const database = new DatabaseSync(path)
  try {
    await chmod(path, 0o600)
    const until = performance.now() + WAIT_MS
    for (;;) {
      try {
        database.exec('BEGIN EXCLUSIVE')
        break
      } catch (error) {
        if ((error as { errcode?: number }).errcode !== BUSY) throw error
        if (performance.now() > until) {
          throw new CliError('unavailable', 'another writ command is signing in all this time')
        }
        await sleep(LOOK_EVERY_MS)
      }
    }
    return await run()
  } finally {
    database.close()
  }
}
