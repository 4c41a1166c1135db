/**
 * The ledger of one process in one file, durable: a spend is answered after the COMMIT that holds it,
 * and a COMMIT returns after the disk has it (WAL, synchronous=FULL). Spends that arrive together
 * share a commit.
 *
 * The file is locked for as long as it is open. Two processes could spend in it safely, but the
 * revocation feed lives inside the process, and an operator who shares the file by mistake should
 * learn it at the start and not from a verifier that never hears a heartbeat.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { GroupCommit } from '../lib/group-commit.ts'
import { steadyClock } from '../lib/steady-clock.ts'
import { Refusal } from '../refusal.ts'
import { memoryFeed } from '../revocation/memory-feed.ts'
import {
  checkEpoch,
  checkId,
  checkIssuedAt,
  checkLimit,
  firstIssueAfter,
  keptUntil,
  unavailable,
} from './bounds.ts'
import type { Ledger } from './ledger.ts'
import { sqliteDocuments } from './sqlite-documents.ts'
import { openFile } from './sqlite-file.ts'
import { sweeper } from './sqlite-purge.ts'
import { sqliteSessions } from './sqlite-sessions.ts'

export interface SqliteLedgerOptions {
  /** Created when missing, readable by its owner only. */
  readonly file: string
  /** A broker's ledger keeps feed, documents and sessions too. `verifier` by default. */
  readonly role?: 'broker' | 'verifier'
  /** How far the clock of whoever issues tokens may be ahead of this machine's; 0 by default. */
  readonly clockToleranceSeconds?: number
  /** How long `open` waits for a process that is about to end to let go of the file; 3,000 ms. */
  readonly lockWaitMs?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS mark (
    id TEXT PRIMARY KEY, until INTEGER NOT NULL, value TEXT NOT NULL, uses INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS feed (
    id TEXT PRIMARY KEY, text TEXT NOT NULL, until REAL
  ) STRICT, WITHOUT ROWID;
  DROP INDEX IF EXISTS mark_until;`

type Work = (now: number) => void

export function sqliteLedger(options: SqliteLedgerOptions): Ledger {
  const clock = options.clock ?? steadyClock()
  let database: DatabaseSync | undefined
  let statements: Statements | undefined
  let since = Number.POSITIVE_INFINITY
  let closing = false

  const commits = new GroupCommit<Work>({
    commit(batch) {
      if (database === undefined || statements === undefined) throw unavailable('not open')
      const now = clock()
      try {
        database.exec('BEGIN IMMEDIATE')
        // A use adds two: itself, and its proof.
        statements.sweep(now, 2 * batch.length)
        documents?.purge(now)
        sessions?.purge(now)
        for (const work of batch) work(now)
        database.exec('COMMIT')
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw unavailable('the SQLite file could not be written', error)
      }
    },
  })

  /** Runs `work` inside the next commit and answers with what it found once that is durable. */
  async function commit<T>(work: (now: number, sql: Statements) => T): Promise<T> {
    const sql = opened()
    let found: { value: T } | { refusal: Refusal } | undefined
    await commits.submit((now) => {
      try {
        found = { value: work(now, sql) }
      } catch (error) {
        // A refusal is its caller's alone; anything else undoes what shares the commit.
        if (!(error instanceof Refusal)) throw error
        found = { refusal: error }
      }
    })
    if (found === undefined) throw new Error('committed without having run')
    if ('refusal' in found) throw found.refusal
    return found.value
  }

  function opened(): Statements {
    if (statements === undefined || closing) throw unavailable('the ledger is not open')
    return statements
  }

  /** Answers from what is committed: nothing runs between the statements of a commit. */
  function read<T>(question: (now: number) => T): T {
    opened()
    const now = clock()
    try {
      return question(now)
    } catch (error) {
      if (error instanceof Refusal) throw error
      throw unavailable('the SQLite file could not be read', error)
    }
  }

  const isBroker = options.role === 'broker'
  const documents = isBroker ? sqliteDocuments({ commit, read }) : undefined
  const sessions = isBroker ? sqliteSessions({ commit, read, clock }) : undefined
  const feed = isBroker
    ? memoryFeed({
        load: () => {
          return opened()
            .feed.all()
            .map((row) => ({
              id: String(row.id),
              text: String(row.text),
              expiresAt: row.until === null ? undefined : Number(row.until),
            }))
        },
        // One part of one commit, however many there are.
        save: (entries) =>
          commit((now, sql) => {
            sql.feedPurge.run(now)
            for (const { id, text, expiresAt } of entries) {
              sql.feedSave.run(id, text, expiresAt ?? null)
            }
          }),
      })
    : undefined

  return {
    kind: 'sqlite',
    feed,
    documents: documents?.documents,
    sessions: sessions?.sessions,

    async spend(id, expiresAt, issuedAt) {
      checkId(id)
      checkIssuedAt(issuedAt)
      const until = keptUntil(expiresAt, clock())
      checkEpoch(issuedAt, since)
      return commit((now, sql) => mark(sql, now, `s${id}`, until))
    },

    async use(id, limit, proof, expiresAt, issuedAt) {
      checkId(id)
      checkId(proof, 'proof')
      checkLimit(limit)
      checkIssuedAt(issuedAt)
      const until = keptUntil(expiresAt, clock())
      checkEpoch(issuedAt, since)
      return commit((now, sql) => {
        if (!mark(sql, now, `s${proof}`, until)) return false
        return sql.use.run(`u${id}`, until, now, limit, now).changes === 1
      })
    },

    async isSpent(id) {
      checkId(id)
      return read((now) => opened().spent.get(`s${id}`, now) !== undefined)
    },

    async bind(id, value, expiresAt) {
      checkId(id)
      checkId(value, 'value')
      const until = keptUntil(expiresAt, clock())
      return commit((now, sql) => {
        sql.bind.run(`b${id}`, until, value, now)
        return (sql.find.get(`b${id}`) as { value: string }).value
      })
    },

    honoursFrom() {
      if (statements === undefined) throw unavailable('the ledger is not open')
      return since
    },

    async open() {
      if (database !== undefined) return
      const made = await openFile(options.file, options.lockWaitMs ?? 3000)
      try {
        made.exec(SCHEMA)
        documents?.attach(made)
        sessions?.attach(made)
        // A file made just now may replace one that was lost: nothing older than it is remembered.
        const first = firstIssueAfter(clock(), options.clockToleranceSeconds ?? 0)
        made.prepare(`INSERT OR IGNORE INTO meta VALUES ('since', ?)`).run(first)
        const row = made.prepare(`SELECT value FROM meta WHERE name = 'since'`).get()
        since = Number(row?.value)
      } catch (error) {
        made.close()
        throw new Error(`${options.file} is not a ledger that can be used`, { cause: error })
      }
      database = made
      statements = prepare(made)
      const waitSeconds = since - clock()
      if (waitSeconds > 0 && options.clock === undefined) await sleep(waitSeconds * 1000)
    },

    async close() {
      closing = true
      await commits.close()
      statements = undefined
      database?.close()
      database = undefined
    },
  }
}

function mark(sql: Statements, now: number, id: string, until: number): boolean {
  return sql.mark.run(id, until, now).changes === 1
}

type Statements = ReturnType<typeof prepare>

function prepare(database: DatabaseSync) {
  const sql = (text: string): StatementSync => database.prepare(text)
  // An expired row that is not purged yet counts as absent, so each insert may take its place.
  return {
    mark: sql(`INSERT INTO mark VALUES (?, ?, '', 0) ON CONFLICT (id) DO UPDATE
      SET until = excluded.until WHERE mark.until <= ?`),
    use: sql(`INSERT INTO mark VALUES (?, ?, '', 1) ON CONFLICT (id) DO UPDATE
      SET uses = CASE WHEN mark.until <= ? THEN 1 ELSE mark.uses + 1 END,
          until = MAX(mark.until, excluded.until)
      WHERE mark.uses < ? OR mark.until <= ?`),
    bind: sql(`INSERT INTO mark VALUES (?, ?, ?, 0) ON CONFLICT (id) DO UPDATE
      SET until = excluded.until, value = excluded.value WHERE mark.until <= ?`),
    spent: sql(`SELECT 1 FROM mark WHERE id = ? AND until > ?`),
    find: sql(`SELECT value FROM mark WHERE id = ?`),
    sweep: sweeper(database),
    feed: sql(`SELECT id, text, until FROM feed`),
    feedSave: sql(`INSERT OR REPLACE INTO feed VALUES (?, ?, ?)`),
    feedPurge: sql(`DELETE FROM feed WHERE until < ?`),
  }
}
