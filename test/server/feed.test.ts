import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test } from 'node:test'
import type { Context } from 'koa'
import type { FeedFollower, FeedTransport } from '../../src/revocation/feed.ts'
import { createFeedStreams } from '../../src/server/feed.ts'

/** As much of a koa context as a stream, or its refusal, touches. */
function contextOf(req: IncomingMessage, res: ServerResponse): Context {
  const refused = {
    req,
    res,
    set: () => undefined,
    set status(status: number) {
      res.statusCode = status
    },
    set body(_: unknown) {
      res.end()
    },
  }
  return refused as unknown as Context
}

async function serving(feedBacklogBytes: number) {
  const followers = new Set<FeedFollower>()
  const transport: FeedTransport = {
    append: async () => undefined,
    beat: async () => undefined,
    follow(follower) {
      followers.add(follower)
      return { close: async () => void followers.delete(follower) }
    },
  }
  const streams = createFeedStreams(transport, {
    feedStreams: 8,
    feedStreamsPerAddress: 2,
    feedBacklogBytes,
  })
  const server = createServer((req, res) => streams.serve(contextOf(req, res)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  socket.on('error', () => undefined)
  while (followers.size === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  return { followers, streams, server, socket }
}

test('a follower that does not read is cut off instead of filling the memory', async () => {
  const { followers, streams, server, socket } = await serving(64 * 1024)
  socket.pause()
  for (let sent = 0; sent < 1_000 && followers.size > 0; sent += 1) {
    for (const follower of followers) follower.entry('e'.repeat(32 * 1024))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(followers.size, 0)
  assert.equal(streams.open, 0)
  socket.destroy()
  server.close()
})

test('a follower that goes away is no longer followed for', async () => {
  const { followers, streams, server, socket } = await serving(64 * 1024)
  assert.equal(streams.open, 1)
  socket.destroy()
  while (followers.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(streams.open, 0)
  server.close()
})

test('closing ends every stream', async () => {
  const { streams, server, socket } = await serving(64 * 1024)
  socket.resume()
  streams.close()
  await once(socket, 'close')
  assert.equal(streams.open, 0)
  server.close()
})

test('one address cannot take every stream, and gets one back when it ends another', async () => {
  const { followers, server, socket, streams } = await serving(64 * 1024)
  const { port } = server.address() as AddressInfo
  const follow = async () => (await fetch(`http://127.0.0.1:${port}/`)).status
  assert.deepEqual([await follow(), await follow()], [200, 503])
  socket.destroy()
  while (followers.size === 2) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal(await follow(), 200)
  streams.close()
  server.closeAllConnections()
  server.close()
})
