/** What is still there after a store was killed, lost its data, or was written by somebody else. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { redisLedger } from '../../src/ledger/redis.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { isRefusal } from './contract.ts'
import { actionOf, updateOf } from './session-updates.ts'
import { type BrokerStore, brokerStore, quick, redisStoreOn } from './stores.ts'

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

describe('a Redis with documents and sessions', { skip }, () => {
  it('killed in the middle of writes, has lost nothing that was acknowledged', async () => {
    const server = await startRedis()
    const store = await redisStoreOn(server)
    const made: string[] = []
    const taken: string[] = []
    let applied = 0
    let refusals = 0
    let killed = false
    async function write(worker: number): Promise<void> {
      for (let n = 0; !killed; n++) {
        const id = `${worker}-${n}`
        try {
          await store.documents.create('kept', id, { id }, { order: n })
          if (n % 3 !== 0) made.push(id)
          else {
            await store.documents.take('kept', id)
            taken.push(id)
          }
          await store.sessions.apply(`worker-${worker}`, n, [updateOf('session', { spent: 1 })])
          applied++
        } catch (error) {
          assert.ok(unavailable(error), String(error))
          refusals++
          await sleep(5)
        }
      }
    }
    const writers = Array.from({ length: 8 }, (_, worker) => write(worker))
    await until(() => made.length > 300)
    await server.kill()
    await until(() => refusals > 0)
    killed = true
    await Promise.all(writers)
    await server.restart()
    const there = new Set<string>()
    await until(() => store.documents.get('kept', 'x').then(() => true))
    for (let page = await store.documents.list('kept', { limit: 500 }); page.length > 0; ) {
      for (const { id } of page) there.add(id)
      page = await store.documents.list('kept', { after: page.at(-1), limit: 500 })
    }
    assert.deepEqual(
      made.filter((id) => !there.has(id)),
      [],
    )
    assert.deepEqual(
      taken.filter((id) => there.has(id)),
      [],
    )
    const spent = (await store.sessions.get('session'))?.session.spent ?? 0
    await store.sessions.apply('later', 1, [updateOf('later')])
    assert.ok(spent >= applied && spent <= applied + 8, `${spent} of ${applied}`)
    await store.close()
  })

  it('that lost its data does not say so before a new epoch: there is no answer at all', async () => {
    const server = await startRedis()
    const ledger = redisLedger({ url: server.url, ...quick })
    await ledger.open()
    const { documents, sessions } = ledger
    assert.ok(documents !== undefined && sessions !== undefined)
    await documents.put('person', 'ann', {})
    await server.admin.flushall()
    await assert.rejects(documents.get('person', 'ann'), unavailable)
    await assert.rejects(documents.create('person', 'ann', {}), unavailable)
    await assert.rejects(sessions.get('a'), unavailable)
    await ledger.feed?.epochs?.()
    assert.equal(await documents.get('person', 'ann'), undefined, 'then it is gone')
    await ledger.close()
    await server.stop()
  })

  it('forgets in its lists what has ended, though nobody lists', async () => {
    const server = await startRedis()
    const store = await redisStoreOn(server)
    const { documents, sessions } = store
    for (let n = 0; n < 30; n++) {
      await documents.put('a', `a${n}`, {}, { expiresAt: now() + 0.1, group: 'g', order: n })
    }
    // Written again elsewhere, or in its place: what is there is not taken out for what it was.
    for (const id of ['moved', 'regrouped', 'again']) {
      await documents.put('a', id, {}, { expiresAt: now() + 0.1, group: 'g', order: 1 })
    }
    await until(() => documents.get('a', 'again').then((found) => found === undefined))
    await documents.put('a', 'moved', {}, { group: 'h', order: 2 })
    await documents.put('a', 'regrouped', {}, { group: 'h', order: 1 })
    await documents.put('a', 'again', {}, { group: 'g', order: 1 })
    await until(async () => {
      await documents.put('a', 'other', {}, { group: 'g' })
      return (await server.admin.zcard('writ:d:{a}:ends')) === 0
    })
    for (let n = 0; n < 5; n++) await documents.put('a', 'other', {}, { order: n, group: 'g' })
    const members = async (list: string): Promise<string[]> => {
      const all = (await server.admin.call('ZRANGE', `writ:d:{a}:${list}`, '0', '-1')) as string[]
      return all.map((member) => member.slice(16)).sort()
    }
    assert.deepEqual(await members('all'), ['again', 'moved', 'other', 'regrouped'])
    assert.deepEqual(await members('g:g'), ['again', 'other'])
    assert.deepEqual(await members('g:h'), ['moved', 'regrouped'])

    await sessions.apply('a', 1, [updateOf('gone'), updateOf('stays')])
    for (const key of await server.admin.keys('writ:n:*')) {
      if (String(await server.admin.get(key).catch(() => '')).includes('"gone"')) {
        await server.admin.del(key)
      }
    }
    assert.equal(await server.admin.zcard('writ:n:{sessions}:seen'), 2)
    const listed = await sessions.list({ limit: 1 })
    assert.deepEqual(
      listed.map(({ id }) => id),
      ['stays'],
    )
    await sessions.list({ limit: 10 })
    assert.deepEqual(await server.admin.call('ZRANGE', 'writ:n:{sessions}:seen', '0', '-1'), [
      'stays',
    ])
    await sessions.apply('a', 2, [updateOf('old', { lastAt: now() - 31 * 86_400 })])
    assert.equal(await server.admin.zcard('writ:n:{sessions}:seen'), 1)
    await store.close()
  })

  it('with something else under a key is not believed', async () => {
    const server = await startRedis()
    const store = await redisStoreOn(server)
    const { documents, sessions } = store
    await documents.put('a', 'a', {}, { order: 1 })
    await sessions.apply('a', 1, [updateOf('a', { actions: [actionOf(now())] })])
    const key = 'writ:d:{a}:v:a'
    const good = String(await server.admin.get(key))
    for (const bad of [
      '',
      '{}',
      good.replace(' a ', ' b '),
      `${good},`,
      good.replace(/ \w{16} /, ' 0 '),
    ]) {
      await server.admin.set(key, bad)
      await assert.rejects(documents.get('a', 'a'), unavailable, bad)
    }
    const session = (await server.admin.keys('writ:n:*')).find((name) => name.endsWith('}')) ?? ''
    const kept = String(await server.admin.get(session))
    for (const bad of ['', 'x', 'v {}', kept.replace('"id":"a"', '"id":"b"'), kept.slice(0, -1)]) {
      await server.admin.set(session, bad)
      await assert.rejects(sessions.get('a'), unavailable, bad)
      await assert.rejects(sessions.list({ limit: 1 }), unavailable, bad)
      await assert.rejects(sessions.apply('a', 2, [updateOf('a')]), unavailable, bad)
    }
    await store.close()
  })
})
