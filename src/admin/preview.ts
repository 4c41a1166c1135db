import type { Target } from '../revocation/target.ts'
import type { AdminParts } from './parts.ts'
import type { Preview } from './schemas/revocations.ts'
import { sessionPages } from './session-pages.ts'
import { isLive, Stops, wouldHit } from './session-view.ts'
import { isWide, revokeCommand, type Why } from './targets.ts'

const MOST_LOOKED_AT = 20_000
const MOST_NAMED = 100
/** No token lives longer, so who was not seen for this long holds none. */
const LIVE_WITHIN_SECONDS = 3600

/** Which live sessions a stop would hit, as far as the book knows. */
export async function previewOf(
  parts: AdminParts,
  targets: readonly Target[],
  { now, ...why }: Why & { readonly now: number },
): Promise<Preview> {
  const stops = new Stops(parts.revocations.list(), now)
  const workloads = new Set<string>()
  const servers = new Set<string>()
  const each = targets.map(() => 0)
  let sessions = 0
  let bounded = true
  const looking = { since: now - LIVE_WITHIN_SECONDS, most: MOST_LOOKED_AT }
  for await (const page of sessionPages(parts.sessions, looking)) {
    for (const session of page.sessions) {
      const hitting = wouldHit(targets, session)
      if (hitting.length === 0 || !isLive(session, stops.of(session), now)) continue
      sessions += 1
      for (const at of hitting) each[at]! += 1
      if (workloads.size < MOST_NAMED) workloads.add(session.workload)
      for (const server of session.servers) if (servers.size < MOST_NAMED) servers.add(server)
    }
    if (page.isLast) bounded = false
  }
  return {
    sessions,
    each,
    workloads: [...workloads].sort(),
    servers: [...servers].sort(),
    wide: isWide(targets),
    command: revokeCommand(targets, why),
    bounded,
  }
}
