/** What a broker on Redis says of its feed: nothing while it is well, and what is wrong when it is not. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { pino } from 'pino'
import { openFeed } from '../../src/cli/feed.ts'
import type { Config } from '../../src/config/config.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import { newKeys, openKeys, type SigningKeys } from '../../src/mint/keys.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { signBeat } from '../../src/revocation/feed-text.ts'
import { makeSigningKey } from '../support/feed-keys.ts'
import { type RedisServer, skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { issuer, now } from './redis-setup.ts'

const config = {
  issuer,
  revocation: { beatEveryMs: 50, staleAfterMs: 1000 },
} as unknown as Config
const BEATS = 'writ:f:{feed}:beats'
const COUNT = 'writ:f:{feed}:count'

/** All at once, as who was busy finds them: heartbeats and the millisecond at which each came. */
const WRITE = `
  local n = redis.call('GET', KEYS[2]) or '0'
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  local ms = last[1] and tonumber(string.match(last[1][1], '^%d+')) or 0
  for i = 1, #ARGV, 2 do
    local id = string.format('%d', ms + ARGV[i]) .. '-0'
    redis.call('XADD', KEYS[1], id, 'n', n, 't', ARGV[i + 1])
  end`

async function keysOf(t: TestContext): Promise<SigningKeys> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-quiet-'))
  t.after(() => rm(directory, { recursive: true }))
  await newKeys(directory, 'ES256', now())
  return openKeys(directory, { now: now() })
}

/** The feed of a broker as `writ serve` opens it. @param onReady once the feed has been read */
async function opened(server: RedisServer, keys: SigningKeys, onReady?: () => void) {
  const lines: { level: number; msg: string }[] = []
  const log = pino({ base: undefined }, { write: (line) => void lines.push(JSON.parse(line)) })
  const ledger = redisLedger({
    ...{ url: server.url, role: 'broker', clockToleranceSeconds: 0, commandTimeoutMs: 1000 },
  } as const)
  await ledger.open()
  const feed = ledger.feed as FeedTransport
  const transport: FeedTransport = {
    ...feed,
    follow: (follower) =>
      feed.follow({
        ...follower,
        ready() {
          follower.ready?.()
          onReady?.()
        },
      }),
  }
  const stack = new AsyncDisposableStack()
  stack.defer(() => ledger.close())
  const { publisher, revocations } = await openFeed(config, { transport, keys, log }, stack)
  const alarms = () => lines.filter(({ level }) => level >= 40).map(({ msg }) => msg)
  return { publisher, revocations, alarms, close: () => stack.disposeAsync() }
}

it('a start that finds the heartbeats of a dead broker alarms nobody; what is forged or late does', {
  skip,
}, async (t) => {
  const server = await startRedis()
  t.after(() => server.stop())
  const keys = await keysOf(t)
  const write = (...beats: readonly (readonly [ms: number, text: string])[]) =>
    server.admin.eval(WRITE, 2, BEATS, COUNT, ...beats.flat())
  const beatOf = (origin: string, secondsAgo: number, key = keys.current(now())) =>
    signBeat({ origin, at: now() - secondsAgo, epochs: [] }, issuer, key)

  const dead = await opened(server, keys)
  await until(() => Object.keys(dead.revocations.heard).length === 1)
  assert.deepEqual(dead.alarms(), [])
  await dead.close()

  // While it is busy with the first reading, a broker beats that then dies, and another that goes on.
  let written: Promise<unknown> | undefined
  const broker = await opened(server, keys, () => {
    const ages = [8, 7, 6, 5, 4, 3]
    written ??= write(...ages.map((age) => [(10 - age) * 1000, beatOf('dead', age)] as const), [
      10_000,
      beatOf('alive', 0),
    ])
  })
  t.after(() => broker.close())
  await written
  await until(() => 'alive' in broker.revocations.heard)
  assert.equal('dead' in broker.revocations.heard, false)
  assert.deepEqual(broker.alarms(), [])

  await write([1, beatOf('late', 3)])
  await until(() => broker.alarms().length === 1)
  const forger = makeSigningKey(keys.current(now()).kid)
  await write([1, beatOf('alive', 0, forger)])
  await until(() => broker.alarms().length === 2)
  const refused = (why: string) => `a beat of the revocation feed is refused: ${why}`
  assert.deepEqual(broker.alarms(), [
    refused('its time is not ours'),
    refused('the signature is wrong'),
  ])

  await server.kill()
  await until(() => broker.alarms().length === 3)
  assert.match(broker.alarms()[2] ?? '', /^revocations cannot be published: /)
})
