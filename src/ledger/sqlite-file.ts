/** The file of a SQLite ledger: for its owner only, and for one process at a time. */
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

/** Marks have random ids, so the whole of what is live is read again and again. */
const CACHE_KIB = 32 * 1024

/** @throws {Error} saying that another process holds the file, or why it cannot be opened */
export async function openFile(file: string, lockWaitMs: number): Promise<DatabaseSync> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  makeFile(file)
  const giveUpAt = performance.now() + lockWaitMs
  for (;;) {
    const database = new DatabaseSync(file, { timeout: 0 })
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL')
      database.exec(`PRAGMA synchronous = FULL; PRAGMA cache_size = -${CACHE_KIB}`)
      database.exec('BEGIN EXCLUSIVE; COMMIT')
      return database
    } catch (error) {
      database.close()
      if (!isBusy(error)) throw error
      if (performance.now() >= giveUpAt) {
        throw new Error(
          `${file} is in use by another process; SQLite is for one process, use Redis for more`,
          { cause: error },
        )
      }
    }
    await sleep(50)
  }
}

/** SQLite gives the -wal file the mode of the main one, so that one is made first. */
function makeFile(file: string): void {
  try {
    // Never opened when it exists: closing any descriptor of a file drops all locks that the
    // process has on it (POSIX), those of another ledger in this process too.
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  chmodSync(file, 0o600)
}

function isBusy(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 5 || code === 6
}
