/** A broker process on a Redis: told what to do with one document or session at once, it answers what came of it. */
import { redisLedger } from '../../src/ledger/redis.ts'
import { actionOf, updateOf } from './session-updates.ts'
import { quick } from './stores.ts'

export interface Task {
  readonly do: 'create' | 'replace' | 'take' | 'count' | 'apply' | 'churn'
  readonly id: string
  readonly version: string
  readonly worker: number
  readonly times: number
}

process.once('message', async (url: string) => {
  const ledger = redisLedger({ url, ...quick })
  await ledger.open()
  const { documents, sessions } = ledger
  if (documents === undefined || sessions === undefined) throw new Error('not a broker')

  const tasks: Record<Task['do'], (task: Task, n: number) => Promise<boolean>> = {
    create: ({ id, worker }, n) => documents.create('race', id, { worker, n }),
    replace: ({ id, version, worker }, n) => documents.replace('race', id, version, { worker, n }),
    take: async ({ id }) => (await documents.take('race', id)) !== undefined,
    async count({ id }) {
      for (;;) {
        const found = await documents.get('race', id)
        if (found === undefined) return false
        const count = Number(found.value.count) + 1
        if (await documents.replace('race', id, found.version, { count })) return true
      }
    },
    async apply({ id, worker }, n) {
      const at = 1_795_000_000 + n
      const update = updateOf(id, { lastAt: at, spent: 1, actions: [actionOf(at)] })
      // Of its own, and one that every process sends.
      await sessions.apply(`own-${worker}-${n}`, 1, [update])
      await sessions.apply(`shared-${n}`, 1, [update])
      return true
    },
    async churn({ worker }, n) {
      const id = `churn-${worker}-${n % 7}`
      await documents.put('churn', id, { n }, { order: n % 5, group: 'g' })
      if (n % 3 === 0) await documents.take('churn', id)
      return true
    },
  }

  process.on('message', async (task: Task) => {
    const all = Array.from({ length: task.times }, (_, n) => tasks[task.do](task, n))
    process.send?.({ won: (await Promise.all(all)).filter(Boolean).length })
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
})
