/**
 * Step 1: who asks, on whose behalf, and which keys could hold the token. Every piece of evidence
 * that came is verified, and all that name a workload must name the same one.
 *
 * Synchronous whenever every part is: a remembered key and a known SVID wait for nothing. So a
 * refusal may come as a throw or as a rejection.
 */
import type { ProvenClient } from '../identity/presented.ts'
import type { Workload } from '../identity/workload.ts'
import { refuse } from '../refusal.ts'
import { DELEGATION_TOKEN_TYPE, isDelegationToken, verifyDelegation } from '../token/delegation.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import { keyName } from '../token/key-name.ts'
import { sessionId } from '../token/session-id.ts'
import { actFor } from './acting.ts'
import type { Broker } from './broker.ts'
import type { Caller, Subject } from './caller.ts'
import { type Candidates, type KeyCandidate, keysOf } from './key-candidates.ts'
import { verifySenderProof } from './sender-proof.ts'
import type { Trail } from './trail.ts'

/** Workload tokens are sent as generic JWTs; SPIFFE registers no type of its own (RFC 8693 §3). */
export const JWT_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt'

/** What was verified of the parts of a request, each on its own. */
interface Evidence {
  readonly proof: VerifiedProof | undefined
  readonly certified: Workload | undefined
  readonly client: ProvenClient | undefined
  readonly actor: Workload | undefined
  readonly subject: Subject | undefined
}

/**
 * @throws {Refusal} binding_missing, proof_invalid, nonce_required, identity_…, delegation_refused,
 *   trust_unavailable
 */
export function prove(trail: Trail, broker: Broker): Caller | Promise<Caller> {
  const { request } = trail
  const { prover } = broker
  // The proof of the key goes first: it is what an honest client may have to make again with a nonce.
  return after(senderProof(trail, broker), (proof) => {
    const { certificate } = request
    const keys = keysOf(proof, certificate)
    trail.key = keyName(keys[0].binding)
    const certified = certificate && prover.proveCertificate(certificate, request.now)
    return after(clientOf(trail, broker, certified), (client) =>
      after(actorOf(trail, broker), (actor) =>
        after(subjectOf(trail, broker), (subject) =>
          callerOf(trail, broker, keys, { proof, certified, client, actor, subject }),
        ),
      ),
    )
  })
}

function senderProof({ request }: Trail, broker: Broker) {
  // A certificate is a key as well. Without either there is none, and the proof's check says so.
  if (request.proofHeaders.length === 0 && request.certificate !== undefined) return undefined
  return verifySenderProof(request, broker)
}

/** @throws {Refusal} identity_missing, identity_conflict, delegation_refused, or the prover's */
function clientOf(
  { request }: Trail,
  { prover }: Broker,
  certified: Workload | undefined,
): ProvenClient | undefined | Promise<ProvenClient> {
  const { client } = request
  if (client === undefined) return undefined
  if (client.method === 'spiffe_x509') {
    if (certified === undefined) refuse({ code: 'identity_missing' })
    if (certified.id !== client.clientId) {
      refuse({ code: 'identity_conflict', between: 'client_id and certificate' })
    }
    return { workload: certified, spend: undefined }
  }
  if (isDelegationToken(client.assertion)) refuse({ code: 'delegation_refused', check: 'actor' })
  return prover.proveClient(client, request.now)
}

/** Only a workload acts: a user's word, or one agent's word about another, is not its own. */
function actorOf({ request }: Trail, { prover }: Broker): Workload | undefined | Promise<Workload> {
  const { actor } = request
  if (actor === undefined) return undefined
  if (request.subject === undefined || isDelegationToken(actor.token)) {
    refuse({ code: 'delegation_refused', check: 'actor' })
  }
  return after(prover.proveToken(actor, request.now), (proven) => {
    if (proven.kind !== 'workload') refuse({ code: 'delegation_refused', check: 'actor' })
    return proven.workload
  })
}

function subjectOf({ request }: Trail, broker: Broker): Subject | undefined | Promise<Subject> {
  const { subject, now } = request
  if (subject === undefined) return undefined
  if (!isDelegationToken(subject.token)) return broker.prover.proveToken(subject, now)
  const { tokenType, token } = subject
  if (tokenType !== DELEGATION_TOKEN_TYPE && tokenType !== JWT_TOKEN_TYPE) {
    refuse({ code: 'identity_invalid', check: 'token_type' })
  }
  if (broker.delegation === undefined) refuse({ code: 'identity_invalid', check: 'typ' })
  const keys = broker.delegation.keys(now)
  return {
    kind: 'delegation',
    delegation: verifyDelegation(token, { issuer: broker.issuer, keys, now }),
  }
}

function callerOf(trail: Trail, broker: Broker, keys: Candidates, evidence: Evidence): Caller {
  const { client, certified, actor, subject, proof } = evidence
  const workload = theWorkload(evidence)
  trail.workload = workload
  const bearers: Workload[] = []
  if (subject?.kind === 'workload') bearers.push(subject.workload)
  if (actor !== undefined) bearers.push(actor)
  // An assertion that is good once needs no watching.
  if (client !== undefined && client.workload !== certified && client.spend === undefined) {
    bearers.push(client.workload)
  }
  const acting = actFor(subject, workload, { trail, broker, keys })
  trail.principal = acting.principal
  trail.actors = acting.actors
  trail.links = acting.via
  const withSession = (key: KeyCandidate) => ({
    ...key,
    session: sessionId(workload.id, acting.principal, key.binding),
  })
  const [preferred, ...others] = acting.keys
  const holder = withSession(preferred)
  trail.session = holder.session
  trail.key = keyName(holder.binding)
  const ends = [workload, certified, client?.workload, actor].map(
    (each) => each?.expiresAt ?? Number.POSITIVE_INFINITY,
  )
  return {
    ...acting,
    workload,
    keys: [holder, ...others.map(withSession)],
    provedKeys: keys,
    subject,
    proof,
    spend: client?.spend,
    bearers,
    endsAt: Math.min(...ends, acting.endsAt),
  }
}

/**
 * The one workload that all proofs name. An agent hands work on by a delegation token; its identity
 * in another agent's hands is a stolen one.
 */
function theWorkload({ subject, actor, client, certified }: Evidence): Workload {
  const named: readonly (readonly [string, Workload | undefined])[] = [
    ['subject_token', subject?.kind === 'workload' ? subject.workload : undefined],
    ['actor_token', actor],
    ['client authentication', client?.workload],
    ['certificate', certified],
  ]
  let first: readonly [string, Workload] | undefined
  for (const [name, workload] of named) {
    if (workload === undefined) continue
    first ??= [name, workload]
    if (workload.id !== first[1].id) {
      refuse({ code: 'identity_conflict', between: `${first[0]} and ${name}` })
    }
  }
  if (first === undefined) refuse({ code: 'identity_missing' })
  return first[1]
}

/** Goes on at once when there is nothing to wait for. */
function after<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
