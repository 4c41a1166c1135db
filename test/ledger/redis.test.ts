import { describe } from 'node:test'
import { redisLedger } from '../../src/ledger/redis.ts'
import {
  skipWithoutRedis as skip,
  startCluster,
  startRedis,
  startSentinel,
} from '../support/redis.ts'
import { ledgerContract } from './contract.ts'

// The clocks of one machine agree, so tests need not wait for the tolerance to pass. A test machine
// may be busy, which is no reason to refuse.
const quick = { clockToleranceSeconds: 0, commandTimeoutMs: 1000 }
const resource = 'https://mcp.example/mcp'

describe('the Redis ledger', { skip }, () => {
  ledgerContract('a broker on one Redis', async () => {
    const server = await startRedis()
    const ledger = redisLedger({ url: server.url, role: 'broker', ...quick })
    await ledger.open()
    return {
      ledger,
      binds: true,
      breakStore: () => server.kill(),
      async close() {
        await ledger.close()
        await server.stop()
      },
    }
  })

  ledgerContract('a broker on a Redis that stops answering', async () => {
    const server = await startRedis()
    const ledger = redisLedger({ url: server.url, role: 'broker', ...quick })
    await ledger.open()
    return {
      ledger,
      binds: true,
      breakStore: async () => server.freeze(),
      async close() {
        server.thaw()
        await ledger.close()
        await server.stop()
      },
    }
  })

  ledgerContract('a broker under Sentinel', async () => {
    const setup = await startSentinel()
    const { name, sentinels } = setup
    const ledger = redisLedger({
      sentinel: { name, sentinels },
      replicas: 1,
      role: 'broker',
      ...quick,
    })
    await ledger.open()
    return {
      ledger,
      binds: true,
      // The primary stays: without a replica that confirms, nothing is spent.
      breakStore: async () => setup.replicas[0]?.kill(),
      async close() {
        await ledger.close()
        await setup.stop()
      },
    }
  })

  ledgerContract('a verifier on a Cluster', async () => {
    const setup = await startCluster()
    const place = { cluster: { nodes: setup.nodes }, replicas: 1, ...quick }
    const broker = redisLedger({ ...place, role: 'broker' })
    await broker.open()
    const ledger = redisLedger({ ...place, role: 'verifier', resource, staleAfterMs: 60_000 })
    await ledger.open()
    ledger.learn?.((await broker.feed?.epochs?.()) ?? [])
    return {
      ledger,
      binds: false,
      breakStore: async () => {
        for (const server of setup.primaries) await server.kill()
      },
      async close() {
        await ledger.close()
        await broker.close()
        await setup.stop()
      },
    }
  })
})
