/** A slot of a Cluster moves from one server to another while its ids are being spent. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { FEED_TAG, SEEN_TAG, shortHash, slotOf } from '../../src/ledger/redis-keys.ts'
import {
  type RedisServer,
  skipWithoutRedis as skip,
  startCluster,
  until,
} from '../support/redis.ts'
import { attempt, now, startBroker, startVerifier, untilSpending } from './redis-setup.ts'

/** Neither the feed's nor the sessions' slot, and owned by the first of three. */
const SLOT = 77
assert.ok(![slotOf(FEED_TAG), slotOf(SEEN_TAG)].includes(SLOT))

const STAGES = 5
const PER_STAGE = 4
/** All kept in the slot. */
const ids: string[] = []
for (let n = 0; ids.length < STAGES * PER_STAGE; n++) {
  if (slotOf(shortHash(`id-${n}`)) === SLOT) ids.push(`id-${n}`)
}

const setSlot = (server: RedisServer, ...words: string[]) =>
  server.admin.call('CLUSTER', 'SETSLOT', String(SLOT), ...words)
const nameOf = async ({ admin }: RedisServer) => String(await admin.call('CLUSTER', 'MYID'))

interface Move {
  readonly from: RedisServer
  readonly to: RedisServer
  readonly third: RedisServer
}

async function open({ from, to }: Move): Promise<void> {
  await setSlot(to, 'IMPORTING', await nameOf(from))
  await setSlot(from, 'MIGRATING', await nameOf(to))
}

async function moveKeys({ from, to }: Move): Promise<number> {
  for (let moved = 0; ; ) {
    const keys = (await from.admin.call('CLUSTER', 'GETKEYSINSLOT', String(SLOT), '5')) as string[]
    if (keys.length === 0) return moved
    await from.admin.call('MIGRATE', to.host, String(to.port), '', '0', '5000', 'KEYS', ...keys)
    moved += keys.length
  }
}

async function close(move: Move): Promise<void> {
  const name = await nameOf(move.to)
  for (const server of [move.to, move.from, move.third]) await setSlot(server, 'NODE', name)
  await untilMoved(move)
}

async function untilMoved({ from, third }: Move): Promise<void> {
  await until(async () => {
    for (const { admin } of [from, third]) {
      const ranges = (await admin.call('CLUSTER', 'SLOTS')) as [number, number][]
      if (!ranges.some(([first, last]) => first === SLOT && last === SLOT)) return false
    }
    return true
  })
}

type Spender = readonly [whose: string, ledger: Ledger]

/** Everybody tries each of the ids again and again while `during` runs. Answers who was told `true`. */
async function spendThroughout(
  spenders: readonly Spender[],
  issuedAt: () => number,
  tried: () => readonly string[],
  during: () => Promise<void>,
): Promise<string[]> {
  const won: string[] = []
  let over = false
  const spending = spenders.map(async ([whose, ledger]) => {
    while (!over) {
      await Promise.all(
        tried().map(async (id) => {
          if ((await attempt(ledger, id, issuedAt())) === true) won.push(`${whose} ${id}`)
        }),
      )
      await sleep(1)
    }
  })
  try {
    await during()
  } finally {
    over = true
    await Promise.all(spending)
  }
  return won.sort()
}

describe('while a slot of a Cluster moves', { skip }, () => {
  async function scene(t: { after(hook: () => Promise<void>): void }) {
    const setup = await startCluster()
    t.after(() => setup.stop())
    const place = { cluster: { nodes: setup.nodes }, replicas: 1 }
    const broker = await startBroker(place)
    const verifiers = [
      await startVerifier(place, broker.key),
      await startVerifier(place, broker.key),
    ]
    t.after(async () => {
      for (const each of [...verifiers, broker]) await each.close()
    })
    const [from, to, third] = setup.primaries as [RedisServer, RedisServer, RedisServer]
    const theirs = verifiers.map(({ ledger }): Spender => ['verifier', ledger])
    const spenders: readonly Spender[] = [['broker', broker.ledger], ...theirs]
    const untilAllSpend = async (): Promise<void> => {
      for (const [, ledger] of spenders) await untilSpending(ledger)
    }
    await untilAllSpend()
    return { move: { from, to, third }, spenders, untilAllSpend }
  }

  it('of all spends of an id exactly one is told true, whenever it was first tried', async (t) => {
    const { move, spenders, untilAllSpend } = await scene(t)
    let stage = 0
    const next = async (): Promise<void> => {
      stage++
      await sleep(300)
    }
    const won = await spendThroughout(
      spenders,
      () => Math.floor(now()),
      () => ids.slice(0, stage * PER_STAGE),
      async () => {
        await next()
        await open(move)
        await next()
        assert.ok((await moveKeys(move)) >= 2 * PER_STAGE, 'spends of brokers and verifiers')
        await next()
        await close(move)
        await next()
        await untilAllSpend()
        await next()
      },
    )
    assert.deepEqual(
      won,
      [...ids.map((id) => `broker ${id}`), ...ids.map((id) => `verifier ${id}`)].sort(),
    )
  })

  it('no spent id is honoured again when it came without its keys', async (t) => {
    const { move, spenders, untilAllSpend } = await scene(t)
    const issuedAt = Math.floor(now())
    for (const [, ledger] of spenders.slice(0, 2)) {
      for (const id of ids) assert.equal(await attempt(ledger, id, issuedAt), true)
    }
    const won = await spendThroughout(
      spenders,
      () => issuedAt,
      () => ids,
      async () => {
        await setSlot(move.to, 'IMPORTING', await nameOf(move.from))
        await setSlot(move.to, 'NODE', await nameOf(move.to))
        await untilMoved(move)
        await untilAllSpend()
        // A token issued later is honoured in the slot: it is as new to the server as its id.
        const [, [, verifier]] = spenders as [Spender, Spender]
        await until(async () => (await attempt(verifier, ids[0] as string, now() + 60)) === true)
      },
    )
    assert.deepEqual(won, [])
  })
})
