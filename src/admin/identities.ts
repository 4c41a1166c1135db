import type { AdminParts } from './parts.ts'
import type { Identities } from './schemas/system.ts'
import { sessionPages } from './session-pages.ts'
import { isLive, Stops } from './session-view.ts'

type Seen = Identities['workloads'][number]

const MOST_LOOKED_AT = 5000
const MOST_WORKLOADS = 500

export async function identitiesOf(parts: AdminParts, now: number): Promise<Identities> {
  const { bundles, issuers } = parts.trust
  return {
    trustDomains: bundles
      .health()
      .map(({ trustDomain, ageSeconds, sequence, problem, ...told }) => ({
        ...told,
        name: trustDomain,
        ...(ageSeconds === undefined ? {} : { ageSeconds }),
        ...(sequence === undefined ? {} : { sequence: String(sequence) }),
        ...(problem === undefined ? {} : { problem }),
      })),
    issuers: issuers.map((issuer) => ({ ...issuer })),
    ...(await seenLately(parts, now)),
  }
}

/** The workloads of the sessions that were seen last. */
async function seenLately(
  parts: AdminParts,
  now: number,
): Promise<Pick<Identities, 'workloads' | 'bounded'>> {
  const stops = new Stops(parts.revocations.list(), now)
  const seen = new Map<string, Seen>()
  for await (const page of sessionPages(parts.sessions, { most: MOST_LOOKED_AT })) {
    for (const session of page.sessions) {
      const { workload, identity, lastSeen } = session
      const live = isLive(session, stops.of(session), now) ? 1 : 0
      const there = seen.get(workload)
      if (there !== undefined) {
        there.sessions += 1
        there.live += live
      } else if (seen.size < MOST_WORKLOADS) {
        const known = identity && { kind: identity.kind, issuer: identity.issuer }
        seen.set(workload, { id: workload, ...known, sessions: 1, live, lastSeen })
      }
    }
    if (page.isLast) return { workloads: [...seen.values()], bounded: false }
  }
  return { workloads: [...seen.values()], bounded: true }
}
