/** How a session of the book is told: its state, what stops it, and no argument values. */
import type { Session as Kept, SessionAction as KeptAction } from '../ledger/session-book.ts'
import { hits } from '../revocation/hits.ts'
import { RevokedSet } from '../revocation/revoked-set.ts'
import type { Revocation, Subject, Target } from '../revocation/target.ts'
import type { Session, SessionAction } from './schemas/sessions.ts'

/** As many ids as are of use to someone; which ones, when there are more, is of no account. */
const MAX_STOPPED_BY = 20

/** The revocations that are live now, for looking at many sessions. */
export class Stops {
  readonly #set = new RevokedSet()
  readonly #live: readonly Revocation[]
  readonly #now: number

  constructor(live: readonly Revocation[], now: number) {
    this.#live = live
    this.#now = now
    for (const revocation of live) this.#set.add(revocation)
  }

  /** The ids of those that stop it; a few when they are many. */
  of(session: Kept): readonly string[] {
    const subject = subjectOf(session)
    const found = this.#set.find(subject, this.#now)
    if (found === undefined) return this.#atEveryServer(session, subject)
    // Which others hit it costs a look at each; only those few sessions that are stopped pay it.
    const others = this.#live.filter(({ id, target }) => id !== found.id && hits(target, subject))
    return [found, ...others].slice(0, MAX_STOPPED_BY).map(({ id }) => id)
  }

  /** Stopped servers stop a session when it was at no other. */
  #atEveryServer({ servers }: Kept, subject: Subject): readonly string[] {
    const ids = servers.map((server) => this.#set.find({ ...subject, server }, this.#now)?.id)
    const stopped = ids.filter((id) => id !== undefined)
    return stopped.length === servers.length ? [...new Set(stopped)] : []
  }
}

/**
 * A session as a revocation sees it. Whatever it holds was issued when it was last seen or before,
 * so a stop of everything before a time stops it when it was not seen since.
 */
function subjectOf({ id, workload, actors, principal, key, task, lastSeen }: Kept): Subject {
  return {
    session: id,
    agents: [workload, ...actors],
    principal,
    key,
    task,
    issuedAt: lastSeen,
  }
}

/**
 * Which of the targets, by their places, would hit what the session may still hold as a whole. One token
 * is not that: a session goes on with the next one.
 */
export function wouldHit(targets: readonly Target[], session: Kept): number[] {
  const { firstSeen, servers } = session
  const subject = { ...subjectOf(session), issuedAt: firstSeen }
  const places: number[] = []
  for (const [at, target] of targets.entries()) {
    const isHit = target.kind === 'server' ? servers.includes(target.value) : hits(target, subject)
    if (isHit) places.push(at)
  }
  return places
}

export function isLive(session: Kept, stoppedBy: readonly string[], now: number): boolean {
  return stoppedBy.length === 0 && session.tokensUntil > now
}

export function sessionOf(session: Kept, stops: Stops, now: number): Session {
  const { lastAction, identity, address, task, actors, servers, ...told } = session
  const stoppedBy = stops.of(session)
  const state = stoppedBy.length > 0 ? 'stopped' : session.tokensUntil > now ? 'live' : 'idle'
  return {
    ...told,
    actors: [...actors],
    servers: [...servers],
    ...(address === undefined ? {} : { address }),
    ...(task === undefined ? {} : { task }),
    ...(lastAction === undefined ? {} : { lastAction: actionOf(lastAction, false) }),
    ...(identity === undefined ? {} : { identity: identityOf(identity) }),
    state,
    stoppedBy: [...stoppedBy],
  }
}

/** @param withArguments whether who asks may see argument values */
export function actionOf(action: KeptAction, withArguments: boolean): SessionAction {
  const { arguments: values, ...told } = action
  const shown = withArguments && values !== undefined ? { ...told, arguments: values } : told
  return Object.fromEntries(
    Object.entries(shown).filter(([, value]) => value !== undefined),
  ) as SessionAction
}

function identityOf({ attributes, ...told }: NonNullable<Kept['identity']>): Session['identity'] {
  const copied = Object.entries(attributes).map(([name, value]) => [
    name,
    typeof value === 'string' ? value : [...value],
  ])
  return { ...told, attributes: Object.fromEntries(copied) }
}
