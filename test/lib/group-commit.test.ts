import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { GroupCommit } from '../../src/lib/group-commit.ts'

test('what is submitted together is committed together, in order', async () => {
  const batches: number[][] = []
  const group = new GroupCommit<number>({ commit: (batch) => void batches.push([...batch]) })
  await Promise.all([1, 2, 3].map((item) => group.submit(item)))
  await group.submit(4)
  assert.deepEqual(batches, [[1, 2, 3], [4]])
})

test('nobody is answered before the commit that held the item', async () => {
  const commit = Promise.withResolvers<void>()
  const group = new GroupCommit<number>({ commit: () => commit.promise })
  let answered = false
  const submitted = group.submit(1).then(() => {
    answered = true
  })
  for (let i = 0; i < 5; i++) await turn()
  assert.equal(answered, false)
  commit.resolve()
  await submitted
  assert.equal(answered, true)
})

test('what arrives while a commit runs waits for the next one; there is never more than one', async () => {
  const batches: number[][] = []
  let running = 0
  const group = new GroupCommit<number>({
    commit: async (batch) => {
      assert.equal(++running, 1)
      batches.push([...batch])
      await turn()
      running--
    },
  })
  const first = group.submit(1)
  await turn()
  const rest = [2, 3, 4].map((item) => group.submit(item))
  await Promise.all([first, ...rest])
  assert.deepEqual(batches, [[1], [2, 3, 4]])
})

test('a failed commit rejects its batch and only its batch', async () => {
  const group = new GroupCommit<number>({
    maxBatch: 2,
    commit: (batch) => {
      if (batch.includes(2)) throw new Error('disk full')
    },
  })
  const outcomes = await Promise.allSettled([1, 2, 3, 4].map((item) => group.submit(item)))
  const states = outcomes.map((outcome) => outcome.status)
  assert.deepEqual(states, ['rejected', 'rejected', 'fulfilled', 'fulfilled'])
  await assert.rejects(group.submit(2), /disk full/)
  await group.submit(5)
})

test('a batch holds no more than its bound', async () => {
  const sizes: number[] = []
  const group = new GroupCommit<number>({
    maxBatch: 10,
    commit: (batch) => void sizes.push(batch.length),
  })
  await Promise.all(Array.from({ length: 25 }, (_, i) => group.submit(i)))
  assert.deepEqual(sizes, [10, 10, 5])
})

test('close commits what is waiting and takes nothing more', async () => {
  const committed: number[] = []
  const group = new GroupCommit<number>({
    commit: async (batch) => {
      await turn()
      committed.push(...batch)
    },
  })
  const submitted = group.submit(1)
  const closed = group.close()
  await assert.rejects(group.submit(2), /closed/)
  await closed
  assert.deepEqual(committed, [1])
  await submitted
  await group.close()
})

test('a bound that is no bound is a mistake', () => {
  assert.throws(() => new GroupCommit({ commit: () => {}, maxBatch: 0 }), TypeError)
})
