import type { Redis } from 'ioredis'
import type { FanOut } from '../revocation/fan-out.ts'
import type { KeptEntry } from '../revocation/feed.ts'
import { CLOCK_TOLERANCE_SECONDS } from '../revocation/freshness.ts'
import { connected, within } from './redis-connect.ts'

export interface FeedKeys {
  readonly live: string
  readonly log: string
  readonly count: string
  readonly beats: string
}

type StreamItem = readonly [id: string, fields: readonly string[]]

const BLOCK_MS = 1000
const PAGE = 500
const MAX_RETRY_MS = 500
const SWEEP_EVERY_READS = 64
/** Of heartbeats that are read together, those this much older than the last: no holder takes them. */
const OLD_BEAT_MS = CLOCK_TOLERANCE_SECONDS * 1000

/**
 * Reads the feed on a connection of its own into `followers`, for ever: a connection that is lost,
 * silent or found to have missed something is given up, and reading begins again from everything
 * that is live.
 */
export function readFeed(connect: () => Redis, keys: FeedKeys, followers: FanOut) {
  let closed = false
  let current: Redis | undefined
  let wake: (() => void) | undefined

  async function pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms).unref()
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  const done = (async () => {
    for (let failures = 0; !closed; failures++) {
      const startedMs = performance.now()
      const lost = (): void => followers.lost('the connection closed')
      try {
        current = connect()
        // At once, and not when the next read fails: what is known may be old from this moment on.
        current.once('close', lost)
        await connected(current)
        await readConnection(current, keys, followers, () => closed)
      } catch (error) {
        followers.lost(error instanceof Error ? error.message : 'the feed could not be read')
      } finally {
        current?.off('close', lost)
        current?.disconnect()
      }
      if (performance.now() - startedMs > 2 * BLOCK_MS) failures = 0
      if (!closed) await pause(Math.min(20 * 2 ** failures, MAX_RETRY_MS))
    }
  })()

  return {
    async close(): Promise<void> {
      closed = true
      current?.disconnect()
      wake?.()
      await done
    },
  }
}

async function readConnection(
  redis: Redis,
  keys: FeedKeys,
  followers: FanOut,
  isClosed: () => boolean,
): Promise<void> {
  let { logId, beatId, count } = await snapshot(redis, keys, followers)
  for (let reads = 0; !isClosed(); reads++) {
    const read = redis.xread(
      'COUNT',
      PAGE,
      'BLOCK',
      BLOCK_MS,
      'STREAMS',
      keys.log,
      keys.beats,
      logId,
      beatId,
    )
    const streams = await within(2 * BLOCK_MS, read)
    if (reads % SWEEP_EVERY_READS === 0) followers.sweep()
    if (streams === null) continue
    const items = new Map(streams as [string, StreamItem[]][])
    const counted = count
    const logged = items.get(keys.log) ?? []
    for (const [id, fields] of logged) {
      const entry = fieldsOf(fields)
      if (Number(entry.n) !== count + 1) throw new Error('an entry was missed')
      count++
      logId = id
      followers.entry(keptEntry(String(entry.i), `${entry.x} ${entry.t}`))
    }
    const beats = items.get(keys.beats) ?? []
    const newestMs = msOf(beats.at(-1)?.[0])
    for (const [id, fields] of beats) {
      const beat = fieldsOf(fields)
      if (Number(beat.n) > count) {
        if (logged.length < PAGE) throw new Error('an entry was missed')
        // The page ended before the entries that it follows: it is read again with the next.
        break
      }
      // It was made after the last page was read, and knows fewer entries than that page had.
      if (Number(beat.n) < counted) throw new Error('the feed was begun anew')
      beatId = id
      // Who was busy finds many: of before its start, or its stall. Holders would refuse the old ones.
      if (newestMs - msOf(id) <= OLD_BEAT_MS) followers.beat(String(beat.t))
    }
  }
}

/** Delivers everything live, and answers where the log and the heartbeats go on from there. */
async function snapshot(redis: Redis, keys: FeedKeys, followers: FanOut) {
  // Sent together and run in this order: the hash holds at least what the log had by then, and
  // entries that come in between are delivered a second time, which changes nothing.
  const [counted, log, beats, live] = await within(
    5 * BLOCK_MS,
    Promise.all([
      redis.get(keys.count),
      redis.xrevrange(keys.log, '+', '-', 'COUNT', 1),
      redis.xrevrange(keys.beats, '+', '-', 'COUNT', 1),
      redis.hgetall(keys.live),
    ]),
  )
  const last = log[0] === undefined ? undefined : fieldsOf(log[0][1])
  followers.replace(Object.entries(live).map(([id, value]) => keptEntry(id, value)))
  return {
    // The log is never behind, unless somebody cut it; then the hash still holds what is live.
    count: Math.max(Number(last?.n ?? 0), Number(counted ?? 0)),
    logId: log[0]?.[0] ?? '0-0',
    beatId: beats[0]?.[0] ?? '0-0',
  }
}

/** When Redis took it, by its own clock: only to compare with others. */
function msOf(id = ''): number {
  return Number.parseInt(id, 10)
}

function keptEntry(id: string, value: string): KeptEntry {
  const space = value.indexOf(' ')
  const ends = Number(value.slice(0, space))
  return { id, text: value.slice(space + 1), expiresAt: ends > 0 ? ends : undefined }
}

function fieldsOf(list: readonly string[]): Record<string, string | undefined> {
  const fields: Record<string, string | undefined> = {}
  for (let index = 0; index + 1 < list.length; index += 2) {
    fields[list[index] as string] = list[index + 1] as string
  }
  return fields
}
