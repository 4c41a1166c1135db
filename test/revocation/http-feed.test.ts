import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import { feedStream, httpFeed } from '../../src/revocation/http-feed.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'

const issuer = 'https://broker.example'
const key = makeSigningKey('k1')
const keys = keySourceOf(key)
const subject = { session: 'sid-1', agents: ['a'], principal: 'p' }

/** A broker's `/revocations`, and a switch that cuts every client off. */
async function startBroker() {
  const transport = memoryFeed()
  const publisher = new RevocationPublisher({
    issuer,
    key: () => key,
    keys,
    transport,
    beatEveryMs: 50,
  })
  const clients = new Set<ServerResponse>()
  let how: 'serve' | 'refuse' | 'hang' | 'flood' = 'serve'
  const server: Server = createServer((_, response) => {
    if (how === 'refuse') return response.writeHead(503).end()
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    clients.add(response)
    if (how === 'hang') return response.write(':\n\n')
    if (how === 'flood') return response.write('x'.repeat(1_000_000))
    const subscription = feedStream(transport, (chunk) => response.write(chunk))
    response.on('close', () => {
      clients.delete(response)
      void subscription.close()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await publisher.start()
  return {
    publisher,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/revocations`,
    become(next: typeof how) {
      how = next
      for (const client of clients) client.destroy()
    },
    async close() {
      await publisher.close()
      for (const client of clients) client.destroy()
      server.close()
    },
  }
}

describe('the feed over HTTP', async () => {
  const broker = await startBroker()
  const transport = httpFeed({ url: broker.url, silenceMs: 300, retryMs: 10 })
  const holder = new Revocations({ keys, issuer, transport })
  after(async () => {
    await holder.close()
    await broker.close()
  })
  const isFresh = (): boolean => holder.fresh

  it('a verifier without the store hears what is stopped, before and after it came', async () => {
    await broker.publisher.revoke({
      target: { kind: 'principal', value: 'p' },
      reason: '',
      by: 'x',
    })
    await holder.start()
    assert.throws(() => holder.check(subject, Date.now() / 1000), /revoked/)
    await broker.publisher.revoke({ target: { kind: 'session', value: 's2' }, reason: '', by: 'x' })
    await until(() => holder.list().length === 2)
  })

  for (const trouble of ['refuse', 'hang', 'flood'] as const) {
    it(`cut off by a broker that would ${trouble}, it refuses, and recovers by itself`, async () => {
      await until(isFresh)
      broker.become(trouble)
      await until(() => !holder.fresh)
      await broker.publisher.revoke({
        target: { kind: 'jti', value: trouble },
        reason: '',
        by: 'x',
      })
      assert.throws(() => holder.check({ ...subject, principal: 'q' }, Date.now() / 1000), /stale/)
      broker.become('serve')
      await until(isFresh)
      assert.ok(
        holder.list().some(({ target }) => target.value === trouble),
        'nothing was missed',
      )
    })
  }

  it('a text with a line break cannot pretend to be other events', async () => {
    const feed = memoryFeed()
    const written: string[] = []
    feedStream(feed, (chunk) => written.push(chunk))
    await feed.append('a\n\nevent: beat\ndata: b', undefined)
    assert.deepEqual(written, ['event: ready\ndata: ready\n\n'])
  })

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
