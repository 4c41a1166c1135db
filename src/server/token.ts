/**
 * `POST /token`, before oidc-provider: token exchange and jwt-bearer end here, in the one sequence
 * of `exchange/`. Every other grant that is offered goes on to oidc-provider, but only after its
 * DPoP proof has been verified and spent here: one implementation of the twelve checks, one nonce,
 * one atomic replay detection, whichever path a request takes.
 */
import { PassThrough } from 'node:stream'
import type { Context, Next } from 'koa'
import type { Broker } from '../exchange/broker.ts'
import { exchange } from '../exchange/exchange.ts'
import { spendSenderProof, verifySenderProof } from '../exchange/sender-proof.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import { answerError, note } from './answer.ts'
import { type Asked, wireError } from './errors.ts'
import { type Form, receiveForm } from './form.ts'
import type { Metrics } from './metrics.ts'
import { JWT_BEARER, readJwtBearer, readTokenExchange, TOKEN_EXCHANGE } from './request.ts'

/** What the hosted grants know about the sender, put on the koa context by this handler. */
export interface Proven {
  readonly proof: VerifiedProof
  readonly now: number
}

export interface TokenEndpoint {
  readonly broker: Broker
  readonly metrics: Metrics
  readonly bodyBytes: number
  readonly clock: () => number
  /** The grants oidc-provider answers. */
  readonly hosted: ReadonlySet<string>
}

export function tokenEndpoint(
  endpoint: TokenEndpoint,
): (ctx: Context, next: Next) => Promise<void> {
  const { broker, metrics, clock } = endpoint

  return async function token(ctx, next) {
    const started = performance.now()
    const now = clock()
    const visit: Visit = { door: 'token', asked: { grant: 'token-exchange', token: 'action' } }
    let result = 'issued'
    ctx.set('Cache-Control', 'no-store')
    // RFC 9449 §8.2: a fresh nonce on every answer saves the client the next demand.
    if (broker.nonces !== undefined) ctx.set('DPoP-Nonce', broker.nonces.issue(now))
    try {
      result = await answer(ctx, next, visit, now)
    } catch (error) {
      if (!(error instanceof Refusal)) {
        metrics.exchanged(visit.door, 'server_error', (performance.now() - started) / 1000)
        throw error
      }
      result = error.reason.code
      if (result === 'ledger_unavailable') metrics.storeFailed()
      answerError(ctx, wireError(await recorded(ctx, visit, error, now), visit.asked))
    }
    metrics.exchanged(visit.door, result, (performance.now() - started) / 1000)
  }

  async function answer(ctx: Context, next: Next, visit: Visit, now: number): Promise<string> {
    const { form, bytes } = await receiveForm(ctx.req, endpoint.bodyBytes)
    const grant = form.get('grant_type')
    const exchanged = grant === TOKEN_EXCHANGE || grant === JWT_BEARER
    if (exchanged) {
      await answerExchange(ctx, form, visit, now)
      return 'issued'
    }
    if (grant === undefined) refuse({ code: 'request_malformed', detail: 'grant_type is missing' })
    if (!endpoint.hosted.has(grant)) {
      refuse({ code: 'grant_unsupported', grant: grant.slice(0, 100) })
    }
    visit.door = grant
    const proof = await spendProof(ctx, now)
    ctx.state.proven = { proof, now } satisfies Proven
    replay(ctx, bytes)
    await next()
    if (ctx.state.refused instanceof Refusal) throw ctx.state.refused
    if (ctx.status === 200) return 'issued'
    await note(broker.audit, ctx, {
      door: visit.door,
      now,
      outcome: 'refused',
      reason: { code: 'client_rejected', detail: String((ctx.body as HostedError)?.error) },
      about: { key: proof.jkt },
    })
    return 'client_rejected'
  }

  async function answerExchange(ctx: Context, form: Form, visit: Visit, now: number) {
    const bearer = form.get('grant_type') === JWT_BEARER
    const door = bearer ? 'jwt-bearer' : 'token-exchange'
    visit.door = door
    const token = form.has('authorization_details') ? 'action' : 'session'
    visit.asked = { grant: door, token }
    if (ctx.req.headers.authorization !== undefined) {
      refuse({ code: 'client_rejected', detail: 'this grant takes no client authentication' })
    }
    const request = {
      ...(bearer ? readJwtBearer(form) : readTokenExchange(form)),
      endpoint: broker.tokenEndpoint,
      actor: undefined,
      client: undefined,
      certificate: undefined,
      delegateTo: undefined,
      proofHeaders: headerValues(ctx, 'dpop'),
      method: ctx.method,
      address: ctx.req.socket.remoteAddress,
      now,
    }
    // From here on the exchange records its own refusals.
    visit.recorded = true
    const granted = await exchange(request, broker)
    ctx.body = {
      access_token: granted.token,
      issued_token_type: granted.issuedTokenType,
      token_type: granted.tokenType,
      expires_in: granted.expiresInSeconds,
      scope: granted.scope,
      ...(granted.details === undefined ? {} : { authorization_details: granted.details }),
    }
  }

  /** @throws {Refusal} `binding_missing`, `proof_invalid`, `nonce_required`, `proof_replayed` … */
  async function spendProof(ctx: Context, now: number): Promise<VerifiedProof> {
    const proofHeaders = headerValues(ctx, 'dpop')
    const proof = await verifySenderProof({ proofHeaders, method: ctx.method, now }, broker)
    await spendSenderProof(proof, broker.ledger)
    return proof
  }

  /** A refusal that no one has recorded yet is recorded here; without a record the answer is still no. */
  async function recorded(ctx: Context, visit: Visit, refusal: Refusal, now: number) {
    if (visit.recorded) return refusal.reason
    try {
      const { reason } = refusal
      await note(broker.audit, ctx, { door: visit.door, now, outcome: 'refused', reason })
      return reason
    } catch {
      return { code: 'audit_unavailable', detail: 'the record could not be made durable' } as const
    }
  }
}

/** What is known of a request while it is answered. */
interface Visit {
  door: string
  asked: Asked
  /** Whether the exchange has taken over, which records what it refuses. */
  recorded?: boolean
}

interface HostedError {
  readonly error?: unknown
}

/** Every field of this name; Node joins repeated ones, which would hide that there were two. */
export function headerValues(ctx: Context, name: string): string[] {
  const { rawHeaders } = ctx.req
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i]!
    if (field.length === name.length && field.toLowerCase() === name)
      values.push(rawHeaders[i + 1]!)
  }
  return values
}

/**
 * Gives oidc-provider the body that was already read: it reads `ctx.req` as a stream. (It would take
 * a parsed `req.body` as well, but tells the operator on each start not to do that.)
 */
function replay(ctx: Context, bytes: Buffer): void {
  const stream = new PassThrough()
  stream.end(bytes)
  ctx.req = Object.create(ctx.req, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: stream.iterator.bind(stream) },
  })
}
