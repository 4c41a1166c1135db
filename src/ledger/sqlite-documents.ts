import type { DatabaseSync } from 'node:sqlite'
import type { JsonObject } from '../lib/json.ts'
import { unavailable } from './bounds.ts'
import { checkList, checkName, documentOf, keptDocument } from './document-bounds.ts'
import type { Document, DocumentOptions, Documents } from './documents.ts'
import { purger } from './sqlite-purge.ts'

/** The way to the ledger's own connection. */
export interface SqliteConnection {
  /** Runs the work in the next commit; answers once that is on the disk. */
  readonly commit: <T>(work: (now: number) => T) => Promise<T>
  /** @throws {Refusal} ledger_unavailable */
  readonly read: <T>(question: (now: number) => T) => T
}

/** A part of the ledger's file with tables of its own. */
export interface SqlitePart {
  attach(database: DatabaseSync): void
  /** Drops a few of what is over; within a commit. */
  purge(now: number): void
}

/** Column and member names are the same but for words that SQL keeps for itself. */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS document (
    kind TEXT NOT NULL, id TEXT NOT NULL, version TEXT NOT NULL, place REAL NOT NULL, grp TEXT,
    until REAL, text TEXT NOT NULL, UNIQUE (kind, id)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS document_place ON document (kind, place, id);
  CREATE INDEX IF NOT EXISTS document_grp ON document (kind, grp, place, id) WHERE grp IS NOT NULL;
  CREATE INDEX IF NOT EXISTS document_until ON document (until) WHERE until IS NOT NULL;`

const PURGED_PER_COMMIT = 64

/** Documents in the ledger's file; written in the same commits as its spends. */
export function sqliteDocuments({
  commit,
  read,
}: SqliteConnection): SqlitePart & { readonly documents: Documents } {
  let prepared: Statements | undefined

  function sql(): Statements {
    if (prepared === undefined) throw unavailable('the ledger is not open')
    return prepared
  }

  function find(kind: string, id: string, now: number): Document | undefined {
    const row = sql().find.get(kind, id, now)
    return row && documentAt(row)
  }

  async function write(
    kind: string,
    id: string,
    value: JsonObject,
    options: DocumentOptions | undefined,
    may: (there: string | undefined) => boolean,
  ): Promise<boolean> {
    const { version, order, group, expiresAt, text } = keptDocument(kind, id, value, options)
    return commit((now) => {
      const there = sql().version.get(kind, id, now)
      if (!may(there && String(there.version))) return false
      sql().put.run(kind, id, version, order, group ?? null, expiresAt ?? null, text)
      return true
    })
  }

  async function take(kind: string, id: string): Promise<Document | undefined> {
    checkName(kind, id)
    return commit((now) => {
      const there = find(kind, id, now)
      sql().remove.run(kind, id)
      return there
    })
  }

  const documents: Documents = {
    async put(kind, id, value, options) {
      await write(kind, id, value, options, () => true)
    },
    create: (kind, id, value, options) =>
      write(kind, id, value, options, (there) => there === undefined),
    replace: (kind, id, version, value, options) =>
      write(kind, id, value, options, (there) => there === version),
    async get(kind, id) {
      checkName(kind, id)
      return read((now) => find(kind, id, now))
    },
    take,
    async remove(kind, id) {
      checkName(kind, id)
      return commit((now) => {
        const there = sql().version.get(kind, id, now) !== undefined
        sql().remove.run(kind, id)
        return there
      })
    },
    async list(kind, options) {
      checkList(kind, options)
      const { group, after, limit } = options
      const [place, id] =
        after === undefined ? [Number.MAX_VALUE, '\u{10ffff}'] : [after.order, after.id]
      return read((now) => {
        const rows =
          group === undefined
            ? sql().list.all(kind, place, id, now, limit)
            : sql().listGroup.all(kind, group, place, id, now, limit)
        return rows.map(documentAt)
      })
    },
  }

  return {
    documents,
    attach(database) {
      database.exec(SCHEMA)
      prepared = prepare(database)
    },
    purge: purger((now, atMost) => Number(sql().purge.run(now, atMost).changes), PURGED_PER_COMMIT),
  }
}

type Statements = ReturnType<typeof prepare>

function prepare(database: DatabaseSync) {
  const found = 'SELECT id, version, place, grp, until, text FROM document WHERE kind = ?'
  const live = '(until IS NULL OR until > ?)'
  const page = `AND (place, id) < (?, ?) AND ${live} ORDER BY place DESC, id DESC LIMIT ?`
  return {
    find: database.prepare(`${found} AND id = ? AND ${live}`),
    version: database.prepare(`SELECT version FROM document WHERE kind = ? AND id = ? AND ${live}`),
    put: database.prepare(`INSERT OR REPLACE INTO document (kind, id, version, place, grp, until, text)
      VALUES (?, ?, ?, ?, ?, ?, ?)`),
    remove: database.prepare('DELETE FROM document WHERE kind = ? AND id = ?'),
    list: database.prepare(`${found} ${page}`),
    listGroup: database.prepare(`${found} AND grp = ? ${page}`),
    purge: database.prepare(`DELETE FROM document WHERE rowid IN
      (SELECT rowid FROM document WHERE until <= ? LIMIT ?)`),
  }
}

/** The columns' types are the table's, which is STRICT. */
function documentAt(row: Record<string, unknown>): Document {
  return documentOf({
    id: String(row.id),
    version: String(row.version),
    order: Number(row.place),
    group: row.grp === null ? undefined : String(row.grp),
    expiresAt: row.until === null ? undefined : Number(row.until),
    text: String(row.text),
  })
}
