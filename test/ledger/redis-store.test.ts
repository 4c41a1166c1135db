/** What a Redis still holds after a kill or a loss, and what its lists keep. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { redisLedger } from '../../src/ledger/redis.ts'
import { skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { isRefusal } from './contract.ts'
import { actionOf, updateOf } from './session-updates.ts'
import { quick, redisStoreOn } from './stores.ts'

const now = (): number => Date.now() / 1000
const unavailable = isRefusal('ledger_unavailable')

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

  it('drops from the feed what has ended, by its own clock and by that of the broker', async (t) => {
    const server = await startRedis()
    t.after(() => server.stop())
    const ledger = redisLedger({ url: server.url, ...quick, clock: () => now() - 1.9 })
    t.after(() => ledger.close())
    await ledger.open()
    const feed = ledger.feed ?? assert.fail()
    // Once more when the machine was so slow that both of them went past the end.
    await until(async () => {
      await feed.append('a', Math.floor(now()) - 1, 'ended by one')
      await feed.append('b', now() - 60, 'ended by both')
      await feed.append('c', undefined, 'never ends')
      for (let n = 0; n < 16; n++) await feed.beat('beat', await feed.epochs?.())
      const live = await server.admin.hkeys('writ:f:{feed}:live')
      return live.sort().join() === 'ended by one,never ends'
    })
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
