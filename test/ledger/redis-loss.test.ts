/** Redis killed, restarted empty, flushed, failed over: no spent token is honoured again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Refusal } from '../../src/refusal.ts'
import { signBeat } from '../../src/revocation/feed-text.ts'
import {
  skipWithoutRedis as skip,
  startCluster,
  startRedis,
  startSentinel,
  until,
} from '../support/redis.ts'
import {
  attempt,
  issuer,
  now,
  startBroker,
  startVerifier,
  untilSpending,
  type Verifier,
} from './redis-setup.ts'

const subject = { session: 'sid-1', agents: ['a'], principal: 'p' }

/** Tries the spent ids again and again while `during` runs, and until fresh tokens work again. */
async function replayThroughout(
  verifiers: readonly Verifier[],
  ids: readonly string[],
  issuedAt: number,
  during: () => Promise<void>,
): Promise<number> {
  let over = false
  let attempts = 0
  const honoured: string[] = []
  const replays = verifiers.map(async ({ ledger }) => {
    while (!over) {
      await Promise.all(
        ids.map(async (id) => {
          attempts++
          if ((await attempt(ledger, id, issuedAt)) === true) honoured.push(id)
        }),
      )
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  try {
    await during()
    for (const { ledger } of verifiers) await untilSpending(ledger)
  } finally {
    over = true
    await Promise.all(replays)
  }
  assert.deepEqual(honoured, [])
  return attempts
}

function detailOf(error: unknown): string {
  const reason = error instanceof Refusal ? error.reason : undefined
  return reason?.code === 'ledger_unavailable' ? reason.detail : `other: ${error}`
}

async function spendSome(verifier: Verifier): Promise<{ ids: string[]; issuedAt: number }> {
  const ids = Array.from({ length: 20 }, (_, n) => `token-${n}-${Math.random()}`)
  await untilSpending(verifier.ledger)
  const issuedAt = Math.floor(now())
  for (const id of ids) assert.equal(await attempt(verifier.ledger, id, issuedAt), true)
  return { ids, issuedAt }
}

describe('on one Redis, no spent token is honoured again', { skip }, () => {
  const trouble: readonly [what: string, how: 'empty' | undefined][] = [
    ['killed and restarted empty', 'empty'],
    ['killed and restarted from its append-only file', undefined],
  ]
  for (const [what, how] of trouble) {
    it(`after it was ${what}; revocations are in force again`, async (t) => {
      const server = await startRedis()
      t.after(() => server.stop())
      const broker = await startBroker({ url: server.url })
      const verifiers = [
        await startVerifier({ url: server.url }, broker.key),
        await startVerifier({ url: server.url }, broker.key),
      ] as const
      await broker.publisher.revoke({
        target: { kind: 'session', value: 'sid-1' },
        reason: '',
        by: '',
      })
      const { ids, issuedAt } = await spendSome(verifiers[0])
      const since = verifiers[0].ledger.honoursFrom('x')
      await replayThroughout(verifiers, ids, issuedAt, async () => {
        await server.kill()
        await server.restart(how)
      })
      assert.ok(verifiers[0].ledger.honoursFrom('x') > since, 'a new epoch began')
      const later = await startVerifier({ url: server.url }, broker.key)
      assert.throws(() => later.revocations.check(subject, now()), /revoked/)
      for (const each of [later, ...verifiers, broker]) await each.close()
    })
  }

  it('after FLUSHALL, though no connection was lost', async (t) => {
    const server = await startRedis()
    t.after(() => server.stop())
    const broker = await startBroker({ url: server.url })
    const verifier = await startVerifier({ url: server.url }, broker.key)
    const { ids, issuedAt } = await spendSome(verifier)
    await replayThroughout([verifier], ids, issuedAt, async () => {
      await server.admin.flushall()
    })
    await verifier.close()
    await broker.close()
  })

  it('when data is lost and no broker has noticed yet', async (t) => {
    const server = await startRedis()
    t.after(() => server.stop())
    const broker = await startBroker({ url: server.url })
    const verifier = await startVerifier({ url: server.url }, broker.key)
    const { ids } = await spendSome(verifier)
    await broker.publisher.close()
    await server.admin.flushall()
    // Without the issue time: the epoch's guard alone must refuse.
    const spends = await Promise.allSettled(ids.map((id) => verifier.ledger.spend(id, now() + 60)))
    assert.ok(spends.every(({ status }) => status === 'rejected'))
    await verifier.close()
    await broker.ledger.close()
  })

  for (const [what, how] of trouble)
    it(`when a heartbeat of the old epoch is heard after it was ${what}`, async (t) => {
      const server = await startRedis()
      t.after(() => server.stop())
      const broker = await startBroker({ url: server.url })
      const verifier = await startVerifier({ url: server.url }, broker.key)
      const { ids, issuedAt } = await spendSome(verifier)
      const old = verifier.revocations.epochs
      await broker.close()
      await server.kill()
      await server.restart(how)
      const details = new Set<string>()
      const end = performance.now() + 700
      while (performance.now() < end) {
        // Reading goes on between the attempts, or it would never connect again.
        await new Promise((resolve) => setTimeout(resolve, 2))
        verifier.ledger.learn?.(old)
        for (const id of ids) {
          const answer = await verifier.ledger.spend(id, now() + 60, issuedAt).catch(detailOf)
          details.add(String(answer))
        }
      }
      // Connected again, and still refused: the server is not the one of the heartbeat.
      assert.ok(details.delete('the epoch of the store is not known'), [...details].join())
      assert.deepEqual(
        [...details].filter((detail) => !/connect|did not answer/.test(detail)),
        [],
      )
      await verifier.close()
    })

  it('and a heartbeat of the old epoch cannot be sent to a server that started again', async (t) => {
    const server = await startRedis()
    t.after(() => server.stop())
    const broker = await startBroker({ url: server.url })
    const old = (await broker.ledger.feed?.epochs?.()) ?? []
    const beat = (): string => signBeat({ origin: 'o', at: now(), epochs: old }, issuer, broker.key)
    await broker.publisher.close()
    await broker.ledger.feed?.beat(beat(), old)
    await server.kill()
    await server.restart()
    await until(async () => ((await broker.ledger.feed?.epochs?.()) ?? []).length === 1)
    const before = await server.admin.xlen('writ:f:{feed}:beats')
    await assert.rejects(broker.ledger.feed?.beat(beat(), old) ?? Promise.resolve())
    await server.admin.flushall()
    const fresh = (await broker.ledger.feed?.epochs?.()) ?? []
    await server.admin.flushall()
    await assert.rejects(broker.ledger.feed?.beat(beat(), fresh) ?? Promise.resolve())
    assert.ok(before >= 1)
    assert.equal(await server.admin.xlen('writ:f:{feed}:beats'), 0)
    await broker.ledger.close()
  })
})

describe('under Sentinel, no spent token is honoured again', { skip }, () => {
  it('after a replica that lagged behind was promoted', async (t) => {
    const setup = await startSentinel(2)
    t.after(() => setup.stop())
    const place = { sentinel: { name: setup.name, sentinels: setup.sentinels }, replicas: 1 }
    const broker = await startBroker(place)
    const verifier = await startVerifier(place, broker.key)
    const { ids, issuedAt } = await spendSome(verifier)
    // Both replicas stop listening: what is marked now is on the primary alone, and so not answered.
    for (const replica of setup.replicas) replica.freeze()
    const unconfirmed = ids.map((id) => `${id}-unconfirmed`)
    const target = { kind: 'task', value: 't' } as const
    const revoke = () =>
      assert.rejects(broker.publisher.revoke({ target, reason: '', by: '' }), /ledger_unavailable/)
    const revoking = revoke()
    const answers = await Promise.all(
      unconfirmed.map((id) => attempt(verifier.ledger, id, issuedAt)),
    )
    assert.ok(answers.every((answer) => answer === 'ledger_unavailable'))
    await revoking
    await replayThroughout([verifier], [...ids, ...unconfirmed], issuedAt, async () => {
      // The connection is lost with the answers still to come, which is no reason to fall over either.
      setup.primary.freeze()
      await Promise.all([revoke(), setup.primary.kill()])
      for (const replica of setup.replicas) replica.thaw()
    })
    await verifier.close()
    await broker.close()
  })
})

describe('on a Cluster, no spent token is honoured again', { skip }, () => {
  it('spends are spread, one shard that fails stops only its own, and recovers', async (t) => {
    const setup = await startCluster()
    t.after(() => setup.stop())
    const place = { cluster: { nodes: setup.nodes }, replicas: 1 }
    const broker = await startBroker(place)
    const verifier = await startVerifier(place, broker.key)
    const { ids, issuedAt } = await spendSome(verifier)
    for (const { admin } of setup.primaries) assert.ok((await admin.dbsize()) > 5, 'spread')
    // Not the one with the feed, whose loss stops everything.
    const owners = await Promise.all(
      setup.primaries.map(async ({ admin }) => (await admin.keys('writ:f:*')).length > 0),
    )
    const victim = setup.primaries[owners.indexOf(false)]
    await replayThroughout([verifier], ids, issuedAt, async () => {
      await victim?.kill()
      await until(async () => {
        const fresh = Array.from({ length: 20 }, (_, n) => `fresh-${n}-${Math.random()}`)
        const asked = await Promise.all(fresh.map((id) => attempt(verifier.ledger, id, now() + 1)))
        return asked.includes(true) && asked.includes('ledger_unavailable')
      })
      await until(async () => {
        const infos = await Promise.all(
          setup.replicas.map(({ admin }) => admin.info('replication')),
        )
        return infos.some((info) => info.includes('role:master'))
      })
      await victim?.restart()
    })
    await verifier.close()
    await broker.close()
  })
})
