/** What a SQLite file still holds after a kill, an older version, or somebody else's writing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, it } from 'node:test'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { isRefusal } from './contract.ts'
import { actionOf, updateOf } from './session-updates.ts'
import { type BrokerStore, brokerStore } from './stores.ts'

const folder = mkdtempSync(join(tmpdir(), 'writ-store-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const now = (): number => Date.now() / 1000
const unavailable = isRefusal('ledger_unavailable')

async function openFile(file: string): Promise<BrokerStore> {
  const ledger = sqliteLedger({ file, role: 'broker' })
  await ledger.open()
  return brokerStore(
    ledger,
    () => ledger.close(),
    () => undefined,
  )
}

describe('a SQLite file with documents and sessions', () => {
  it('killed at any moment, has lost nothing that was acknowledged', async () => {
    const file = join(folder, 'killed.db')
    const writer = new URL('./store-writer.ts', import.meta.url).pathname
    const applied = new Map<string, number>()
    const made = new Set<string>()
    const taken = new Set<string>()
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, [writer, file, String(round)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let printed = ''
      child.stdout.on('data', (chunk) => {
        printed += chunk
        if (printed.length > 15_000 * (round + 1)) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const lines = printed.split('\n').slice(0, -1)
      assert.ok(lines.length > 300)
      for (const line of lines) {
        const [what, id = ''] = line.split(' ')
        if (what === 'applied') applied.set(id, (applied.get(id) ?? 0) + 1)
        else (what === 'created' ? made : taken).add(id)
      }
      const store = await openFile(file)
      const there = new Set<string>()
      for (let page = await store.documents.list('kept', { limit: 1000 }); page.length > 0; ) {
        for (const { id } of page) there.add(id)
        page = await store.documents.list('kept', { after: page.at(-1), limit: 1000 })
      }
      assert.deepEqual(
        [...made].filter((id) => !there.has(id)),
        [],
      )
      assert.deepEqual(
        [...taken].filter((id) => there.has(id)),
        [],
      )
      for (const [id, times] of applied) {
        const found = await store.sessions.get(id)
        const spent = found?.session.spent ?? 0
        assert.ok(spent >= times && spent <= times + round + 1, `${id}: ${spent} for ${times}`)
        assert.equal(found?.actions.length, Math.min(50, spent))
      }
      await store.close()
    }
  })

  it('made by the version before goes on working', async () => {
    const file = join(folder, 'before.db')
    const old = new DatabaseSync(file)
    old.exec(`
      PRAGMA journal_mode = WAL;
      CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
      CREATE TABLE mark (
        id TEXT PRIMARY KEY, until INTEGER NOT NULL, value TEXT NOT NULL, uses INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX mark_until ON mark (until);
      CREATE TABLE feed (id TEXT PRIMARY KEY, text TEXT NOT NULL, until REAL) STRICT, WITHOUT ROWID;
      INSERT INTO meta VALUES ('since', 1700000000);
      INSERT INTO mark VALUES ('sspent', 4000000000, '', 0);
      INSERT INTO feed VALUES ('a', 'text', NULL);`)
    old.close()
    const ledger = sqliteLedger({ file, role: 'broker' })
    await ledger.open()
    assert.equal(await ledger.spend('spent', now() + 60), false)
    assert.equal(ledger.honoursFrom('a'), 1_700_000_000)
    assert.equal(await ledger.documents?.create('a', 'a', { a: 1 }), true)
    await ledger.sessions?.apply('a', 1, [updateOf('a', { spent: 1 })])
    await ledger.close()
    const again = await openFile(file)
    assert.deepEqual((await again.documents.get('a', 'a'))?.value, { a: 1 })
    assert.equal((await again.sessions.get('a'))?.session.spent, 1)
    await again.close()
  })

  it('drops what is over, a few rows with every commit', async () => {
    const file = join(folder, 'over.db')
    let time = 1_800_000_000
    const ledger = sqliteLedger({ file, role: 'broker', clock: () => time })
    await ledger.open()
    const { documents, sessions } = ledger
    assert.ok(documents !== undefined && sessions !== undefined)
    for (let n = 0; n < 100; n++) {
      await documents.put('a', `a${n}`, {}, { expiresAt: time + 10 })
      const actions = [actionOf(time)]
      await sessions.apply('a', n, [updateOf(`s${n}`, { lastAt: time, actions })])
    }
    await documents.put('a', 'stays', {})
    time += 31 * 86_400
    await sessions.apply('a', 200, [updateOf('s99', { lastAt: time })])
    assert.deepEqual((await sessions.get('s99'))?.actions, [], 'it begins anew')
    for (let n = 0; n < 20; n++) await documents.put('a', 'stays', {})
    await ledger.close()
    const database = new DatabaseSync(file)
    for (const [table, rows] of [
      ['document', 1],
      ['session', 1],
      ['session_action', 0],
    ]) {
      assert.equal(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, rows)
    }
    database.close()
  })

  it('with something else in it is not believed, and spends go on', async () => {
    const file = join(folder, 'strange.db')
    const first = await openFile(file)
    await first.documents.put('a', 'a', {})
    await first.sessions.apply('a', 1, [updateOf('a', { actions: [actionOf(now())] })])
    await first.close()
    const database = new DatabaseSync(file)
    database.exec(`UPDATE document SET text = '{"a":1,"a":2}';
      UPDATE session SET text = replace(text, '"spent":0', '"spent":-1')`)
    database.close()
    const ledger = sqliteLedger({ file, role: 'broker' })
    await ledger.open()
    const { documents, sessions } = ledger
    assert.ok(documents !== undefined && sessions !== undefined)
    await assert.rejects(documents.get('a', 'a'), unavailable)
    await assert.rejects(documents.list('a', { limit: 1 }), unavailable)
    await assert.rejects(sessions.get('a'), unavailable)
    await assert.rejects(sessions.list({ limit: 1 }), unavailable)
    const applied = assert.rejects(sessions.apply('a', 2, [updateOf('a')]), unavailable)
    assert.equal(await ledger.spend('in the same commit'.replaceAll(' ', '-'), now() + 60), true)
    await applied
    await ledger.close()
  })
})
