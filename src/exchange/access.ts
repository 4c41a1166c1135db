/** Steps 4 to 6 for an access token: understand the action, decide, and say what will be signed. */
import type { Action } from '../action/action.ts'
import { type Ceiling, exceeds, reaches } from '../action/ceiling.ts'
import { isTaskMethod } from '../action/demand.ts'
import { type GrantedDetail, grantDetail, parseRequestedDetails } from '../action/mcp-action.ts'
import { type Understood, understand } from '../catalogue/understand.ts'
import { mintToken, newJti } from '../mint/mint.ts'
import type { Decision } from '../policy/engine.ts'
import { refuse } from '../refusal.ts'
import { ACTION_SCOPE, SESSION_SCOPE, type TokenClaims } from '../token/claims.ts'
import type { Broker, ExchangeRequest } from './broker.ts'
import type { Caller } from './caller.ts'
import { ceilingOf, decideWithKey, expiryOf, type Prepared } from './prepared.ts'
import { checkRevocations } from './revoked.ts'
import type { Trail } from './trail.ts'

/** A task is polled: its token is good for this many uses unless a policy says otherwise. */
const TASK_USES = 20

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

/**
 * @throws {Refusal} details_invalid, server_unknown, ceiling_exceeded, action_unknown, arguments_…,
 *   policy_…, binding_missing, approval_required
 */
export function prepareAccess(trail: Trail, caller: Caller, broker: Broker): Prepared {
  const { request } = trail
  const resource = request.resource ?? ''

  broker.onStep?.('understand')
  const ceiling = ceilingOf(caller)
  const delegated = caller.subject?.kind === 'delegation' ? caller.subject.delegation : undefined
  const action = request.details === undefined ? undefined : askedAction(trail, request)
  // What was delegated is one task, whatever the next agent calls it.
  const task = delegated?.txn ?? action?.task
  trail.task = task
  if (task !== undefined) checkRevocations(trail, caller, broker, task)
  const server = broker.catalogue.servers.get(resource)
  if (server === undefined) refuse({ code: 'server_unknown', server: resource })
  stayBelow(ceiling, action, resource)
  const understood = action === undefined ? undefined : understand(broker.catalogue, action)
  trail.definitionHash = understood?.definitionHash

  broker.onStep?.('decide')
  const { decision, key } = decideWithKey(trail, caller, broker, {
    action: action && { ...action, task },
    server: resource,
    definition: understood?.definition,
  })

  broker.onStep?.('approve')
  if (decision.effect !== 'permit') {
    refuse({ code: 'approval_required', policies: decision.policies })
  }

  const usual =
    action === undefined ? broker.lifetimes.sessionSeconds : broker.lifetimes.actionSeconds
  const { issuedAt, expiresAt } = expiryOf(caller, request.now, [usual, decision.lifetimeSeconds])
  trail.granted = action && granted(action, ceiling, understood, decision)
  const details = trail.granted && [trail.granted]
  const claims: TokenClaims = {
    iss: broker.issuer,
    aud: resource,
    sub: caller.principal,
    client_id: caller.workload.id,
    ...(caller.act === undefined ? {} : { act: caller.act }),
    jti: newJti(),
    iat: issuedAt,
    exp: expiresAt,
    sid: key.session,
    ...(task === undefined ? {} : { txn: task }),
    ...(caller.via.length === 0 ? {} : { via: caller.via }),
    scope: action === undefined ? SESSION_SCOPE : ACTION_SCOPE,
    ...(details === undefined ? {} : { authorization_details: details as never }),
    cnf: key.binding,
  }
  return {
    claims,
    sign: (signingKey) => mintToken(claims, signingKey),
    granted: {
      jti: claims.jti,
      expiresInSeconds: expiresAt - issuedAt,
      scope: claims.scope,
      // A token that is bound to a certificate is a bearer token to everyone else (RFC 8705 §3).
      tokenType: key.kind === 'dpop' ? 'DPoP' : 'Bearer',
      issuedTokenType: ACCESS_TOKEN_TYPE,
      serverSpiffeId: server.spiffeId,
      details,
    },
  }
}

/** The one action asked for; it must be at the server that `resource` names. */
function askedAction(trail: Trail, request: ExchangeRequest): Action {
  const { action } = parseRequestedDetails(request.details ?? null)
  if (action.server !== request.resource) {
    refuse({ code: 'details_invalid', detail: 'locations differ from resource' })
  }
  trail.action = action
  return action
}

/** @throws {Refusal} ceiling_exceeded */
function stayBelow(ceiling: Ceiling | undefined, action: Action | undefined, server: string): void {
  if (ceiling === undefined) return
  if (action === undefined) {
    if (!reaches(ceiling, server)) refuse({ code: 'ceiling_exceeded', part: 'location' })
    return
  }
  const part = exceeds(ceiling, action)
  if (part !== undefined) refuse({ code: 'ceiling_exceeded', part })
}

function granted(
  action: Action,
  ceiling: Ceiling | undefined,
  understood: Understood | undefined,
  decision: Decision,
): GrantedDetail {
  const detail = grantDetail(action, {
    definitionHash: understood?.definitionHash,
    maxUses: usesOf(action, decision.maxUses),
  })
  if (ceiling === undefined || !isTaskMethod(action.method)) return detail
  // One task token is good for all methods of its task, so of those the ceiling names some.
  const below = (method: string) =>
    exceeds(ceiling, { ...action, method: method as Action['method'] }) === undefined
  return { ...detail, actions: detail.actions.filter(below) }
}

function usesOf(action: Action, decided: number): number {
  return decided === 1 && isTaskMethod(action.method) ? TASK_USES : decided
}
