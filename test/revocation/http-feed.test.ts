import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { httpFeed } from '../../src/revocation/http-feed.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { startFeedServer } from '../support/feed-server.ts'
import { until } from '../support/redis.ts'

const issuer = 'https://broker.example'
const key = makeSigningKey('k1')
const keys = keySourceOf(key)
const subject = { session: 'sid-1', agents: ['a'], principal: 'p' }

describe('the feed over HTTP', async () => {
  const feed = memoryFeed()
  const publisher = new RevocationPublisher({
    issuer,
    key: () => key,
    keys,
    transport: feed,
    beatEveryMs: 50,
  })
  await publisher.start()
  const broker = await startFeedServer(feed)
  const transport = httpFeed({ url: broker.url, silenceMs: 300, retryMs: 10 })
  const holder = new Revocations({ keys, issuer, transport })
  after(async () => {
    await holder.close()
    await publisher.close()
    await broker.close()
  })
  const isFresh = (): boolean => holder.fresh
  const stop = (kind: 'jti' | 'principal' | 'session', value: string) =>
    publisher.revoke({ target: { kind, value }, reason: '', by: 'x' })

  it('a verifier without the store hears what is stopped, before and after it came', async () => {
    await stop('principal', 'p')
    await holder.start()
    assert.throws(() => holder.check(subject, Date.now() / 1000), /revoked/)
    await stop('session', 's2')
    await until(() => holder.list().length === 2)
  })

  for (const trouble of ['refuse', 'hang', 'flood'] as const) {
    it(`cut off by a broker that would ${trouble}, it refuses, and recovers by itself`, async () => {
      await until(isFresh)
      broker.become(trouble)
      await until(() => !holder.fresh)
      await stop('jti', trouble)
      assert.throws(() => holder.check({ ...subject, principal: 'q' }, Date.now() / 1000), /stale/)
      broker.become('serve')
      await until(isFresh)
      assert.ok(
        holder.list().some(({ target }) => target.value === trouble),
        'nothing was missed',
      )
    })
  }

  for (const url of ['http://broker.example/revocations', 'ftp://127.0.0.1/', 'revocations']) {
    it(`${url} cannot be trusted`, () => {
      assert.throws(() => httpFeed({ url }), TypeError)
    })
  }

  it('can only be followed', async () => {
    await assert.rejects(transport.append('x', undefined), TypeError)
    await assert.rejects(transport.beat('x'), TypeError)
  })
})
