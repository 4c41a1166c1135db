/** Every store that a broker can have, as the shared promises are tried on it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Documents } from '../../src/ledger/documents.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import { redisAcl } from '../../src/ledger/redis-acl.ts'
import type { Credentials } from '../../src/ledger/redis-connect.ts'
import type { SessionBook } from '../../src/ledger/session-book.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { type RedisServer, startCluster, startRedis, startSentinel } from '../support/redis.ts'

export interface BrokerStore {
  readonly documents: Documents
  readonly sessions: SessionBook
  /** Makes the store unreachable, as far as that is possible. */
  breakStore(): Promise<void>
  close(): Promise<void>
}

// The clocks of one machine agree, so tests need not wait for the tolerance to pass. A test machine
// may be busy, which is no reason to refuse.
export const quick = { role: 'broker', clockToleranceSeconds: 0, commandTimeoutMs: 1000 } as const

export function brokerStore(
  ledger: Ledger,
  breakStore: () => Promise<void>,
  stop: () => Promise<void> | void,
): BrokerStore {
  const { documents, sessions } = ledger
  assert.ok(documents !== undefined && sessions !== undefined)
  return {
    documents,
    sessions,
    breakStore,
    async close() {
      await ledger.close()
      await stop()
    },
  }
}

export async function memoryStore(): Promise<BrokerStore> {
  const ledger = memoryLedger({ role: 'broker' })
  await ledger.open()
  return brokerStore(
    ledger,
    () => ledger.close(),
    () => undefined,
  )
}

export async function sqliteStore(): Promise<BrokerStore> {
  const folder = mkdtempSync(join(tmpdir(), 'writ-sqlite-'))
  const ledger = sqliteLedger({ file: join(folder, 'store.db'), role: 'broker' })
  await ledger.open()
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  return brokerStore(ledger, () => ledger.close(), remove)
}

/** As a user with the rights that writ prints for brokers, and no more. */
export async function redisStore(): Promise<BrokerStore> {
  const server = await startRedis()
  const [command = '', ...words] = redisAcl({ role: 'broker', user: 'broker' })
  await server.admin.call(command, ...words, '>pw')
  return redisStoreOn(server, { username: 'broker', password: 'pw' })
}

export async function redisStoreOn(
  server: RedisServer,
  user: Credentials = {},
): Promise<BrokerStore> {
  const ledger = redisLedger({ url: server.url, ...user, ...quick })
  await ledger.open()
  return brokerStore(
    ledger,
    () => server.kill(),
    () => server.stop(),
  )
}

export async function frozenRedisStore(): Promise<BrokerStore> {
  const server = await startRedis()
  const ledger = redisLedger({ url: server.url, ...quick })
  await ledger.open()
  const stop = async (): Promise<void> => {
    server.thaw()
    await server.stop()
  }
  return brokerStore(ledger, async () => server.freeze(), stop)
}

/** Broken by the loss of the replica: the primary stays, and nothing is confirmed. */
export async function sentinelStore(): Promise<BrokerStore> {
  const setup = await startSentinel()
  const { name, sentinels } = setup
  const ledger = redisLedger({ sentinel: { name, sentinels }, replicas: 1, ...quick })
  await ledger.open()
  const loseReplica = async (): Promise<void> => setup.replicas[0]?.kill()
  return brokerStore(ledger, loseReplica, () => setup.stop())
}

export async function clusterStore(): Promise<BrokerStore> {
  const setup = await startCluster()
  const ledger = redisLedger({ cluster: { nodes: setup.nodes }, replicas: 1, ...quick })
  await ledger.open()
  const killAll = async (): Promise<void> => {
    for (const server of [...setup.primaries, ...setup.replicas]) await server.kill()
  }
  return brokerStore(ledger, killAll, () => setup.stop())
}
