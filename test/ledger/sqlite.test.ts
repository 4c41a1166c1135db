import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { isRefusal, ledgerContract } from './contract.ts'

const folder = mkdtempSync(join(tmpdir(), 'writ-sqlite-'))
after(() => rmSync(folder, { recursive: true, force: true }))

ledgerContract('SQLite', async () => {
  const ledger = sqliteLedger({ file: join(folder, 'contract.db'), role: 'broker' })
  await ledger.open()
  return { ledger, binds: true, breakStore: () => ledger.close(), close: () => ledger.close() }
})

describe('the SQLite ledger', () => {
  const inAMinute = (): number => Date.now() / 1000 + 60

  it('remembers over a restart, and which tokens are too old for it', async () => {
    const file = join(folder, 'restart.db')
    const first = sqliteLedger({ file })
    await first.open()
    await first.spend('a', inAMinute())
    const since = first.honoursFrom('a')
    await first.close()
    const second = sqliteLedger({ file })
    await second.open()
    assert.equal(await second.spend('a', inAMinute()), false)
    assert.equal(second.honoursFrom('a'), since)
    await second.close()
  })

  it('made anew after the file was lost, refuses what was issued before', async () => {
    const file = join(folder, 'lost.db')
    const issuedAt = Math.floor(Date.now() / 1000)
    const first = sqliteLedger({ file })
    await first.open()
    await first.spend('a', inAMinute())
    await first.close()
    rmSync(file)
    const second = sqliteLedger({ file })
    await second.open()
    await assert.rejects(second.spend('a', inAMinute(), issuedAt), isRefusal('token_before_epoch'))
    await second.close()
  })

  it('its files are for their owner only', async () => {
    const file = join(folder, 'mode.db')
    const ledger = sqliteLedger({ file })
    await ledger.open()
    await ledger.spend('a', inAMinute())
    for (const name of [file, `${file}-wal`]) assert.equal(statSync(name).mode & 0o777, 0o600)
    await ledger.close()
  })

  it('a second process or ledger on the file is told to use Redis', async () => {
    const file = join(folder, 'two.db')
    const first = sqliteLedger({ file })
    await first.open()
    const second = sqliteLedger({ file, lockWaitMs: 100 })
    await assert.rejects(second.open(), /in use by another process.*use Redis/)
    const program = new URL('./spender.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, file, '0'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let complaint = ''
    child.stderr.on('data', (chunk) => {
      complaint += chunk
    })
    const [code] = await once(child, 'exit')
    assert.notEqual(code, 0)
    assert.match(complaint, /in use by another process/)
    await first.close()
    await second.open()
    await second.close()
  })

  it('a file that is no database is refused, and left as it is', async () => {
    await assert.rejects(sqliteLedger({ file: import.meta.filename }).open())
  })

  it('expired rows are dropped, a few with every commit', async () => {
    let now = 1_800_000_000
    const file = join(folder, 'purge.db')
    const ledger = sqliteLedger({ file, clock: () => now })
    await ledger.open()
    await Promise.all(Array.from({ length: 1000 }, (_, n) => ledger.spend(`a${n}`, now + 10)))
    now += 60
    for (let n = 0; n < 40; n++) await ledger.spend(`b${n}`, now + 10)
    await ledger.close()
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(file)
    assert.equal(database.prepare('SELECT count(*) AS n FROM mark').get()?.n, 40)
    database.close()
  })

  const ways = {
    spent: (ledger: Ledger, id: string, until: number) => ledger.spend(id, until),
    // Two marks each.
    used: (ledger: Ledger, id: string, until: number) => ledger.use(id, 1, id, until),
  }
  for (const [way, mark] of Object.entries(ways)) {
    it(`however much is ${way}, the file holds at most twice what has not expired`, async () => {
      let now = 1_800_000_000
      const file = join(folder, `${way}.db`)
      const ledger = sqliteLedger({ file, clock: () => now })
      await ledger.open()
      for (let round = 0; round < 100; round++) {
        now += 1
        const ids = Array.from({ length: 200 }, () => randomUUID())
        await Promise.all(ids.map((id) => mark(ledger, id, now + 5)))
      }
      await ledger.close()
      const { DatabaseSync } = await import('node:sqlite')
      const database = new DatabaseSync(file)
      const sql = 'SELECT count(*) AS kept, sum(until > ?) AS live FROM mark'
      const { kept, live } = database.prepare(sql).get(now) as { kept: number; live: number }
      assert.ok(live >= 1000 && kept <= 2 * live, `${kept} of which ${live} are live`)
      database.close()
    })
  }

  it('killed at any moment, it has lost nothing that was acknowledged', async () => {
    const file = join(folder, 'killed.db')
    for (let round = 0; round < 4; round++) {
      const program = new URL('./spender.ts', import.meta.url).pathname
      const child = spawn(process.execPath, [program, file, String(round)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let printed = ''
      child.stdout.on('data', (chunk) => {
        printed += chunk
        if (printed.length > 3000 * (round + 1)) child.kill('SIGKILL')
      })
      await once(child, 'close')
      const acknowledged = printed.split('\n').slice(0, -1)
      assert.ok(acknowledged.length > 100)
      const ledger = sqliteLedger({ file })
      await ledger.open()
      const again = await Promise.all(acknowledged.map((id) => ledger.spend(id, inAMinute())))
      assert.equal(again.filter(Boolean).length, 0)
      await ledger.close()
    }
  })

  it('of many feed entries appended together, all are kept or none', async () => {
    const file = join(folder, 'feed-all.db')
    const opened = async () => {
      const ledger = sqliteLedger({ file, role: 'broker' })
      await ledger.open()
      const heard: string[] = []
      const quiet = () => undefined
      ledger.feed?.follow({ entry: (text) => heard.push(text), beat: quiet, lost: quiet })
      return { ledger, heard }
    }
    const entries = Array.from({ length: 1500 }, (_, n) => ({
      ...{ id: `e${n}`, text: `text-${n}`, expiresAt: undefined },
    }))
    const first = await opened()
    const wrong = { id: 'wrong', text: null as unknown as string, expiresAt: undefined }
    const appended = first.ledger.feed?.appendAll?.([...entries, wrong])
    await assert.rejects(appended ?? Promise.resolve(), isRefusal('ledger_unavailable'))
    assert.deepEqual(first.heard, [])
    await first.ledger.close()
    const second = await opened()
    assert.deepEqual(second.heard, [])
    await second.ledger.feed?.appendAll?.(entries)
    assert.equal(second.heard.length, 1500)
    await second.ledger.close()
    const third = await opened()
    assert.equal(third.heard.length, 1500)
    await third.ledger.close()
  })

  it('a feed entry that was acknowledged is there after a restart', async () => {
    const file = join(folder, 'feed.db')
    const first = sqliteLedger({ file, role: 'broker' })
    await first.open()
    await first.feed?.append('for ever', undefined, 'a')
    await first.feed?.append('replaced', undefined, 'b')
    await first.feed?.append('ends', inAMinute(), 'b')
    await first.feed?.append('has ended', Date.now() / 1000 - 1, 'c')
    await first.close()
    const second = sqliteLedger({ file, role: 'broker' })
    await second.open()
    await second.feed?.append('new', undefined, 'd')
    const heard: string[] = []
    const quiet = () => undefined
    second.feed?.follow({ entry: (text) => heard.push(text), beat: quiet, lost: quiet })
    assert.deepEqual(heard.filter((text) => text !== 'has ended').sort(), [
      'ends',
      'for ever',
      'new',
    ])
    await second.close()
  })
})
