/** `GET /revocations`: who may follow, from where, and for how long. */
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import type { Context } from 'koa'
import type { FeedFollower, FeedTransport } from '../../src/revocation/feed.ts'
import type { FeedAnswer } from '../../src/revocation/http-feed-events.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { type FEED_LIMITS, type FeedServer, startFeedServer } from '../support/feed-server.ts'
import { until } from '../support/redis.ts'
import { send, startFixture } from './fixture.ts'

async function serving(
  t: { after(stop: () => Promise<void>): void },
  feed: FeedTransport = memoryFeed(),
  limits: Partial<typeof FEED_LIMITS> = {},
): Promise<FeedServer> {
  const server = await startFeedServer(feed, limits)
  t.after(() => server.close())
  return server
}

function open(server: FeedServer): Socket {
  const socket = connect(server.port, '127.0.0.1')
  socket.write('GET /revocations HTTP/1.1\r\nHost: x\r\n\r\n')
  socket.on('error', () => undefined)
  return socket
}

const JSON_TYPE = { accept: 'application/json' }

async function poll(server: FeedServer, query = ''): Promise<FeedAnswer> {
  const response = await fetch(`${server.url}${query}`, { headers: JSON_TYPE })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
  assert.equal(response.headers.get('cache-control'), 'no-store')
  return (await response.json()) as FeedAnswer
}

const told = ({ events }: FeedAnswer) => events.map(({ event, data }) => `${event} ${data}`)

/** The first events of a stream, as text. */
async function streamed(server: FeedServer, lastId: string, until: RegExp): Promise<string> {
  const headers = { accept: 'text/event-stream', 'last-event-id': lastId }
  const response = await fetch(server.url, { headers })
  let text = ''
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString()
    if (until.test(text)) break
  }
  return text
}

test('a follower that does not read is cut off, and what it has not read is not kept', async (t) => {
  const feed = memoryFeed()
  const server = await serving(t, feed, { feedBacklogBytes: 64 * 1024 })
  const socket = open(server)
  await until(() => server.streams.open === 1)
  socket.pause()
  for (let sent = 0; sent < 1_000 && server.streams.open > 0; sent += 1) {
    await feed.beat('e'.repeat(32 * 1024))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(server.streams.open, 0)
  socket.destroy()
})

test('a follower that goes away leaves its place, streaming or polling', async (t) => {
  const server = await serving(t)
  const socket = open(server)
  const gone = new AbortController()
  const { next } = await poll(server)
  const url = `${server.url}?after=${next}&wait=30`
  const polling = fetch(url, { headers: JSON_TYPE, signal: gone.signal }).catch(() => 'gone')
  await until(() => server.streams.open === 2)
  socket.destroy()
  gone.abort()
  assert.equal(await polling, 'gone')
  await until(() => server.streams.open === 0)
})

test('closing ends every stream and answers every poll', async (t) => {
  const server = await serving(t)
  const socket = open(server)
  socket.resume()
  const { next } = await poll(server)
  const polling = poll(server, `?after=${next}&wait=30`)
  await until(() => server.streams.open === 2)
  server.streams.close()
  await once(socket, 'close')
  assert.deepEqual(await polling, { events: [], next })
  assert.equal(server.streams.open, 0)
  const late = await fetch(server.url)
  assert.equal(late.status, 503)
})

test('one address cannot take every place, and gets one back when it ends another', async (t) => {
  const server = await serving(t, memoryFeed(), { feedStreams: 8, feedStreamsPerNetwork: 2 })
  const { next } = await poll(server)
  const socket = open(server)
  await until(() => server.streams.open === 1)
  const gone = new AbortController()
  const polling = fetch(`${server.url}?after=${next}&wait=30`, {
    headers: JSON_TYPE,
    signal: gone.signal,
  }).catch(() => undefined)
  await until(() => server.streams.open === 2)
  for (const headers of [{}, JSON_TYPE]) {
    assert.equal((await fetch(server.url, { headers })).status, 503)
  }
  socket.destroy()
  await until(() => server.streams.open === 1)
  assert.equal((await fetch(server.url, { headers: JSON_TYPE })).status, 200)
  gone.abort()
  await polling
})

test('whoever has one IPv6 network is one follower, however many addresses it has', async (t) => {
  const { streams } = await serving(t, memoryFeed(), { feedStreamsPerNetwork: 2 })
  const ended: (() => void)[] = []
  /** Asks for the headers of a stream from an address; its place is free when the answer has ended. */
  const from = (remoteAddress: string) => {
    const res = Object.assign(new EventEmitter(), { writeHead: () => res, end: () => res })
    ended.push(() => res.emit('close'))
    const req = { socket: { remoteAddress }, headers: {}, complete: true }
    const ctx = { req, res, method: 'HEAD', headers: {}, querystring: '', set: () => undefined }
    const asked = { ...ctx, accepts: () => 'text/event-stream', status: 200 }
    void streams.serve(asked as unknown as Context)
    return asked.status
  }
  const asked = ['2001:db8::1', '2001:db8:0:0:ffff::1', '2001:db8:0:0:1:2:3:4', '2001:db8:0:1::1']
  assert.deepEqual(asked.map(from), [200, 200, 503, 200])
  // One place is free, and no more than one.
  ended[0]?.()
  assert.deepEqual(['2001:db8::7', '2001:db8::8'].map(from), [200, 503])
  for (const end of ended) end()
  assert.deepEqual(['2001:db8::5', '192.0.2.1', '::ffff:192.0.2.1'].map(from), [200, 200, 200])
  for (const end of ended) end()
})

test('who takes nothing of an answer is cut off after a while, streaming or polling', async (t) => {
  const feed = memoryFeed()
  const limits = { feedBacklogBytes: 1024 ** 3, feedUnreadMs: 100 }
  const server = await serving(t, feed, limits)
  const large = 'e'.repeat(256 * 1024)
  // More than the buffers of a connection on one machine hold.
  for (let i = 0; i < 128; i += 1) await feed.append(`${i} ${large}`, undefined)
  for (const accept of ['text/event-stream', 'application/json']) {
    const socket = connect(server.port, '127.0.0.1').pause()
    socket.on('error', () => undefined)
    socket.write(`GET /revocations HTTP/1.1\r\nHost: x\r\nAccept: ${accept}\r\n\r\n`)
    await until(() => server.streams.open === 1)
    await until(async () => {
      await feed.beat('now')
      return server.streams.open === 0
    })
    socket.destroy()
  }
})

test('a poll is answered with everything at first, and then with what is new', async (t) => {
  const feed = memoryFeed()
  await feed.append('one', undefined)
  const server = await serving(t, feed)
  const first = await poll(server)
  assert.deepEqual(told(first), ['entry one', 'ready ready'])
  const waiting = poll(server, `?after=${first.next}&wait=30`)
  await until(() => server.streams.open === 1)
  await feed.append('two', undefined)
  const second = await waiting
  assert.deepEqual(told(second), ['entry two'])
  const third = await poll(server, `?after=${second.next}`)
  assert.deepEqual(third, { events: [], next: second.next })
  assert.deepEqual(told(await poll(server, `?after=${first.next}&wait=1`)), ['entry two'])
})

test('a poll that begins anew waits for the heartbeat that makes it count', async (t) => {
  const feed = memoryFeed()
  await feed.append('one', undefined)
  const server = await serving(t, feed)
  const waiting = poll(server, '?wait=30')
  await until(() => server.streams.open === 1)
  await feed.beat('now')
  assert.deepEqual(told(await waiting), ['entry one', 'ready ready', 'beat now'])
})

test('who names an id that cannot be gone on from is told, and given everything', async (t) => {
  const feed = memoryFeed()
  await feed.append('one', undefined)
  const server = await serving(t, feed)
  const { next } = await poll(server)
  const [instance = '', position] = next.split('.')
  const other = `${instance.slice(0, -1)}${instance.endsWith('A') ? 'B' : 'A'}.${position}`
  const ahead = `${instance}.${Number(position) + 1}`
  for (const id of [other, ahead]) {
    const anew = await poll(server, `?after=${id}`)
    assert.deepEqual(told(anew), ['lost lost', 'entry one', 'ready ready'], id)
    assert.equal(anew.next, next)
    const text = await streamed(server, id, /event: ready\ndata: ready\n\n/)
    const whole = `id: \nevent: lost\ndata: lost\n\nevent: entry\ndata: one\n\nid: ${next}\nevent: ready\ndata: ready\n\n`
    assert.equal(text, whole)
  }
})

test('who was away for too long is told, and given everything', async (t) => {
  const feed = memoryFeed()
  const server = await serving(t, feed, { feedBacklogBytes: 4000 })
  const { next } = await poll(server)
  const many = Array.from({ length: 100 }, (_, n) => `entry-${n}`)
  for (const entry of many) await feed.append(entry, undefined)
  const anew = await poll(server, `?after=${next}`)
  assert.deepEqual(told(anew), [
    'lost lost',
    ...many.map((entry) => `entry ${entry}`),
    'ready ready',
  ])
})

test('a stream goes on after the last event that was seen', async (t) => {
  const feed = memoryFeed()
  await feed.append('one', undefined)
  const server = await serving(t, feed)
  const { next } = await poll(server)
  await feed.append('two', undefined)
  const text = await streamed(server, next, /two/)
  assert.match(text, /^id: \S+\nevent: entry\ndata: two\n\n$/)
})

test('more than a connection takes at once comes whole, past proxies, and ends with the connection', async (t) => {
  const feed = memoryFeed()
  const large = Array.from({ length: 64 }, (_, n) => `${n} ${'e'.repeat(64 * 1024)}`)
  for (const entry of large) await feed.append(entry, undefined)
  const server = await serving(t, feed)
  const { headers, body } = await fetch(server.url)
  assert.equal(headers.get('x-accel-buffering'), 'no')
  assert.equal(headers.get('connection'), 'close')
  let text = ''
  for await (const chunk of body!) {
    text += Buffer.from(chunk).toString()
    if (text.endsWith('event: ready\ndata: ready\n\n')) break
  }
  assert.equal(text.match(/^event: entry$/gm)?.length, large.length)
})

test('a heartbeat of before is not sent to who comes back', async (t) => {
  const feed = memoryFeed()
  const server = await serving(t, feed)
  const { next } = await poll(server)
  await feed.beat('old')
  await new Promise((resolve) => setTimeout(resolve, 600))
  const waiting = poll(server, `?after=${next}&wait=30`)
  await until(() => server.streams.open === 1)
  await feed.beat('new')
  assert.deepEqual(told(await waiting), ['beat new'])
})

/** A feed in somebody's hand. */
function feedInHand() {
  const followers = new Set<FeedFollower>()
  const feed: FeedTransport = {
    append: async () => undefined,
    beat: async () => undefined,
    follow(follower) {
      followers.add(follower)
      return { close: async () => void followers.delete(follower) }
    },
  }
  const each = (tell: (follower: FeedFollower) => void) => [...followers].forEach(tell)
  return { feed, each, followers: () => followers.size }
}

test('who goes away, or is sent away, is followed for no longer, streaming or polling', async (t) => {
  const { feed, followers } = feedInHand()
  const server = await serving(t, feed)
  const url = `${server.url}?wait=30`
  // The feed is not whole, so each of them waits for it besides the broker itself.
  for (const leave of ['by itself', 'when the broker closes']) {
    const socket = open(server).resume()
    const gone = new AbortController()
    const polling = fetch(url, { headers: JSON_TYPE, signal: gone.signal }).catch(() => 'gone')
    await until(() => followers() === 3)
    if (leave === 'by itself') {
      socket.destroy()
      gone.abort()
      await until(() => followers() === 1)
    } else {
      server.streams.close()
      await until(() => followers() === 0)
    }
    await polling
    socket.destroy()
  }
})

test('a poll that the feed went past is told so at once, and never given a part', async (t) => {
  const { feed, each } = feedInHand()
  const server = await serving(t, feed, { feedBacklogBytes: 1000 })
  for (const last of ['still waiting', 'ready'] as const) {
    const waiting = fetch(`${server.url}?wait=30`, { headers: JSON_TYPE })
    await until(() => server.streams.open === 1)
    each((follower) => follower.beat('b'.repeat(2000)))
    if (last === 'ready') each((follower) => follower.ready?.())
    await until(() => server.streams.open === 0)
    assert.equal((await waiting).status, 503, last)
  }
  const whole = poll(server, '?wait=30')
  await until(() => server.streams.open === 1)
  each((follower) => follower.ready?.())
  const { next } = await whole
  const waiting = fetch(`${server.url}?after=${next}&wait=30`, { headers: JSON_TYPE })
  await until(() => server.streams.open === 1)
  each((follower) => follower.beat('b'.repeat(2000)))
  assert.equal((await waiting).status, 503, 'it had everything before')
})

test('what came meanwhile is answered in portions, what is kept in one', async (t) => {
  const feed = memoryFeed()
  const server = await serving(t, feed)
  const { next } = await poll(server)
  for (let n = 0; n < 600; n += 1) await feed.append(`${n}`, undefined)
  const first = await poll(server, `?after=${next}`)
  const rest = await poll(server, `?after=${first.next}`)
  assert.deepEqual([first.events.length, rest.events.length], [500, 100])
  const all = Array.from({ length: 600 }, (_, n) => `entry ${n}`)
  assert.deepEqual([...told(first), ...told(rest)], all)
  assert.deepEqual(told(await poll(server)), [...all, 'ready ready'])
})

test('what a broker does not know to be whole is no answer, and a stream says so', async (t) => {
  const { feed, each } = feedInHand()
  const server = await serving(t, feed)
  assert.equal((await fetch(server.url, { headers: JSON_TYPE })).status, 503)
  const waiting = poll(server, '?wait=30')
  await until(() => server.streams.open === 1)
  each((follower) => follower.entry('one'))
  each((follower) => follower.ready?.())
  const first = await waiting
  assert.deepEqual(told(first).slice(0, 3), ['lost lost', 'entry one', 'ready ready'])
  each((follower) => follower.lost('the store is away'))
  assert.match(await streamed(server, '', /lost/), /^id: \nevent: lost/)
  const { next } = await poll(server, `?after=${first.next}&wait=1`)
  each((follower) => follower.entry('again'))
  each((follower) => follower.ready?.())
  assert.deepEqual(told(await poll(server, `?after=${next}`)), ['entry again', 'ready ready'])
})

test('a text with a line break cannot pretend to be other events', async (t) => {
  const feed = memoryFeed()
  await feed.append('a\n\nevent: beat\ndata: b', undefined)
  const server = await serving(t, feed)
  const { next } = await poll(server)
  await feed.append('c\r\revent: beat\rdata: d', undefined)
  await feed.append('last', undefined)
  assert.match(
    await streamed(server, '', /ready/),
    /^event: entry\ndata: last\n\nid: \S+\nevent: ready\n/,
  )
  assert.deepEqual(told(await poll(server, `?after=${next}`)), ['entry last'])
})

test('a query that is not understood is refused', async (t) => {
  const server = await serving(t)
  const { next } = await poll(server)
  const wrong = [
    'wait=31',
    'wait=-1',
    'wait=1.5',
    'wait=01',
    'wait=',
    'wait=1&wait=1',
    'after=',
    'after=x',
    `after=${next}x`,
    `after=${next}&after=${next}`,
    `after=${encodeURIComponent(`${next}\n`)}`,
    'since=1',
    'After=1',
    '=',
  ]
  for (const query of wrong) {
    const { status } = await fetch(`${server.url}?${query}`, { headers: JSON_TYPE })
    assert.equal(status, 400, query)
  }
  for (const query of ['wait=1', `after=${next}`, 'x=1']) {
    const headers = { accept: 'text/event-stream' }
    assert.equal((await fetch(`${server.url}?${query}`, { headers })).status, 400, query)
  }
  assert.equal(server.streams.open, 0)
})

test('the headers alone end at once, streaming or polling', async (t) => {
  const server = await serving(t)
  for (const headers of [{}, JSON_TYPE]) {
    const response = await fetch(`${server.url}`, { method: 'HEAD', headers })
    assert.equal(response.status, 200)
    assert.equal(await response.text(), '')
  }
  await until(() => server.streams.open === 0)
})

test('what a broker waits for at the end of an answer is less than Node warns of', async (t) => {
  const fixture = await startFixture()
  t.after(() => fixture.close())
  const warnings: string[] = []
  const note = ({ name, message }: Error) => void warnings.push(`${name}: ${message}`)
  process.on('warning', note)
  t.after(() => process.off('warning', note))
  for (const wait of [0, 1]) {
    const url = `${fixture.issuer}/revocations?wait=${wait}`
    assert.equal((await send(url, { headers: JSON_TYPE })).status, 200)
  }
  // Warnings are told of a moment later.
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(warnings, [])
})
