import type { AdminParts } from './parts.ts'
import type { Identities } from './schemas/system.ts'
import { isLive, Stops } from './session-view.ts'

type Seen = Identities['workloads'][number]

const BOOK_PAGE = 500
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
  let looked = 0
  let after: { lastSeen: number; id: string } | undefined
  for (;;) {
    const page = await parts.sessions.list({
      limit: BOOK_PAGE,
      ...(after === undefined ? {} : { after }),
    })
    for (const session of page) {
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
    looked += page.length
    const last = page.at(-1)
    if (last === undefined || page.length < BOOK_PAGE) {
      return { workloads: [...seen.values()], bounded: false }
    }
    after = { lastSeen: last.lastSeen, id: last.id }
    if (looked >= MOST_LOOKED_AT) return { workloads: [...seen.values()], bounded: true }
  }
}
