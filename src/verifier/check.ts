/**
 * The order of checks. The order is the design: everything that can be wrong with a request is
 * found before anything is spent, so a wrong request never burns a right token; and what is spent
 * is spent before anything runs, so a right token runs once.
 */
import { randomUUID } from 'node:crypto'
import { type Demand, demandOf, demandOfHttp } from '../action/demand.ts'
import { equalHash } from '../action/hash.ts'
import { checkHeaders, checkParamHeaders } from '../action/headers.ts'
import { type GrantedDetail, matchDetails } from '../action/mcp-action.ts'
import { type Message, parseMessage } from '../action/message.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { refuse } from '../refusal.ts'
import type { Subject } from '../revocation/target.ts'
import type { VerifiedToken } from '../token/access-token.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { type VerifiedProof, verifyProof } from '../token/dpop.ts'
import { spendIdOf } from '../token/spend-id.ts'
import type { Certificates } from './certificates.ts'
import { type Credential, parseAuthorization } from './credential.ts'
import { definitionHashFor, inputSchemaOf } from './definitions.ts'
import { checkDoors, type Doors } from './doors.ts'
import type { GateRequest } from './request.ts'
import type { LegacySessions } from './sessions.ts'
import { subjectOf } from './subject.ts'
import type { Told } from './told.ts'

/** What one verifier checks with. */
export interface Parts {
  readonly issuer: string
  readonly resource: string
  readonly maxBodyBytes: number
  readonly doors: Doors
  readonly told: Pick<Told, 'definitions' | 'nonces' | 'check'>
  readonly tokens: {
    verify(text: string, now: number): VerifiedToken | Promise<VerifiedToken>
  }
  readonly certificates: Certificates
  readonly sessions: LegacySessions
  readonly revocations: { check(subject: Subject, now: number): void }
  readonly ledger: Pick<Ledger, 'spend' | 'use' | 'honoursFrom'>
}

/** What is established so far about one request; each step adds to it and reads what came before. */
export interface Examination {
  readonly request: GateRequest
  /** Seconds since the epoch, read once. */
  readonly now: number
  message?: Message
  demand?: Demand
  credential?: Credential
  token?: VerifiedToken
  /** Who holds the token's key: a DPoP proof, or the thumbprint of a certificate. */
  holder?: VerifiedProof | { readonly certificate: string }
  granted?: GrantedDetail
}

export type Step = (exam: Examination, parts: Parts) => void | Promise<void>

export const STEPS: readonly Step[] = [
  pathHostAndOrigin,
  httpForm,
  oneMessage,
  headersEqualBody,
  oneAuthorization,
  accessToken,
  binding,
  scope,
  action,
  legacySession,
  notRevoked,
  spend,
]

/** Runs the steps one after the other; the first that refuses ends it. */
export async function examine(
  exam: Examination,
  parts: Parts,
  steps: readonly Step[] = STEPS,
): Promise<void> {
  parts.told.check()
  for (const step of steps) {
    const pending = step(exam, parts)
    if (pending !== undefined) await pending
  }
}

function pathHostAndOrigin({ request }: Examination, { doors }: Parts): void {
  checkDoors(request, doors)
}

/**
 * Only what both SDKs' servers refuse as well (HTTP 405, 406 and 415). Left to them, it would be
 * refused after the token is spent.
 */
function httpForm({ request }: Examination): void {
  const { method } = request
  if (method !== 'POST' && method !== 'GET' && method !== 'DELETE') {
    malformed('the HTTP method must be POST, GET or DELETE')
  }
  const accepted = request.headers('accept').join(',').toLowerCase()
  if (method === 'GET' && !accepted.includes('text/event-stream')) {
    malformed('Accept must list text/event-stream')
  }
  if (method !== 'POST') return
  if (!accepted.includes('application/json') || !accepted.includes('text/event-stream')) {
    malformed('Accept must list application/json and text/event-stream')
  }
  const types = request.headers('content-type')
  if (types.length !== 1 || !/^application\/json\s*(;|$)/i.test(types[0] ?? '')) {
    malformed('Content-Type must be application/json')
  }
}

/** @param detail is sent to the caller */
function malformed(detail: string): never {
  refuse({ code: 'request_malformed', detail })
}

/** One JSON-RPC message, strictly parsed, and what its method demands. GET and DELETE carry none. */
function oneMessage(exam: Examination, { maxBodyBytes }: Parts): void {
  const { method, body } = exam.request
  if (method === 'GET' || method === 'DELETE') {
    exam.demand = demandOfHttp(method)
    return
  }
  // A gate stops reading one byte past the limit, so what it cut off is refused here.
  exam.message = parseMessage(body ?? new Uint8Array(), { maxBytes: maxBodyBytes })
  exam.demand = demandOf(exam.message)
}

/** What proxies on the way may have judged the request by is what it says. */
function headersEqualBody({ request, message, demand }: Examination, parts: Parts): void {
  if (message === undefined) return
  const header = (name: string) => {
    const values = request.headers(name)
    // Of two values one could be compared here and the other believed by what comes after.
    if (values.length > 1) refuse({ code: 'header_mismatch', header: name })
    return values[0]
  }
  checkHeaders(message, header)
  if (message.era !== 'modern' || demand?.token !== 'action') return
  const schema = inputSchemaOf(parts.told.definitions, demand)
  if (schema !== undefined) checkParamHeaders(schema, demand.arguments, header)
}

function oneAuthorization(exam: Examination): void {
  exam.credential = parseAuthorization(exam.request.headers('authorization'))
}

/** Type, algorithm, key, issuer, audience, times. */
function accessToken(exam: Examination, { tokens }: Parts): void | Promise<void> {
  const { token: text } = established(exam.credential)
  const verified = tokens.verify(text, exam.now)
  if (!(verified instanceof Promise)) exam.token = verified
  else {
    return verified.then((token) => {
      exam.token = token
    })
  }
}

/**
 * The sender holds the key the token was issued to. A token bound to a key and sent as `Bearer` is
 * refused even when a proof lies next to it (RFC 9449 §7.2): a proxy that downgrades the scheme
 * must not get through.
 */
async function binding(exam: Examination, parts: Parts): Promise<void> {
  const { scheme, token: text } = established(exam.credential)
  const { cnf } = established(exam.token).claims
  const { request, now } = exam

  if (!('jkt' in cnf)) {
    if (!parts.certificates.accepted || scheme !== 'bearer') refuse({ code: 'token_unbound' })
    exam.holder = { certificate: parts.certificates.check(request, cnf['x5t#S256'], now) }
    return
  }
  if (scheme !== 'dpop') refuse({ code: 'token_unbound' })
  const verified = verifyProof(request.headers('dpop'), {
    method: request.method,
    url: parts.resource,
    now,
    accessToken: text,
    nonces: parts.told.nonces,
  })
  const proof = verified instanceof Promise ? await verified : verified
  if (!equalHash(proof.jkt, cnf.jkt)) refuse({ code: 'key_mismatch' })
  exam.holder = proof
}

/** Necessary and never sufficient; and the kind of token is the kind the method demands. */
function scope(exam: Examination): void {
  const demand = established(exam.demand)
  // Its scope is what says of which kind a token is.
  if (established(exam.token).kind !== demand.token) {
    refuse({ code: 'scope_insufficient', needed: neededScope(demand) })
  }
}

export function neededScope(demand: Demand): string {
  return demand.token === 'action' ? ACTION_SCOPE : SESSION_SCOPE
}

/** Method, name, arguments, definition and continuation are the granted ones. */
function action(exam: Examination, parts: Parts): void {
  const demand = established(exam.demand)
  if (demand.token !== 'action') return
  const { claims } = established(exam.token)
  exam.granted = matchDetails(
    claims.authorization_details,
    demand,
    parts.resource,
    definitionHashFor(parts.told.definitions, demand),
  )
}

/** A session id of the older era is good only for the session it was handed to. */
function legacySession(exam: Examination, { sessions }: Parts): void {
  sessions.check(exam.request.headers('mcp-session-id'), established(exam.token).claims.sid)
}

function notRevoked(exam: Examination, { revocations }: Parts): void {
  revocations.check(subjectOf(established(exam.token)), exam.now)
}

/**
 * Atomically, and last. The ledger is told when the token was issued, because what it may have
 * forgotten cannot be proved unspent. That covers proofs too: a proof names its token by hash
 * (`ath`), so none can have been spent before its token was issued.
 */
async function spend(exam: Examination, { ledger, issuer, resource }: Parts): Promise<void> {
  const { claims, kind, expiresAt } = established(exam.token)
  const holder = established(exam.holder)
  const { iat, jti } = claims
  const id = spendIdOf({ issuer, resource, jti })

  if (kind === 'session') {
    if ('certificate' in holder) {
      // Over a certificate's own connection there is no proof that could be replayed.
      if (iat < ledger.honoursFrom(id)) refuse({ code: 'token_before_epoch' })
    } else if (!(await ledger.spend(`p:${holder.id}`, holder.expiresAt, iat))) {
      refuse({ code: 'proof_replayed' })
    }
    return
  }
  const uses = established(exam.granted).max_uses
  if (uses === 1) {
    if (!(await ledger.spend(id, expiresAt, iat))) refuse({ code: 'token_spent' })
    return
  }
  // A proof is good for this token alone, so it need not be remembered for longer.
  const use = 'certificate' in holder ? `c:${randomUUID()}` : `p:${holder.id}`
  if (!(await ledger.use(id, uses, use, expiresAt, iat))) refuse({ code: 'token_spent' })
}

/** A step that runs without the one before it is a bug, and fails closed. */
function established<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a check ran before the one it builds on')
  return value
}
