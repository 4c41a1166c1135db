/** Verifiers that share one Redis: with its own feed, and with the broker's stream over HTTP. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redisLedger } from '../../src/ledger/redis.ts'
import { httpFeed } from '../../src/revocation/http-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import { startFeedServer } from '../support/feed-server.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import {
  brokerKey,
  brokerKeys,
  callMessage,
  claimsFor,
  ISSUER,
  mint,
  RESOURCE,
  request,
} from './rig.ts'

test('of many uses of one token at verifiers that share Redis, exactly one is allowed', {
  skip: skipWithoutRedis,
}, async (t) => {
  const redis = await startRedis()
  const { url } = redis
  const brokers = redisLedger({ url, role: 'broker' })
  await brokers.open()
  const transport = brokers.feed!
  const publisher = new RevocationPublisher({
    issuer: ISSUER,
    key: () => brokerKey,
    keys: brokerKeys,
    transport,
  })
  await publisher.start()
  const server = await startFeedServer(transport)

  const ledgers = [0, 1, 2].map(() => redisLedger({ url, role: 'verifier', resource: RESOURCE }))
  const verifiers: Verifier[] = ledgers.map((ledger, index) =>
    createVerifier({
      issuer: ISSUER,
      resource: RESOURCE,
      ledger,
      definitions: 'unchecked',
      audit: () => {},
      keys: brokerKeys,
      // The last one hears the broker's stream, and its ledger the epochs through it.
      ...(index === 2 ? { feed: httpFeed({ url: server.url }) } : {}),
    }),
  )
  t.after(async () => {
    for (const verifier of verifiers) await verifier.close()
    for (const ledger of ledgers) await ledger.close()
    await publisher.close()
    await brokers.close()
    await server.close()
    await redis.stop()
  })
  await Promise.all(verifiers.map((verifier) => verifier.ready()))
  // Tokens of the second in which the store began may have been forgotten by it.
  await new Promise((resolve) => setTimeout(resolve, 1100))

  for (const only of [verifiers, verifiers.slice(2)]) {
    const token = mint(claimsFor({}))
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        only[n % only.length]!.check(request({ token, message: callMessage() })),
      ),
    )
    const statuses = outcomes.map((one) => (one.allowed ? 200 : one.status))
    assert.equal(statuses.filter((status) => status === 200).length, 1, String(statuses))
    assert.equal(statuses.filter((status) => status === 401).length, 59, String(statuses))
  }
})
