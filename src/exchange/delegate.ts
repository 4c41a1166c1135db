/**
 * Steps 4 to 6 for a delegation token: one agent lets the next one go on, within a ceiling.
 *
 * What is handed on is never more than what there is: a ceiling lies within the one before, a token
 * ends no later than the one before, and whatever stops an earlier step stops the later ones.
 */
import { type Ceiling, isWithin, parseRequestedCeiling } from '../action/ceiling.ts'
import { isHash } from '../action/hash.ts'
import { isWorkloadId } from '../identity/workload-id.ts'
import { mintDelegation, newJti } from '../mint/mint.ts'
import type { Decision } from '../policy/engine.ts'
import { refuse } from '../refusal.ts'
import {
  DELEGATION_TOKEN_TYPE,
  type DelegationClaims,
  MAX_DELEGATION_LIFETIME_SECONDS,
} from '../token/delegation.ts'
import { keyName } from '../token/key-name.ts'
import { actorOf, mostActors } from './acting.ts'
import type { Broker, Delegation, ExchangeRequest } from './broker.ts'
import type { Caller } from './caller.ts'
import { aboutCaller, ceilingOf, expiryOf, type Prepared } from './prepared.ts'
import { checkRevocations } from './revoked.ts'
import type { Trail } from './trail.ts'

type Delegate = NonNullable<ExchangeRequest['delegateTo']>

/**
 * @throws {Refusal} request_malformed, details_invalid, server_unknown, ceiling_exceeded,
 *   delegation_refused, policy_…, binding_missing, approval_required
 */
export function prepareDelegation(
  trail: Trail,
  caller: Caller,
  delegate: Delegate,
  broker: Broker,
): Prepared {
  const { request } = trail

  broker.onStep?.('understand')
  const delegation = checkDelegate(request, delegate, broker)
  // The next agent will be an actor too; there is no use in a token that it could not use.
  if (caller.actors.length + (caller.act === undefined ? 2 : 1) > mostActors(broker)) {
    refuse({ code: 'delegation_refused', check: 'depth' })
  }
  const { ceiling, task: asked } = parseRequestedCeiling(request.details ?? null)
  const earlier = caller.subject?.kind === 'delegation' ? caller.subject.delegation : undefined
  const task = earlier?.txn ?? asked
  trail.task = task
  if (task !== undefined) checkRevocations(trail, caller, broker, task)
  trail.ceiling = ceiling
  checkCeiling(ceiling, caller, broker)

  broker.onStep?.('decide')
  const decision = decideEach(trail, caller, { delegate: delegate.workload, ceiling, task }, broker)

  broker.onStep?.('approve')
  if (decision.effect !== 'permit') {
    refuse({ code: 'approval_required', policies: decision.policies })
  }

  const { issuedAt, expiresAt } = expiryOf(caller, request.now, [
    delegation.lifetimeSeconds,
    decision.lifetimeSeconds,
    MAX_DELEGATION_LIFETIME_SECONDS,
  ])
  const { binding, session: sid } = caller.keys[0]
  const claims: DelegationClaims = {
    iss: broker.issuer,
    aud: broker.issuer,
    sub: caller.principal,
    client_id: caller.workload.id,
    act: caller.act ?? actorOf(caller.workload, undefined, broker),
    may_act: { sub: delegate.workload },
    cnf: { jkt: delegate.jkt },
    authorization_details: ceiling,
    ...(task === undefined ? {} : { txn: task }),
    via: [...caller.via, sid, keyName(binding)],
    sid,
    jti: newJti(),
    iat: issuedAt,
    exp: expiresAt,
  }
  return {
    claims,
    sign: (signingKey) => mintDelegation(claims, signingKey),
    granted: {
      jti: claims.jti,
      expiresInSeconds: expiresAt - issuedAt,
      scope: undefined,
      tokenType: 'N_A',
      issuedTokenType: DELEGATION_TOKEN_TYPE,
      serverSpiffeId: undefined,
      details: ceiling,
    },
  }
}

/** @throws {Refusal} request_malformed */
function checkDelegate(request: ExchangeRequest, delegate: Delegate, broker: Broker): Delegation {
  const malformed = (detail: string) => refuse({ code: 'request_malformed', detail })
  if (!isWorkloadId(delegate.workload)) malformed('may_act is no id of a workload')
  if (!isHash(delegate.jkt)) malformed('may_act_jkt is no thumbprint of a key')
  if (request.resource !== undefined) malformed('a delegation token is for no single resource')
  return broker.delegation ?? malformed('delegation tokens are not issued')
}

/** @throws {Refusal} server_unknown, ceiling_exceeded, delegation_refused */
function checkCeiling(ceiling: Ceiling, caller: Caller, broker: Broker): void {
  const { subject } = caller
  const allowed = subject?.kind === 'user' ? subject.user.resources : undefined
  for (const server of ceiling.flatMap(({ locations }) => locations)) {
    if (!broker.catalogue.servers.has(server)) refuse({ code: 'server_unknown', server })
    if (allowed?.includes(server) === false) {
      refuse({ code: 'delegation_refused', check: 'resource' })
    }
  }
  const earlier = ceilingOf(caller)
  if (earlier !== undefined && !isWithin(ceiling, earlier)) {
    refuse({ code: 'ceiling_exceeded', part: 'element' })
  }
}

/**
 * Asks the policies of each server about each element that names it. All must permit; of what they
 * ask for besides, the strictest counts.
 *
 * @throws {Refusal} policy_denied, policy_unavailable, binding_missing
 */
function decideEach(
  trail: Trail,
  caller: Caller,
  asked: { delegate: string; ceiling: Ceiling; task: string | undefined },
  broker: Broker,
): Decision {
  const about = aboutCaller(trail, caller)
  const { ceiling, delegate, task } = asked
  let all: Decision | undefined
  for (const element of ceiling) {
    for (const server of element.locations) {
      const decision = broker.policies.decide({
        ...about,
        action: undefined,
        server,
        definition: undefined,
        delegation: { delegate, element, task },
        // The next agent's key is one that makes DPoP proofs.
        binding: 'dpop',
      })
      trail.decision = decision
      if (decision.effect === 'deny') refuse({ code: 'policy_denied', policies: decision.policies })
      if (decision.binding === 'mtls') refuse({ code: 'binding_missing' })
      all = all === undefined ? decision : stricter(all, decision)
    }
  }
  // A ceiling without elements does not parse.
  if (all === undefined) throw new TypeError('a ceiling names no server')
  trail.decision = all
  return all
}

function stricter(one: Decision, other: Decision): Decision {
  const lifetimes = [one.lifetimeSeconds, other.lifetimeSeconds].filter(
    (each) => each !== undefined,
  )
  return {
    ...one,
    effect: one.effect === 'ask' ? 'ask' : other.effect,
    policies: [...new Set([...one.policies, ...other.policies])].sort(),
    lifetimeSeconds: lifetimes.length === 0 ? undefined : Math.min(...lifetimes),
  }
}
