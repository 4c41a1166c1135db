/**
 * The revocation feed in Redis: a hash of what is live, a short log of what came, and a few
 * heartbeats, all on one server. A follower takes the hash first and then the log.
 *
 * Every entry in the log carries a number, and every heartbeat the number of the last entry. So a
 * follower that missed one, whatever the reason, finds out with the next heartbeat and begins again.
 */
import { steadyClock } from '../lib/steady-clock.ts'
import { FanOut } from '../revocation/fan-out.ts'
import type { Epoch, FeedTransport, KeptEntry } from '../revocation/feed.ts'
import { unavailable } from './bounds.ts'
import { type FeedKeys, readFeed } from './redis-feed-reader.ts'
import { FEED_TAG, slotOf } from './redis-keys.ts'
import type { Link } from './redis-link.ts'
import type { Topology } from './redis-topology.ts'

const APPEND = `
  local function append(id, text, ends)
    local n = redis.call('INCR', KEYS[3])
    redis.call('HSET', KEYS[1], id, ends .. ' ' .. text)
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'n', n, 'i', id, 'x', ends, 't', text)
  end`
const APPEND_ALL = `${APPEND}
  for i = 1, #ARGV, 3 do append(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
  return 1`
const RESTORE = `${APPEND}
  local put = 0
  for i = 1, #ARGV, 3 do
    if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then
      append(ARGV[i], ARGV[i + 1], ARGV[i + 2])
      put = put + 1
    end
  end
  return put`
const BEAT = `
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  local n = redis.call('GET', KEYS[3]) or '0'
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 16, '*', 'n', n, 't', ARGV[2])
  return 1`
const SWEEP = `
  local now = math.min(tonumber(redis.call('TIME')[1]), tonumber(ARGV[2]))
  local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
  for i = 1, #page[2], 2 do
    local ends = tonumber(string.match(page[2][i + 1], '^%S*'))
    if ends and ends > 0 and ends < now then redis.call('HDEL', KEYS[1], page[2][i]) end
  end
  return page[1]`

const RESTORED_PER_CALL = 200
const SWEEP_EVERY_BEATS = 16

export interface RedisFeedOptions {
  readonly topology: Topology
  readonly keys: FeedKeys
  readonly replicas: number
  readonly commandTimeoutMs: number
  /** Seconds since the epoch. */
  readonly clock: () => number
  /** For brokers: the epochs of all servers now. */
  readonly epochs: (() => Promise<readonly Epoch[]>) | undefined
  readonly learn: (epochs: readonly Epoch[]) => void
}

export function redisFeed(options: RedisFeedOptions): FeedTransport & { close(): Promise<void> } {
  const { topology, keys, replicas, commandTimeoutMs } = options
  const slot = slotOf(FEED_TAG)
  const clock = steadyClock(options.clock)
  const followers = new FanOut()
  let reader: { close(): Promise<void> } | undefined
  let beats = 0
  let cursor = '0'

  function feedLink(): Link {
    const link = topology.linkOf(slot)
    if (link === undefined) throw unavailable('no server is known for the feed')
    return link
  }

  async function write(script: string, args: readonly string[]): Promise<void> {
    const list = [keys.live, keys.log, keys.count]
    await feedLink().ask(async (redis) => {
      // Both leave in one turn and in this order, so the replicas confirm this write. Both are listened
      // to: of a connection that is lost, an answer that nobody waits for would end the process.
      const [, confirmed] = await Promise.all([
        redis.eval(script, list.length, ...list, ...args),
        replicas > 0 ? redis.wait(replicas, Math.ceil(commandTimeoutMs * 0.75)) : 0,
      ])
      if (confirmed < replicas) throw new Error('too few replicas confirmed')
    })
  }

  const feed: FeedTransport & { close(): Promise<void> } = {
    append: (text, expiresAt, id = text) => write(APPEND_ALL, argumentsOf({ id, text, expiresAt })),

    appendAll: (entries) => write(APPEND_ALL, entries.flatMap(argumentsOf)),

    async beat(heartbeat, epochs = []) {
      const link = feedLink()
      const epoch = epochs.find(({ server }) => server === link.server?.runId)
      // The connection's server is the epoch's, by its run id; the script sees the rest.
      if (epoch === undefined) throw unavailable('the feed is on a server of another epoch')
      const sent = await link.ask((redis) =>
        redis.eval(BEAT, 3, epoch.guardKey, keys.beats, keys.count, epoch.guard, heartbeat),
      )
      if (sent !== 1) throw unavailable('the store began a new epoch')
      if (++beats % SWEEP_EVERY_BEATS === 0) {
        // What is dropped is missed by every holder to come, so neither clock alone decides it.
        const now = Math.floor(clock())
        cursor = String(await link.ask((redis) => redis.eval(SWEEP, 1, keys.live, cursor, now)))
      }
    },

    follow(follower) {
      const subscription = followers.follow(follower)
      reader ??= readFeed(() => topology.connect(slot), keys, followers)
      return subscription
    },

    async restore(entries) {
      for (let first = 0; first < entries.length; first += RESTORED_PER_CALL) {
        const some = entries.slice(first, first + RESTORED_PER_CALL)
        await write(RESTORE, some.flatMap(argumentsOf))
      }
    },

    learn: options.learn,

    async close() {
      await reader?.close()
    },
  }
  if (options.epochs !== undefined) feed.epochs = options.epochs
  return feed
}

function argumentsOf({ id, text, expiresAt }: KeptEntry): string[] {
  return [id, text, expiresAt === undefined ? '0' : String(Math.ceil(expiresAt))]
}
