/**
 * Trades a proof of identity for one token, good for one MCP action.
 *
 * The order is the design:
 *
 * 1. **Prove** — who asks, and which key will hold the token. Nothing is believed before this.
 * 2. **Spend** the proof of possession, before anything is minted: a replay can lose a race, but
 *    cannot win a second token. If a later step fails, the caller makes a fresh proof.
 * 3. **Check** that nothing involved is revoked; in memory.
 * 4. **Understand** the action: known server, known definition, valid arguments.
 * 5. **Decide**: default deny.
 * 6. **Approve**, when the decision asks for a person.
 * 7. **Record**, durably. No record, no token.
 * 8. **Mint**.
 *
 * Refusals are recorded too; a refusal that cannot be recorded is still a refusal.
 */
import type { Action } from '../action/action.ts'
import { isTaskMethod } from '../action/demand.ts'
import { grantDetail, parseRequestedDetails } from '../action/mcp-action.ts'
import type { AuditRecord } from '../audit/record.ts'
import { understand } from '../catalogue/understand.ts'
import { mintToken, newJti } from '../mint/mint.ts'
import { Refusal, refuse } from '../refusal.ts'
import { ACTION_SCOPE, SESSION_SCOPE, type TokenClaims } from '../token/claims.ts'
import type { SigningKey } from '../token/jws.ts'
import { sessionId } from '../token/session-id.ts'
import type { Broker, ExchangeRequest, Granted } from './broker.ts'
import { spendSenderProof, verifySenderProof } from './sender-proof.ts'
import { eventRecord, issuedRecord, refusedRecord, type Trail } from './trail.ts'

/** Workload tokens are sent as generic JWTs; SPIFFE registers no type of its own (RFC 8693 §3). */
export const JWT_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

/** A task is polled: its token is good for this many uses unless a policy says otherwise. */
const TASK_USES = 20

/**
 * Runs the eight steps for one request.
 *
 * @throws {Refusal} the expected no, after it has been recorded
 */
export async function exchange(request: ExchangeRequest, broker: Broker): Promise<Granted> {
  const trail: Trail = { request }
  try {
    return await issue(trail, broker)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await record(broker, refusedRecord(trail, error.reason, broker.recordArguments))
    throw error
  }
}

/** @throws {Refusal} `audit_unavailable`: without a record the answer is no, whatever it was going to be */
async function record(broker: Broker, entry: AuditRecord): Promise<void> {
  try {
    await broker.audit.record(entry)
  } catch (error) {
    refuse({ code: 'audit_unavailable', detail: 'the record could not be made durable' }, error)
  }
}

async function issue(trail: Trail, broker: Broker): Promise<Granted> {
  const { request } = trail
  const { now } = request
  const resource = request.resource ?? ''

  broker.onStep?.('prove')
  const { subject } = request
  if (subject === undefined) refuse({ code: 'identity_missing' })
  if (subject.tokenType !== JWT_TOKEN_TYPE) {
    refuse({ code: 'identity_invalid', check: 'token_type' })
  }
  // The proof goes first because it is what an honest client may have to make again with a nonce.
  const proofOrPromise = verifySenderProof(request, broker)
  const proof = proofOrPromise instanceof Promise ? await proofOrPromise : proofOrPromise
  trail.key = proof.jkt
  const proven = await broker.prover.proveToken(subject, now)
  if (proven.kind !== 'workload') refuse({ code: 'identity_missing' })
  const { workload } = proven
  trail.workload = workload
  const principal = workload.id
  trail.principal = principal
  const binding = { jkt: proof.jkt }
  const session = sessionId(workload.id, principal, binding)
  trail.session = session

  broker.onStep?.('spend')
  await spendSenderProof(proof, broker.ledger)
  if ((await broker.senderKeys.check(workload, proof.jkt, now)) === 'second') {
    await record(broker, eventRecord(trail, 'identity_second_key'))
  }

  broker.onStep?.('check')
  broker.revocations.check({ session, agents: [workload.id], principal }, now)

  broker.onStep?.('understand')
  const action = request.details === undefined ? undefined : askedAction(trail, request)
  const server = broker.catalogue.servers.get(resource)
  if (server === undefined) refuse({ code: 'server_unknown', server: resource })
  const understood = action === undefined ? undefined : understand(broker.catalogue, action)
  trail.definitionHash = understood?.definitionHash

  broker.onStep?.('decide')
  const decision = broker.policies.decide({
    workload,
    principal,
    actors: [],
    action,
    server: resource,
    definition: understood?.definition,
    time: now,
    address: request.address,
    binding: 'dpop',
  })
  trail.decision = decision
  if (decision.effect === 'deny') refuse({ code: 'policy_denied', policies: decision.policies })
  // The policy demands a client certificate as the token's key; this request proved another kind.
  if (decision.binding === 'mtls') refuse({ code: 'binding_missing' })

  broker.onStep?.('approve')
  if (decision.effect !== 'permit') {
    refuse({ code: 'approval_required', policies: decision.policies })
  }

  const usual =
    action === undefined ? broker.lifetimes.sessionSeconds : broker.lifetimes.actionSeconds
  const issuedAt = Math.floor(now)
  const lifetime = Math.min(
    usual,
    decision.lifetimeSeconds ?? usual,
    Math.floor(workload.expiresAt) - issuedAt,
  )
  if (lifetime <= 0) refuse({ code: 'identity_invalid', check: 'expiry' })
  trail.granted =
    action &&
    grantDetail(action, {
      definitionHash: understood?.definitionHash,
      maxUses: usesOf(action, decision.maxUses),
    })
  const details = trail.granted && [trail.granted]
  const claims: TokenClaims = {
    iss: broker.issuer,
    aud: resource,
    sub: principal,
    client_id: workload.id,
    jti: newJti(),
    iat: issuedAt,
    exp: issuedAt + lifetime,
    sid: session,
    ...(action?.task === undefined ? {} : { txn: action.task }),
    scope: action === undefined ? SESSION_SCOPE : ACTION_SCOPE,
    ...(details === undefined ? {} : { authorization_details: details as never }),
    cnf: binding,
  }
  // Asked for before the record, so that no record speaks of a token that could not be signed.
  const key = signingKey(broker, now)

  broker.onStep?.('record')
  await record(broker, issuedRecord(trail, claims, broker.recordArguments))

  broker.onStep?.('mint')
  const token = mintToken(claims, key)
  return {
    token,
    jti: claims.jti,
    expiresInSeconds: lifetime,
    scope: claims.scope,
    tokenType: 'DPoP',
    issuedTokenType: 'urn:ietf:params:oauth:token-type:access_token',
    serverSpiffeId: server.spiffeId,
    details,
  }
}

/** @throws {Refusal} `keys_unavailable`: no key signs at this time, as when the clock has gone back */
function signingKey(broker: Broker, now: number): SigningKey {
  try {
    return broker.signingKey(now)
  } catch (error) {
    refuse({ code: 'keys_unavailable', detail: 'no key signs now' }, error)
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

function usesOf(action: Action, decided: number): number {
  return decided === 1 && isTaskMethod(action.method) ? TASK_USES : decided
}
