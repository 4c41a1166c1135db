import { unavailable } from './bounds.ts'
import { SEEN_TAG } from './redis-keys.ts'
import type { Places } from './redis-places.ts'

export interface Seen {
  readonly lastSeen: number
  readonly id: string
}

/** The next in the list of sessions, and never one that was last seen before `since`. */
export async function seenPage(
  key: string,
  places: Pick<Places, 'runOnce'>,
  after: Seen | undefined,
  since: number,
  limit: number,
): Promise<readonly Seen[]> {
  if (after !== undefined && after.lastSeen < since) return []
  const behind = ['BYSCORE', 'REV', 'WITHSCORES'] as const
  const page = ['LIMIT', 0, limit] as const
  if (after === undefined) {
    const [first] = await places.runOnce(SEEN_TAG, [
      ['zrange', key, '+inf', since, ...behind, ...page],
    ])
    return seenIn(first)
  }
  // Those last seen at the very time of the last one are few: the ones behind it are looked for here.
  const [equal, later] = await places.runOnce(SEEN_TAG, [
    ['zrange', key, after.lastSeen, after.lastSeen, ...behind],
    ['zrange', key, `(${after.lastSeen}`, since, ...behind, ...page],
  ])
  const rest = seenIn(equal).filter(({ id }) => id < after.id)
  return [...rest, ...seenIn(later)].slice(0, limit)
}

function seenIn(reply: unknown): Seen[] {
  if (!Array.isArray(reply)) throw unavailable('the store gave no list')
  const seen: Seen[] = []
  for (let index = 0; index + 1 < reply.length; index += 2) {
    seen.push({ id: String(reply[index]), lastSeen: Number(reply[index + 1]) })
  }
  return seen
}
