import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { after, before, describe, it } from 'node:test'
import { type RedisServer, skipWithoutRedis as skip, startRedis } from '../support/redis.ts'
import type { Task } from './store-worker.ts'
import { type BrokerStore, redisStoreOn } from './stores.ts'

const worker = new URL('./store-worker.ts', import.meta.url).pathname

describe('four broker processes on one Redis', { skip }, () => {
  let server: RedisServer
  let store: BrokerStore
  const children: ChildProcess[] = []

  before(async () => {
    server = await startRedis()
    store = await redisStoreOn(server)
    for (let n = 0; n < 4; n++) children.push(fork(worker))
    await Promise.all(
      children.map(async (child) => {
        child.send(server.url)
        await once(child, 'message')
      }),
    )
  })
  after(async () => {
    const ended = children.map((child) => once(child, 'exit'))
    for (const child of children) child.disconnect()
    await Promise.all(ended)
    await store?.close()
  })

  async function together(task: Omit<Task, 'worker' | 'version'> & { version?: string }) {
    const answers = children.map((child) => once(child, 'message'))
    for (const [n, child] of children.entries()) child.send({ version: '', ...task, worker: n })
    const won = (await Promise.all(answers)).map(([answer]) => (answer as { won: number }).won)
    return won.reduce((sum, count) => sum + count)
  }

  it('one creates, one replaces and one takes, of 200 at once, in 10 rounds', async () => {
    const { documents } = store
    for (let round = 0; round < 10; round++) {
      const id = `round-${round}`
      assert.equal(await together({ do: 'create', id, times: 50 }), 1)
      const made = (await documents.get('race', id)) ?? assert.fail()
      const { version } = made
      assert.equal(await together({ do: 'replace', id, version, times: 50 }), 1)
      const replaced = (await documents.get('race', id)) ?? assert.fail()
      assert.notEqual(replaced.version, version)
      assert.equal(await together({ do: 'take', id, times: 50 }), 1)
      assert.equal(await documents.get('race', id), undefined)
    }
    assert.deepEqual(await documents.list('race', { limit: 10 }), [])
  })

  it('counting by replacing loses no count', async () => {
    await store.documents.put('race', 'count', { count: 0 })
    assert.equal(await together({ do: 'count', id: 'count', times: 25 }), 100)
    assert.deepEqual((await store.documents.get('race', 'count'))?.value, { count: 100 })
  })

  it('what each saw of a session is counted, and what all sent is counted once', async () => {
    await together({ do: 'apply', id: 'session', times: 30 })
    const found = await store.sessions.get('session')
    assert.equal(found?.session.spent, 4 * 30 + 30)
    assert.equal(found?.actions.length, 50)
  })

  it('while all write, a list leaves out nothing that is there throughout', async () => {
    const { documents } = store
    const steady = Array.from({ length: 60 }, (_, n) => `steady-${String(n).padStart(2, '0')}`)
    for (const [n, id] of steady.entries()) {
      await documents.put('churn', id, {}, { order: n % 5, group: 'g' })
    }
    let writing = true
    const written = together({ do: 'churn', id: '', times: 1500 }).finally(() => {
      writing = false
    })
    let rounds = 0
    do {
      for (const group of [undefined, 'g']) {
        const seen: string[] = []
        let after: { order: number; id: string } | undefined
        for (let size = 7; size === 7; ) {
          const page = await documents.list('churn', { group, after, limit: 7 })
          seen.push(...page.map(({ id }) => id))
          after = page.at(-1)
          size = page.length
        }
        assert.deepEqual(seen.filter((id) => steady.includes(id)).sort(), steady)
      }
      rounds++
    } while (writing)
    assert.ok(rounds > 0)
    await written
  })
})
