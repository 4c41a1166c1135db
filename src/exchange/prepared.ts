/** What access tokens and delegation tokens have in common before they are recorded and signed. */
import type { Ceiling } from '../action/ceiling.ts'
import type { Decision, DecisionInput } from '../policy/engine.ts'
import { refuse } from '../refusal.ts'
import type { SigningKey } from '../token/jws.ts'
import { keyName } from '../token/key-name.ts'
import type { Broker, Granted } from './broker.ts'
import type { Caller, SessionKey } from './caller.ts'
import type { Trail } from './trail.ts'

/** A token that has been decided upon; it is recorded, then signed. */
export interface Prepared {
  readonly claims: { readonly jti: string; readonly exp: number }
  sign(key: SigningKey): string
  readonly granted: Omit<Granted, 'token'>
}

/** The most that the caller may do, when it acts under a delegation. */
export function ceilingOf({ subject }: Caller): Ceiling | undefined {
  return subject?.kind === 'delegation' ? subject.delegation.authorization_details : undefined
}

/** The part of a question to the policies that is about the caller. */
export function aboutCaller(
  trail: Trail,
  caller: Caller,
): Pick<DecisionInput, 'workload' | 'principal' | 'user' | 'actors' | 'time' | 'address'> {
  const { workload, principal, actors, subject } = caller
  return {
    workload,
    principal,
    user: subject?.kind === 'user' ? subject.user : undefined,
    actors,
    time: trail.request.now,
    address: trail.request.address,
  }
}

/** What is asked about, without who asks and with which key. */
type Question = Pick<DecisionInput, 'action' | 'server' | 'definition'>

/**
 * Decides, and settles which of the caller's keys will hold the token: the preferred one, unless the
 * policies ask for the other kind. What they say of that kind is then what counts.
 *
 * @throws {Refusal} policy_denied, policy_unavailable, binding_missing, arguments_…
 */
export function decideWithKey(
  trail: Trail,
  caller: Caller,
  broker: Broker,
  question: Question,
): { decision: Decision; key: SessionKey } {
  const about = { ...aboutCaller(trail, caller), ...question }
  const decide = (key: SessionKey) => {
    trail.key = keyName(key.binding)
    trail.session = key.session
    const decision = broker.policies.decide({ ...about, binding: key.kind })
    trail.decision = decision
    if (decision.effect === 'deny') refuse({ code: 'policy_denied', policies: decision.policies })
    return { decision, key }
  }
  const first = decide(caller.keys[0])
  const { binding } = first.decision
  if (binding === undefined || binding === first.key.kind) return first
  const other = caller.keys.find(({ kind }) => kind === binding)
  if (other === undefined) refuse({ code: 'binding_missing' })
  const second = decide(other)
  const asked = second.decision.binding
  if (asked !== undefined && asked !== other.kind) refuse({ code: 'binding_missing' })
  return second
}

/**
 * From when to when a token is good: the shortest of what is asked for, and no longer than any of
 * the proofs it came from.
 *
 * @throws {Refusal} identity_invalid, check `expiry`, when nothing of that is left
 */
export function expiryOf(
  { endsAt }: Caller,
  now: number,
  lifetimesSeconds: readonly (number | undefined)[],
): { issuedAt: number; expiresAt: number } {
  const issuedAt = Math.floor(now)
  const shortest = Math.min(...lifetimesSeconds.filter((each) => each !== undefined))
  const expiresAt = Math.min(issuedAt + shortest, Math.floor(endsAt))
  if (!(expiresAt > issuedAt)) refuse({ code: 'identity_invalid', check: 'expiry' })
  return { issuedAt, expiresAt }
}
