// Who holds the revocations, as an admin sees it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { holds } from '../../src/revocation/held.ts'
import { createHolderKeeper } from '../../src/sessions/holder-keeper.ts'
import { createHolders } from '../../src/sessions/holders.ts'
import type { VerifiedReport } from '../../src/sessions/report.ts'
import { until } from '../support/redis.ts'

function scene() {
  const clock = { now: 1_800_000_000 }
  const { documents } = memoryLedger({ role: 'broker', clock: () => clock.now })
  const revocations = { heard: { me: clock.now } as Record<string, number>, fresh: true }
  const options = { documents: documents!, revocations, clock: () => clock.now }
  const holders = createHolders({ ...options, origin: 'broker-one', everyMs: 5 })
  const keeper = createHolderKeeper(documents!)
  return { clock, documents: documents!, revocations, options, holders, keeper }
}

const reportOf = (change: Partial<VerifiedReport> = {}): VerifiedReport => ({
  clientId: 'notes',
  source: 'notes/verifier-one',
  at: 1_800_000_000,
  resource: 'https://mcp.example/mcp',
  holder: 'verifier-one',
  kind: 'verifier',
  sequence: 1,
  hearing: { heard: {}, fresh: true },
  lost: 0,
  sessions: [],
  ...change,
})

test('a broker is a holder, and says so again and again', async () => {
  const { holders, clock, revocations } = scene()
  await until(async () => (await holders.list()).length === 1)
  const [own] = await holders.list()
  assert.deepEqual(own, {
    id: 'broker-one',
    kind: 'broker',
    lastHeardAt: clock.now,
    fresh: true,
    lost: 0,
    heard: { me: clock.now },
    silent: false,
  })
  clock.now += 5
  revocations.fresh = false
  await until(async () => (await holders.list())[0]?.fresh === false)
  assert.equal((await holders.list())[0]?.lastHeardAt, clock.now)
  await holders.close()
})

test('a broker that stops is off the list', async () => {
  const { holders, options } = scene()
  const other = createHolders({ ...options, origin: 'broker-two', everyMs: 5 })
  await until(async () => (await holders.list()).length === 2)
  await other.close()
  assert.deepEqual(
    (await holders.list()).map(({ id }) => id),
    ['broker-one'],
  )
  await holders.close()
})

test('who has a revocation is counted among those that are heard, and the silent are listed', async () => {
  const { holders, keeper, clock } = scene()
  const { now } = clock
  await keeper.keep(reportOf({ hearing: { heard: { me: now }, fresh: true } }), now)
  const late = { holder: 'verifier-two', hearing: { heard: { me: now }, fresh: true }, lost: 3 }
  await keeper.keep(reportOf(late), now - 11)
  await until(async () => (await holders.list()).length === 3)
  const listed = await holders.list()
  const holding = (at: number) =>
    listed.filter(({ silent, heard }) => !silent && holds({ at, origin: 'me' }, heard)).length
  assert.deepEqual([holding(now - 1), holding(now + 1)], [2, 0])
  assert.deepEqual(
    listed.map(({ id, silent, lost, client, server }) => [id, silent, lost, client, server]).sort(),
    [
      ['broker-one', false, 0, undefined, undefined],
      ['verifier-one', false, 0, 'notes', 'https://mcp.example/mcp'],
      ['verifier-two', true, 3, 'notes', 'https://mcp.example/mcp'],
    ],
  )
  await holders.close()
})

test('no client pushes others off the list, and who is too many costs next to no reading', async () => {
  const { holders, documents, clock } = scene()
  const { now } = clock
  let read = 0
  let away: 'list' | 'create' | undefined
  const keeper = createHolderKeeper({
    async create(kind, ...rest) {
      if (away === 'create' && kind === 'holder') throw new Error('away')
      return documents.create(kind, ...rest)
    },
    replace: documents.replace.bind(documents),
    get: documents.get.bind(documents),
    async list(kind, options) {
      if (away === 'list') throw new Error('away')
      const found = await documents.list(kind, options)
      read += found.length
      return found
    },
  })
  await keeper.keep(reportOf({ clientId: 'honest' }), now - 1)
  const hearing = { heard: { o1: now }, fresh: true }
  const says = (n: number, change: Partial<VerifiedReport> = {}) =>
    keeper.keep(reportOf({ holder: `made-up-${n}`, hearing, ...change }), clock.now)
  for (let n = 0; n < 199; n += 1) await says(n)
  // Whose word could not be kept the first time has its place.
  for (away of ['list', 'create'] as const) await assert.rejects(says(199))
  away = undefined
  await says(199)
  read = 0
  for (let n = 200; n < 1001; n += 1) await says(n)
  assert.equal(read, 200)
  for (let n = 0; n < 200; n += 1) await says(n, { at: now + 1, lost: n })
  const listed = await holders.list()
  assert.equal(listed.filter(({ client }) => client === 'honest').length, 1)
  assert.equal(listed.filter(({ client }) => client === 'notes').length, 200)
  assert.equal(listed.find(({ id }) => id === 'made-up-7')?.lost, 7)
  // Those that went make room, and that is seen.
  clock.now += 601
  await says(500, { at: clock.now })
  assert.deepEqual(
    (await holders.list()).filter(({ client }) => client === 'notes').map(({ id }) => id),
    ['made-up-500'],
  )
  await holders.close()
})

test('who came a while ago and went leaves room, though others come all the time', async () => {
  const { holders, keeper, clock } = scene()
  const says = (n: number) =>
    keeper.keep(reportOf({ holder: `verifier-${n}`, at: clock.now }), clock.now)
  for (let n = 0; n < 150; n += 1) await says(n)
  for (let n = 150; n < 181; n += 1) {
    clock.now += 20
    await says(n)
  }
  for (let n = 181; n < 300; n += 1) await says(n)
  assert.equal((await holders.list()).filter(({ client }) => client === 'notes').length, 149)
  await holders.close()
})

test('however many brokers hear of new holders at once, no client has too many', async () => {
  const { holders, documents, keeper, clock } = scene()
  await Promise.all(
    Array.from({ length: 100 }, (_, n) => {
      const report = reportOf({ clientId: 'alone', holder: `verifier-${n}` })
      return keeper.keep(report, clock.now)
    }),
  )
  assert.equal((await holders.list()).filter(({ client }) => client === 'alone').length, 100)
  const brokers = Array.from({ length: 3 }, () => createHolderKeeper(documents))
  const says = (n: number) => brokers[n % 3]!.keep(reportOf({ holder: `verifier-${n}` }), clock.now)
  await Promise.all(Array.from({ length: 150 }, (_, n) => says(n)))
  // Who lost against others all the time says it again.
  for (let n = 0; n < 190; n += 1) await says(n)
  await Promise.all(Array.from({ length: 60 }, (_, n) => says(190 + n)))
  const theirs = (await holders.list()).filter(({ client }) => client === 'notes')
  assert.ok(theirs.length <= 200, `${theirs.length} holders`)
  assert.ok(theirs.length > 190, `${theirs.length} holders`)
  await holders.close()
})

test('of two reports of one holder at once the later one stays, whichever is written first', async () => {
  for (const first of [0, 1]) {
    for (const known of [false, true]) {
      const { holders, documents, clock } = scene()
      const { now } = clock
      if (known) await createHolderKeeper(documents).keep(reportOf({ at: now - 5 }), now)
      // Both have looked before either writes.
      const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const slow = gates.map(({ promise }) => {
        const write = async <A extends unknown[]>(
          real: (...all: A) => Promise<boolean>,
          ...all: A
        ): Promise<boolean> => {
          if (all[0] === 'holder') await promise
          return real.apply(documents, all)
        }
        return createHolderKeeper({
          get: documents.get.bind(documents),
          list: documents.list.bind(documents),
          create: (...all) => write(documents.create, ...all),
          replace: (...all) => write(documents.replace, ...all),
        })
      })
      const kept = slow.map((keeper, n) => keeper.keep(reportOf({ at: now + n, lost: n }), now))
      gates[first]!.resolve()
      await kept[first]
      gates[1 - first]!.resolve()
      await kept[1 - first]
      const found = (await holders.list()).find(({ kind }) => kind === 'verifier')
      assert.equal(found?.lost, 1, `${first} first, ${known ? 'known' : 'new'}`)
      await holders.close()
    }
  }
})

test('a holder that says nothing is silent after ten seconds and gone after ten minutes', async () => {
  const { holders, keeper, clock } = scene()
  await keeper.keep(reportOf(), clock.now)
  const verifier = async () => (await holders.list()).find(({ kind }) => kind === 'verifier')
  assert.equal((await verifier())?.silent, false)
  clock.now += 11
  assert.equal((await verifier())?.silent, true)
  clock.now += 588
  assert.equal((await verifier())?.silent, true)
  clock.now += 2
  assert.equal(await verifier(), undefined)
  await holders.close()
})

test('what a holder said stays said, whichever report comes late or again', async () => {
  const { holders, keeper, clock } = scene()
  const said = (at: number, fresh: boolean) =>
    reportOf({ at, hearing: { heard: { me: at }, fresh } })
  const verifier = async () => {
    const found = (await holders.list()).find(({ kind }) => kind === 'verifier')
    return [found?.lastHeardAt, found?.fresh, found?.heard.me]
  }
  const { now } = clock
  await keeper.keep(said(now, false), now)
  for (const at of [now, now - 1]) {
    await keeper.keep(said(at, true), now + 5)
    assert.deepEqual(await verifier(), [now, false, now])
  }
  await holders.close()
})

test('two clients may call a process alike', async () => {
  const { holders, keeper, clock } = scene()
  await keeper.keep(reportOf(), clock.now)
  await keeper.keep(reportOf({ clientId: 'other' }), clock.now)
  assert.equal((await holders.list()).filter(({ kind }) => kind === 'verifier').length, 2)
  await holders.close()
})

test('a store that cannot be asked is told of, and the broker says that it is there again later', async () => {
  const { documents } = memoryLedger({ role: 'broker', clock: () => Date.now() / 1000 })
  const errors: unknown[] = []
  let away = true
  const holders = createHolders({
    documents: {
      ...documents!,
      put: async (...all) => {
        if (away) throw new Error('away')
        return documents!.put(...all)
      },
    },
    revocations: { heard: {}, fresh: true },
    origin: 'broker-one',
    everyMs: 5,
    onError: (error) => errors.push(error),
  })
  await until(() => errors.length > 1)
  assert.deepEqual(await holders.list(), [])
  away = false
  await until(async () => (await holders.list()).length === 1)
  await holders.close()
})

test('a store that hangs is not asked again before it has answered', async () => {
  const { options } = scene()
  const { promise: answer, resolve } = Promise.withResolvers<void>()
  let asked = 0
  const documents = {
    ...options.documents,
    put: async () => {
      asked += 1
      await answer
      return undefined as never
    },
    remove: async () => undefined as never,
  }
  const holders = createHolders({ ...options, documents, origin: 'broker-two', everyMs: 1 })
  await new Promise((done) => setTimeout(done, 50))
  assert.equal(asked, 1)
  resolve()
  await until(() => asked > 1)
  await holders.close()
})

test('a broker that stops while it says that it is there is off the list all the same', async () => {
  const { options, holders: other } = scene()
  const begun = Promise.withResolvers<void>()
  const slow = Promise.withResolvers<void>()
  const { documents: real } = options
  const documents = {
    put: async (...all: Parameters<typeof real.put>) => {
      begun.resolve()
      await slow.promise
      return real.put(...all)
    },
    get: real.get.bind(real),
    list: real.list.bind(real),
    remove: real.remove.bind(real),
  }
  const holders = createHolders({ ...options, documents, origin: 'broker-two', everyMs: 5 })
  await begun.promise
  const closed = holders.close()
  slow.resolve()
  await closed
  const ids = (await other.list()).map(({ id }) => id)
  assert.equal(ids.includes('broker-two'), false)
  await other.close()
})
