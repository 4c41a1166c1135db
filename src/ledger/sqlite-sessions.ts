import type { DatabaseSync } from 'node:sqlite'
import { unavailable } from './bounds.ts'
import type { SessionBook } from './session-book.ts'
import {
  type Checked,
  checkedBatch,
  checkSessionId,
  checkSessionList,
  KEEP_SECONDS,
} from './session-bounds.ts'
import { KEPT_ACTIONS, merged } from './session-merge.ts'
import { parseAction, parseSession, sessionText } from './session-text.ts'
import type { SqliteConnection, SqlitePart } from './sqlite-documents.ts'
import { purger } from './sqlite-purge.ts'

export interface SqliteSessionsOptions extends SqliteConnection {
  /** Seconds since the epoch. */
  readonly clock: () => number
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, last_seen REAL NOT NULL, text TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS session_seen ON session (last_seen, id);
  CREATE TABLE IF NOT EXISTS session_action (
    session TEXT NOT NULL, at REAL NOT NULL, key TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (session, at, key)
  ) STRICT, WITHOUT ROWID;`

const PURGED_PER_COMMIT = 8

/** Sessions in the ledger's file; a batch is one part of one commit. */
export function sqliteSessions(
  options: SqliteSessionsOptions,
): SqlitePart & { readonly sessions: SessionBook } {
  const { commit, read, clock } = options
  let prepared: Statements | undefined

  function sql(): Statements {
    if (prepared === undefined) throw unavailable('the ledger is not open')
    return prepared
  }

  function applyOne(
    { update, rows }: Checked,
    source: string,
    sequence: number,
    now: number,
  ): void {
    const { id } = update
    const found = sql().find.get(id, now - KEEP_SECONDS)
    const kept = found && parseSession(id, String(found.text))
    const next = merged(kept, update, source, sequence, now)
    if (next === undefined) return
    // What was kept until now and is over, but not dropped yet.
    if (kept === undefined) sql().dropActions.run(id)
    sql().put.run(id, next.session.lastSeen, sessionText(next))
    for (const { at, key, text } of rows) sql().addAction.run(id, at, key, text)
    if (rows.length > 0) sql().trimActions.run(id, id, KEPT_ACTIONS - 1)
  }

  const sessions: SessionBook = {
    async apply(source, sequence, updates) {
      const batch = checkedBatch(source, sequence, updates, clock())
      await commit((now) => {
        for (const checked of batch) applyOne(checked, source, sequence, now)
      })
    },

    async get(id) {
      checkSessionId(id)
      return read((now) => {
        const found = sql().find.get(id, now - KEEP_SECONDS)
        if (found === undefined) return undefined
        const actions = sql()
          .actions.all(id)
          .map(({ text }) => parseAction(String(text)))
        return { session: parseSession(id, String(found.text)).session, actions }
      })
    },

    async list(options) {
      checkSessionList(options)
      const { after, since = 0, limit } = options
      const [seen, id] =
        after === undefined ? [Number.MAX_VALUE, '\u{10ffff}'] : [after.lastSeen, after.id]
      return read((now) => {
        const rows = sql().list.all(seen, id, since, now - KEEP_SECONDS, limit)
        return rows.map((row) => parseSession(String(row.id), String(row.text)).session)
      })
    },
  }

  return {
    sessions,
    attach(database) {
      database.exec(SCHEMA)
      prepared = prepare(database)
    },
    purge: purger((now, atMost) => {
      const over = sql().over.all(now - KEEP_SECONDS, atMost)
      for (const { id } of over) {
        sql().drop.run(String(id))
        sql().dropActions.run(String(id))
      }
      return over.length
    }, PURGED_PER_COMMIT),
  }
}

type Statements = ReturnType<typeof prepare>

function prepare(database: DatabaseSync) {
  return {
    find: database.prepare('SELECT text FROM session WHERE id = ? AND last_seen > ?'),
    put: database.prepare(`INSERT INTO session (id, last_seen, text) VALUES (?, ?, ?) ON CONFLICT (id)
      DO UPDATE SET last_seen = excluded.last_seen, text = excluded.text`),
    list: database.prepare(`SELECT id, text FROM session
      WHERE (last_seen, id) < (?, ?) AND last_seen >= ? AND last_seen > ?
      ORDER BY last_seen DESC, id DESC LIMIT ?`),
    over: database.prepare('SELECT id FROM session WHERE last_seen <= ? LIMIT ?'),
    drop: database.prepare('DELETE FROM session WHERE id = ?'),
    addAction: database.prepare('INSERT OR IGNORE INTO session_action VALUES (?, ?, ?, ?)'),
    actions: database.prepare(
      'SELECT text FROM session_action WHERE session = ? ORDER BY at DESC, key DESC',
    ),
    // All below the last one to keep; nothing when there are fewer.
    trimActions: database.prepare(`DELETE FROM session_action WHERE session = ? AND (at, key) <
      (SELECT at, key FROM session_action WHERE session = ?
        ORDER BY at DESC, key DESC LIMIT 1 OFFSET ?)`),
    dropActions: database.prepare('DELETE FROM session_action WHERE session = ?'),
  }
}
