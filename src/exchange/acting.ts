/**
 * On whose behalf a workload acts, and whether it may. The rules are a table in `docs/delegation.md`.
 */
import type { User } from '../identity/presented.ts'
import type { Workload } from '../identity/workload.ts'
import { type DelegationCheck, refuse } from '../refusal.ts'
import { ACTION_SCOPE, type Actor, SESSION_SCOPE } from '../token/claims.ts'
import { type DelegationClaims, MAX_DELEGATION_DEPTH } from '../token/delegation.ts'
import type { Broker } from './broker.ts'
import type { Caller, Subject } from './caller.ts'
import { type Candidates, keysNamedBy } from './key-candidates.ts'
import type { Trail } from './trail.ts'

/** What the subject of a request makes of its caller. */
export type Acting = Pick<Caller, 'principal' | 'act' | 'actors' | 'via' | 'endsAt'> & {
  readonly keys: Candidates
}

export interface ActingOptions {
  readonly trail: Trail
  readonly broker: Broker
  readonly keys: Candidates
}

const USUAL_DEPTH = 5

/** @throws {Refusal} delegation_refused */
export function actFor(
  subject: Subject | undefined,
  workload: Workload,
  options: ActingOptions,
): Acting {
  const { keys, broker } = options
  if (subject === undefined || subject.kind === 'workload') {
    const endsAt = Number.POSITIVE_INFINITY
    return { principal: workload.id, act: undefined, actors: [], via: [], keys, endsAt }
  }
  const acting =
    subject.kind === 'user'
      ? actForUser(subject.user, workload, options)
      : actUnder(subject.delegation, workload, options)
  if (acting.actors.length > mostActors(broker)) no('depth')
  return acting
}

/** How many actors there may be in a row. */
export function mostActors({ delegation }: Broker): number {
  return Math.min(delegation?.maxDepth ?? USUAL_DEPTH, MAX_DELEGATION_DEPTH)
}

function actForUser(user: User, workload: Workload, options: ActingOptions): Acting {
  if (user.clientId !== undefined && user.clientId !== workload.id) no('client')
  if (user.mayAct !== undefined && user.mayAct !== workload.id) no('may_act')
  const { resource, details, delegateTo } = options.trail.request
  // A delegation token has no one resource: its ceiling is held against them.
  if (resource !== undefined && user.resources?.includes(resource) === false) no('resource')
  // What is handed on are actions.
  const scope = details === undefined && delegateTo === undefined ? SESSION_SCOPE : ACTION_SCOPE
  if (user.scopes?.includes(scope) === false) no('scope')
  return {
    principal: user.id,
    ...chain(actorsOfUser(user, workload, options.broker)),
    via: [],
    keys: keysNamedBy(user.cnf, options.keys),
    endsAt: user.expiresAt,
  }
}

/**
 * Who is named as acting already must be the one that asks: `act` says who holds the token. Only a
 * `may_act` hands it on to another, and then those before stay on record beneath. What is said of the
 * one that asks is what it has proved, never what the user's issuer says of it.
 */
function actorsOfUser({ act, mayAct }: User, workload: Workload, broker: Broker): Actor {
  if (act === undefined || mayAct !== undefined) return actorOf(workload, act, broker)
  if (act.sub !== workload.id) no('actor')
  return actorOf(workload, act.act, broker)
}

function actUnder(
  delegation: DelegationClaims,
  workload: Workload,
  { broker, keys }: ActingOptions,
): Acting {
  if (delegation.may_act.sub !== workload.id) no('may_act')
  return {
    principal: delegation.sub,
    ...chain(actorOf(workload, delegation.act, broker)),
    via: [...delegation.via, delegation.jti],
    keys: keysNamedBy(delegation.cnf, keys),
    endsAt: delegation.exp,
  }
}

/** The workload as it stands in `act`: the one that acts now, and beneath it who acted before. */
export function actorOf(workload: Workload, before: Actor | undefined, broker: Broker): Actor {
  const { id, kind, issuer } = workload
  const iss = kind === 'spiffe' ? `spiffe://${issuer}` : broker.issuerUrls?.get(issuer)
  return {
    sub: id,
    ...(iss === undefined ? {} : { iss }),
    sub_profile: 'ai_agent',
    ...(before === undefined ? {} : { act: before }),
  }
}

function chain(act: Actor): { act: Actor; actors: string[] } {
  const actors: string[] = []
  for (let each: Actor | undefined = act; each !== undefined; each = each.act) {
    actors.push(each.sub)
  }
  return { act: onlyNames(act), actors }
}

/** RFC 8693 §4.1: nothing but who it is belongs there, whatever an issuer has put in besides. */
function onlyNames({ sub, iss, sub_profile, act }: Actor): Actor {
  return {
    sub,
    ...(iss === undefined ? {} : { iss }),
    ...(sub_profile === undefined ? {} : { sub_profile }),
    ...(act === undefined ? {} : { act: onlyNames(act) }),
  }
}

function no(check: DelegationCheck): never {
  refuse({ code: 'delegation_refused', check })
}
