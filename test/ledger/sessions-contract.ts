/** What every session book promises; run unchanged for each store. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { Session, SessionBook } from '../../src/ledger/session-book.ts'
import { isRefusal } from './contract.ts'
import { sessionFormTests } from './session-forms.ts'
import { sessionListTests } from './session-lists.ts'
import { actionOf, updateOf } from './session-updates.ts'
import type { BrokerStore } from './stores.ts'

const now = (): number => Date.now() / 1000
const newId = (): string => `sid-${randomUUID()}`

export function sessionsContract(
  name: string,
  make: () => Promise<BrokerStore>,
  skip: string | false = false,
): void {
  describe(`${name} keeps the promise of session books`, { skip }, () => {
    let store: BrokerStore
    let book: SessionBook
    before(async () => {
      store = await make()
      book = store.sessions
    })
    after(() => store?.close())

    async function sessionOf(id: string): Promise<Session> {
      return (await book.get(id))?.session ?? assert.fail(`no session ${id}`)
    }

    it('a session is what its updates say', async () => {
      const id = newId()
      const at = Math.floor(now()) - 10.25
      const identity = {
        kind: 'x509-svid',
        issuer: 'corp.example',
        attributes: { namespace: 'ci', groups: ['a', 'b'] },
        endsAt: at + 60,
      }
      const action = actionOf(at, {
        outcome: 'issued',
        server: 'https://a.example/mcp',
        method: 'tools/call',
        name: 'read',
        task: 'task-1',
        address: '192.0.2.1',
        by: 'broker',
        jti: 'jti-1',
        arguments: { path: '/ü', deep: [[1]] },
      })
      const update = updateOf(id, {
        actors: ['spiffe://corp.example/parent'],
        firstAt: at - 3,
        lastAt: at,
        issued: 2,
        refused: 1,
        tokensUntil: at + 30,
        identity,
        actions: [action],
      })
      await book.apply('broker-1', 1, [update])
      assert.deepEqual(await book.get(id), {
        session: {
          id,
          workload: update.workload,
          principal: update.principal,
          actors: update.actors,
          key: update.key,
          firstSeen: at - 3,
          lastSeen: at,
          issued: 2,
          spent: 0,
          refused: 1,
          tokensUntil: at + 30,
          identity,
          address: '192.0.2.1',
          task: 'task-1',
          lastAction: action,
          servers: ['https://a.example/mcp'],
        },
        actions: [action],
      })
      assert.deepEqual(
        (await book.list({ since: at - 1, limit: 1000 })).find((session) => session.id === id),
        await sessionOf(id),
      )
      assert.equal(await book.get(newId()), undefined)
    })

    it('counts are sums over sources, first and last seen the extremes, in any order', async () => {
      const id = newId()
      const at = Math.floor(now()) - 100
      await book.apply('a', 5, [updateOf(id, { firstAt: at, lastAt: at + 5, issued: 1 })])
      await book.apply('b', 1, [
        updateOf(id, { firstAt: at - 9, lastAt: at - 2, spent: 2, tokensUntil: at + 7 }),
      ])
      await book.apply('c', 9, [
        updateOf(id, { firstAt: at + 8, lastAt: at + 9, refused: 3, tokensUntil: at + 2 }),
      ])
      await book.apply('a', 6, [updateOf(id, { firstAt: at + 1, lastAt: at + 1, issued: 1 })])
      const { firstSeen, lastSeen, issued, spent, refused, tokensUntil } = await sessionOf(id)
      assert.deepEqual([firstSeen, lastSeen, tokensUntil], [at - 9, at + 9, at + 7])
      assert.deepEqual([issued, spent, refused], [2, 2, 3])
      const { address, task, lastAction, servers, identity } = await sessionOf(id)
      assert.deepEqual(
        [address, task, lastAction, servers, identity],
        [undefined, undefined, undefined, [], undefined],
      )
    })

    it('a batch sent again counts once, for each session by itself', async () => {
      const [one, two] = [newId(), newId()]
      const at = now()
      const of = (id: string) => updateOf(id, { lastAt: at, spent: 1, actions: [actionOf(at)] })
      await book.apply('again', 7, [of(one)])
      // Half of it was kept when the answer was lost.
      for (let n = 0; n < 3; n++) await book.apply('again', 7, [of(one), of(two)])
      await Promise.all(
        Array.from({ length: 20 }, () => book.apply('again', 8, [of(one), of(two)])),
      )
      await book.apply('again', 7, [of(one), of(two)])
      for (const id of [one, two]) {
        const found = await book.get(id)
        assert.equal(found?.session.spent, 2)
        assert.equal(found?.actions.length, 2)
      }
      await book.apply('another', 7, [of(one)])
      assert.equal((await sessionOf(one)).spent, 3)
    })

    it('a sequence counts for its source, and of twenty sources each is known', async () => {
      const id = newId()
      for (let round = 0; round < 2; round++) {
        for (let n = 0; n < 20; n++) {
          await book.apply(`source-${n}`, 0, [updateOf(id, { spent: 1 })])
        }
      }
      assert.equal((await sessionOf(id)).spent, 20)
    })

    it('of many at once from many sources, none is lost', async () => {
      const ids = [newId(), newId(), newId()]
      await Promise.all(
        Array.from({ length: 60 }, (_, n) =>
          book.apply(
            `at-once-${n}`,
            1,
            ids.map((id) => updateOf(id, { issued: 1, actions: [actionOf(now() - n)] })),
          ),
        ),
      )
      for (const id of ids) {
        const found = await book.get(id)
        assert.equal(found?.session.issued, 60)
        assert.equal(found?.actions.length, 50)
      }
    })

    it('the newest 50 actions are kept, newest first, whenever they are heard of', async () => {
      const id = newId()
      const at = Math.floor(now()) - 1000
      const batches = [
        [9, 8, 7].map((n) => actionOf(at + n)),
        Array.from({ length: 20 }, (_, n) => actionOf(at + 100 - n, { name: `b${n}` })),
        Array.from({ length: 20 }, (_, n) => actionOf(at + 60 - n)),
        Array.from({ length: 20 }, (_, n) => actionOf(at + 200 - n)),
        [actionOf(at + 50.5), actionOf(at + 1)],
      ]
      for (const [n, actions] of batches.entries()) {
        await book.apply(`actions-${n % 2}`, n, [updateOf(id, { lastAt: at + 300, actions })])
      }
      const times = (await book.get(id))?.actions.map((action) => action.at)
      const newest = batches.flat().map((action) => action.at)
      assert.deepEqual(times, newest.sort((a, b) => b - a).slice(0, 50))
      assert.equal((await sessionOf(id)).lastAction?.at, at + 200)
    })

    it('of one time, the first of an update is the newest, and none is lost', async () => {
      const id = newId()
      const at = now()
      const actions = ['d', 'c', 'b', 'b'].map((name) => actionOf(at, { name }))
      await book.apply('same', 1, [updateOf(id, { lastAt: at, actions })])
      const found = await book.get(id)
      assert.deepEqual(
        found?.actions.map((action) => action.name),
        ['d', 'c', 'b', 'b'],
      )
      assert.equal(found.session.lastAction?.name, 'd')
    })

    it('address, task and servers are those of the last actions that had one', async () => {
      const id = newId()
      const at = Math.floor(now()) - 100
      const server = (n: number): string => `https://${n}.example/mcp`
      const later = actionOf(at + 10, { address: 'later', task: 'later', server: server(9) })
      await book.apply('a', 1, [updateOf(id, { actions: [later] })])
      const actions = [
        actionOf(at + 20),
        actionOf(at + 11, { address: 'latest' }),
        ...Array.from({ length: 9 }, (_, n) => actionOf(at + 9 - n, { server: server(n) })),
        actionOf(at - 10, { address: 'older', task: 'older', server: server(9) }),
      ]
      await book.apply('b', 1, [updateOf(id, { actions })])
      const session = await sessionOf(id)
      assert.deepEqual([session.address, session.task], ['latest', 'later'])
      assert.deepEqual(session.servers, [9, 0, 1, 2, 3, 4, 5, 6].map(server))
      assert.equal(session.lastAction?.at, at + 20)
    })

    it('who it is, only brokers say: those who issue, or know the identity', async () => {
      const id = newId()
      const other = { workload: 'w2', principal: 'p2', actors: ['x'], key: 'k2' }
      await book.apply('gateway', 1, [updateOf(id, { spent: 1, ...other })])
      assert.equal((await sessionOf(id)).workload, 'w2', 'heard of for the first time')
      await book.apply('broker', 1, [updateOf(id, { issued: 1 })])
      await book.apply('gateway', 2, [updateOf(id, { spent: 1, ...other })])
      const { workload, principal, actors, key, spent } = await sessionOf(id)
      const own = updateOf(id)
      assert.deepEqual(
        [workload, principal, actors, key, spent],
        [own.workload, own.principal, own.actors, own.key, 2],
      )
    })

    it('an older identity does not replace a newer one, and none replaces none', async () => {
      const id = newId()
      const at = now() - 50
      const identity = (issuer: string) => ({ kind: 'jwt', issuer, attributes: {}, endsAt: at })
      await book.apply('a', 1, [updateOf(id, { lastAt: at, identity: identity('new') })])
      await book.apply('b', 1, [updateOf(id, { lastAt: at - 9, identity: identity('old') })])
      await book.apply('c', 1, [updateOf(id, { issued: 1 })])
      assert.equal((await sessionOf(id)).identity?.issuer, 'new')
    })

    it('arguments too large to keep are left out, and the action counts', async () => {
      const id = newId()
      const at = now()
      const actions = [
        actionOf(at, { name: 'large', arguments: 'x'.repeat(20_000) }),
        actionOf(at - 1, { name: 'small', arguments: 'x'.repeat(10_000) }),
      ]
      await book.apply('large', 1, [updateOf(id, { spent: 1, actions })])
      const found = await book.get(id)
      assert.deepEqual(
        found?.actions.map((action) => [action.name, String(action.arguments).length]),
        [
          ['large', 'undefined'.length],
          ['small', 10_000],
        ],
      )
      assert.equal(found.session.spent, 1)
    })

    it('an update is kept as it was given, whatever its giver does with it', async () => {
      const id = newId()
      const actors = ['a']
      const applied = book.apply('mutable', 1, [updateOf(id, { actors })])
      actors.push('b')
      await applied
      const session = (await sessionOf(id)) as unknown as { actors: string[] }
      session.actors.push('c')
      assert.deepEqual((await sessionOf(id)).actors, ['a'])
    })

    sessionFormTests(() => book)

    sessionListTests(() => book)

    it('a store that is gone is a quick refusal for every call', async () => {
      await store.breakStore()
      const startedMs = performance.now()
      const refused = isRefusal('ledger_unavailable')
      await assert.rejects(book.apply('a', 1, [updateOf(newId())]), refused)
      await assert.rejects(book.get('a'), refused)
      await assert.rejects(book.list({ limit: 1 }), refused)
      await assert.rejects(book.list({ after: { lastSeen: now(), id: 'a' }, limit: 1 }), refused)
      const together = Array.from({ length: 50 }, (_, n) =>
        book.apply(`gone-${n}`, 1, [updateOf(newId())]),
      )
      for (const { status } of await Promise.allSettled(together)) assert.equal(status, 'rejected')
      assert.ok(performance.now() - startedMs < 10_000, 'none hangs')
    })
  })
}
