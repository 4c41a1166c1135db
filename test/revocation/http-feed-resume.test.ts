/** Followers over HTTP go on from where they were, whatever stands between them and the broker. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { FeedFollower, FeedTransport } from '../../src/revocation/feed.ts'
import { type HttpFeedOptions, httpFeed } from '../../src/revocation/http-feed.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { type FEED_LIMITS, type FeedServer, startFeedServer } from '../support/feed-server.ts'
import { until } from '../support/redis.ts'
import { type FeedProxy, startFeedProxy, type Trouble } from './feed-proxy.ts'

interface Scene {
  readonly feed: FeedTransport
  readonly broker: FeedServer
  readonly proxy: FeedProxy
  /** Everything the follower was told, in order: `entry a`, `beat 3`, `ready`, `lost`. */
  readonly heard: string[]
  /** The entries it was given since the last `lost`. */
  entries(): string[]
  append(...entries: string[]): Promise<void>
}

async function follow(
  t: TestContext,
  trouble: Trouble,
  options: Partial<HttpFeedOptions> = {},
  limits: Partial<typeof FEED_LIMITS> = {},
): Promise<Scene> {
  const feed = memoryFeed()
  const broker = await startFeedServer(feed, limits)
  const proxy = await startFeedProxy(broker.port, trouble)
  const append = async (...entries: string[]): Promise<void> => {
    for (const entry of entries) await feed.append(entry, undefined)
  }
  await append('first', 'second')
  let beats = 0
  const beating = setInterval(() => feed.beat(String(++beats)), 20)
  const heard: string[] = []
  const follower: FeedFollower = {
    entry: (text) => heard.push(`entry ${text}`),
    beat: (text) => heard.push(`beat ${text}`),
    lost: () => heard.push('lost'),
    ready: () => heard.push('ready'),
  }
  const subscription = httpFeed({
    url: proxy.url,
    silenceMs: 400,
    retryMs: 5,
    earlyMs: 200,
    ...options,
  }).follow(follower)
  t.after(async () => {
    clearInterval(beating)
    await subscription.close()
    await proxy.close()
    await broker.close()
  })
  const entries = () =>
    heard
      .slice(heard.lastIndexOf('lost') + 1)
      .filter((line) => line.startsWith('entry '))
      .map((line) => line.slice(6))
  return { feed, broker, proxy, heard, entries, append }
}

const beats = (heard: readonly string[]) => heard.filter((line) => line.startsWith('beat '))

/** Heartbeats go on being heard, and never one that is older than another. */
async function goesOn(scene: Scene): Promise<void> {
  const before = beats(scene.heard).length
  await until(() => beats(scene.heard).length > before + 10)
}

describe('a follower over HTTP', { concurrency: true }, () => {
  it('that was cut off is given what came since, and nothing twice', async (t) => {
    const scene = await follow(t, { how: 'cut', afterEvents: 12 }, { earlyMs: 0, silenceMs: 5000 })
    for (let n = 0; n < 40; n++) {
      await scene.append(`entry-${n}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await until(() => scene.entries().includes('entry-39'))
    const all = ['first', 'second', ...Array.from({ length: 40 }, (_, n) => `entry-${n}`)]
    assert.deepEqual(scene.entries(), all)
    assert.ok(!scene.heard.includes('lost'))
    assert.ok(scene.proxy.asked.length > 2 && !scene.proxy.asked.includes('poll'))
    const numbers = beats(scene.heard).map((line) => Number(line.slice(5)))
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    )
  })

  it('whose streams are cut again and again polls, and streams again when they come through', async (t) => {
    const scene = await follow(
      t,
      { how: 'cut', afterEvents: 4 },
      { earlyMs: 1000, silenceMs: 5000, streamAgainMs: 100 },
    )
    await until(() => scene.proxy.asked.includes('poll'))
    await scene.append('while polling')
    await until(() => scene.entries().includes('while polling'))
    await goesOn(scene)
    scene.proxy.trouble = { how: 'none' }
    let length = 0
    do {
      length = scene.proxy.asked.length
      await goesOn(scene)
    } while (scene.proxy.asked.length > length)
    await scene.append('streaming again')
    await until(() => scene.entries().includes('streaming again'))
    assert.equal(scene.proxy.asked.length, length)
    assert.deepEqual(scene.entries(), ['first', 'second', 'while polling', 'streaming again'])
    assert.ok(!scene.heard.includes('lost'), 'nothing was ever in doubt')
  })

  for (const trouble of [{ how: 'keep' }, { how: 'collect', everyMs: 300 }] as const) {
    it(`behind a proxy that would ${trouble.how} a stream polls`, async (t) => {
      const scene = await follow(t, trouble, { streamAgainMs: 60_000 })
      await until(() => scene.proxy.asked.includes('poll'))
      await goesOn(scene)
      await scene.append('third')
      await until(() => scene.entries().includes('third'))
      assert.deepEqual(scene.entries(), ['first', 'second', 'third'])
    })
  }

  it('that looks for streams while it polls does not stop polling for it', async (t) => {
    const scene = await follow(t, { how: 'keep' }, { streamAgainMs: 50 })
    await until(() => scene.proxy.asked.includes('poll'))
    await goesOn(scene)
    const from = scene.heard.length
    await until(() => scene.proxy.asked.filter((what) => what === 'stream').length > 3)
    await goesOn(scene)
    assert.ok(!scene.heard.slice(from).includes('lost'))
  })

  for (const how of ['none', 'keep'] as const) {
    const title = how === 'none' ? 'streaming' : 'polling'
    it(`${title} from a broker that was started again is told, and given everything`, async (t) => {
      const scene = await follow(t, { how }, { streamAgainMs: 60_000 })
      if (how === 'keep') await until(() => scene.proxy.asked.includes('poll'))
      await goesOn(scene)
      const from = scene.heard.length
      scene.broker.startAgain()
      await until(() => scene.heard.indexOf('lost', from) >= 0)
      await until(() => scene.entries().length === 2)
      await scene.append('third')
      await until(() => scene.entries().includes('third'))
      assert.deepEqual(scene.entries(), ['first', 'second', 'third'])
      await goesOn(scene)
      // Whole only after everything: no heartbeat comes between the loss and the last entry of before.
      const after = scene.heard.slice(scene.heard.lastIndexOf('lost') + 1)
      assert.deepEqual(after.slice(0, 3), ['entry first', 'entry second', 'ready'])
    })
  }

  it('that was away for longer than the broker remembers is told, and given everything', async (t) => {
    const scene = await follow(t, { how: 'none' }, {}, { feedBacklogBytes: 2000 })
    await goesOn(scene)
    const ids = scene.broker.requests.length
    const many = Array.from({ length: 100 }, (_, n) => `entry-${n}`)
    // The follower's connection takes nothing while this turn lasts.
    for (const entry of many) scene.feed.append(entry, undefined)
    scene.broker.become('serve')
    await until(() => scene.entries().length >= 102)
    assert.ok(scene.broker.requests.length > ids)
    assert.deepEqual([...new Set(scene.entries())], ['first', 'second', ...many])
  })

  it('that cannot reach the broker at the next try is told at once', async (t) => {
    const scene = await follow(t, { how: 'none' })
    await goesOn(scene)
    scene.broker.become('refuse')
    await until(() => scene.heard.at(-1) === 'lost')
    await scene.append('meanwhile')
    scene.broker.become('serve')
    await until(() => scene.entries().length === 3)
    assert.deepEqual(scene.entries(), ['first', 'second', 'meanwhile'])
  })

  it('with more to be given than a connection takes at once is given it all', async (t) => {
    const scene = await follow(t, { how: 'none' }, { earlyMs: 0, silenceMs: 3000 })
    await goesOn(scene)
    const big = Array.from({ length: 400 }, (_, n) => `${n} ${'x'.repeat(8000)}`)
    await scene.append(...big)
    await until(() => new Set(scene.entries()).size === 402)
    scene.broker.startAgain()
    const from = scene.heard.length
    await until(() => scene.heard.indexOf('lost', from) >= 0 && scene.entries().length >= 402)
    assert.deepEqual([...new Set(scene.entries())], ['first', 'second', ...big])
    await goesOn(scene)
  })

  it('that is cut off in the middle of being given everything is told, and begins anew', async (t) => {
    const lastIds: unknown[] = []
    const id = `${'i'.repeat(16)}.1`
    const server = createServer((req, res) => {
      lastIds.push(req.headers['last-event-id'])
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      const first = `id: ${id}\nevent: ready\ndata: ready\n\n`
      const second = 'id: \nevent: lost\ndata: lost\n\nevent: entry\ndata: a\n\n'
      res.end(lastIds.length === 1 ? first : second)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const heard: string[] = []
    const { port } = server.address() as AddressInfo
    const subscription = httpFeed({ url: `http://127.0.0.1:${port}/`, retryMs: 5 }).follow({
      entry: (text) => heard.push(`entry ${text}`),
      beat: () => undefined,
      lost: () => heard.push('lost'),
      ready: () => heard.push('ready'),
    })
    t.after(async () => {
      await subscription.close()
      server.close()
    })
    await until(() => lastIds.length >= 3)
    assert.deepEqual(lastIds.slice(0, 3), [undefined, id, undefined])
    assert.deepEqual(heard.slice(0, 4), ['ready', 'lost', 'entry a', 'lost'])
  })
})
