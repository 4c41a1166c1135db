/**
 * How brokers determine the epoch of each server.
 *
 * A guard is a key whose value names one run of one server process, the history it follows, and
 * since when. As long as run id, replication id and guard agree, that process has kept everything
 * since then. A restart (empty or from disk), a promoted replica, or `FLUSHALL` breaks the
 * agreement, and the first broker that sees it begins a new epoch; the others adopt it.
 *
 * In a Cluster the guard also names the server's slots: one that gains slots has only what was moved
 * with them, which may be nothing, and so begins a new epoch too. One that gives slots away does not.
 *
 * A restart that lost nothing also begins a new epoch: whether `appendfsync everysec` lost its last
 * second cannot be known from here.
 */
import { randomBytes } from 'node:crypto'
import type { Epoch } from '../revocation/feed.ts'
import { CLOCK_TOLERANCE_SECONDS, firstIssueAfter, unavailable } from './bounds.ts'
import { FEED_TAG, type KeyNames, slotOf } from './redis-keys.ts'
import type { Link } from './redis-link.ts'
import { parseInfo } from './redis-server.ts'
import type { Topology } from './redis-topology.ts'

const BEGIN = `
  local now = redis.call('GET', KEYS[1])
  if (now or '') ~= ARGV[1] then return now or '' end
  redis.call('SET', KEYS[1], ARGV[2])
  return ARGV[2]`

export interface EpochOptions {
  readonly names: KeyNames
  readonly clock: () => number
  readonly clockToleranceSeconds: number
}

interface Guard {
  readonly runId: string
  readonly replicationId: string
  readonly since: number
  readonly slots: string
}

/** Answers the epoch the link's server stands in, begun anew where something may be lost. */
export async function standingEpoch(
  link: Link,
  topology: Topology,
  options: EpochOptions,
): Promise<Epoch> {
  const guardKey = guardKeyOf(link, topology, options.names)
  const [server, replication, time, found] = await link.ask((redis) =>
    Promise.all([
      redis.info('server'),
      redis.info('replication'),
      redis.time(),
      redis.get(guardKey),
    ]),
  )
  const runId = parseInfo(server).get('run_id') ?? ''
  const replicationId = parseInfo(replication).get('master_replid') ?? ''
  const storeNow = Number(time[0]) + Number(time[1]) / 1e6
  const now = options.clock()
  if (Math.abs(storeNow - now) > CLOCK_TOLERANCE_SECONDS + 0.4) {
    throw unavailable('the clocks of store and broker are too far apart')
  }
  const slots = topology.slotsOf(link)
  const written = found ?? ''
  const before = parseGuard(written)
  const sameRun = before?.runId === runId && before.replicationId === replicationId
  if (sameRun && before.slots === slots) {
    return { server: runId, since: before.since, guardKey, guard: written }
  }
  // Whoever issued tokens so far may have had a clock ahead of this one.
  const since =
    sameRun && isWithin(slots, before.slots)
      ? before.since
      : firstIssueAfter(Math.max(now, storeNow), options.clockToleranceSeconds)
  const name = randomBytes(12).toString('base64url')
  const guard = [name, runId, replicationId, since, slots].join(' ')
  const standing = await link.ask((redis) => redis.eval(BEGIN, 1, guardKey, written, guard))
  // Another broker was faster: its guard is read, and judged, with the next heartbeat.
  if (standing !== guard) throw unavailable('another broker began a new epoch')
  return { server: runId, since, guardKey, guard }
}

/** The feed's server keeps its guard beside the feed, so that one script can read both. */
function guardKeyOf(link: Link, topology: Topology, names: KeyNames): string {
  const feedSlot = slotOf(FEED_TAG)
  const owned = topology.ownedSlot(link, feedSlot)
  if (owned === undefined) throw unavailable('the server owns no slots')
  return names.guard(owned === feedSlot ? FEED_TAG : tagIn(link, topology))
}

function tagIn(link: Link, topology: Topology): string {
  for (let tag = 0; tag < 1_000_000; tag++) {
    if (topology.linkOf(slotOf(String(tag))) === link) return String(tag)
  }
  throw unavailable('the server owns no slots')
}

function parseGuard(guard: string): Guard | undefined {
  const [, runId, replicationId, since, slots] = guard.split(' ')
  if (runId === undefined || replicationId === undefined || slots === undefined) return undefined
  return { runId, replicationId, since: Number(since), slots }
}

/** Whether every slot of the first list is in the second. */
function isWithin(slots: string, all: string): boolean {
  return rangesOf(slots).every(([first = -1, last = -1]) =>
    rangesOf(all).some(([from = -1, to = -2]) => first >= from && last <= to),
  )
}

type Ranges = readonly (readonly number[])[]
const ranges = new WeakMap<Epoch, Ranges>()

/**
 * Whether the slot was the server's when its epoch began. Of one that it got since then it may have
 * nothing, until brokers have seen that and begun another.
 */
export function coversSlot(epoch: Epoch, slot: number): boolean {
  let known = ranges.get(epoch)
  if (known === undefined) {
    known = rangesOf(parseGuard(epoch.guard)?.slots ?? '')
    ranges.set(epoch, known)
  }
  return known.some(([first = -1, last = -2]) => slot >= first && slot <= last)
}

/** Where one server has all slots, they are `-`, which reads as the first alone: nobody asks for another. */
function rangesOf(slots: string): Ranges {
  return slots.split(',').map((range) => range.split('-').map(Number))
}
