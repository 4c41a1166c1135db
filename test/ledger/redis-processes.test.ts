import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { skipWithoutRedis as skip, startRedis } from '../support/redis.ts'
import { startBroker } from './redis-setup.ts'

const worker = new URL('./redis-worker.ts', import.meta.url).pathname

describe('four verifier processes', { skip }, () => {
  it('of a thousand concurrent spends of one id, exactly one wins, in 20 rounds', async (t) => {
    const server = await startRedis()
    t.after(() => server.stop())
    const broker = await startBroker({ url: server.url })
    const children: ChildProcess[] = []
    t.after(() => {
      for (const child of children) child.kill()
    })
    for (let n = 0; n < 4; n++) children.push(fork(worker))
    await Promise.all(
      children.map(async (child) => {
        child.send({ url: server.url, publicJwk: broker.key.publicJwk })
        await once(child, 'message')
      }),
    )
    for (let round = 0; round < 20; round++) {
      const id = `round-${round}`
      const answers = children.map((child) => once(child, 'message'))
      for (const child of children) child.send({ id, times: 250 })
      const won = (await Promise.all(answers)).map(([answer]) => (answer as { won: number }).won)
      assert.equal(
        won.reduce((sum, count) => sum + count),
        1,
        `round ${round}`,
      )
    }
    await broker.close()
  })
})
