/**
 * `POST /token`, before oidc-provider: whatever asks for a token for an MCP server ends here, in the
 * one sequence of `exchange/`. What a registered client asks for itself goes on to oidc-provider.
 */
import type { Context, Next } from 'koa'
import type { Broker } from '../exchange/broker.ts'
import { Refusal, refuse } from '../refusal.ts'
import { answerError, note } from './answer.ts'
import { takeForm } from './body.ts'
import type { Certificates } from './client-certificate.ts'
import { wireError } from './errors.ts'
import { exchangeDoor, type Visit } from './exchange-door.ts'
import { hostedDoor } from './hosted-door.ts'
import type { Metrics } from './metrics.ts'

export interface TokenEndpoint {
  readonly broker: Broker
  /** Its external URL. */
  readonly url: string
  readonly metrics: Metrics
  readonly bodyBytes: number
  readonly clock: () => number
  /** The grants oidc-provider answers; none where it is not behind this endpoint. */
  readonly hosted: ReadonlySet<string>
  /** Of the admin side, when clients may ask for tokens for it. */
  readonly adminUrl?: string | undefined
  readonly certificates: Certificates
}

export function tokenEndpoint(
  endpoint: TokenEndpoint,
): (ctx: Context, next: Next) => Promise<void> {
  const { broker, metrics, clock } = endpoint
  const exchanges = exchangeDoor(broker, endpoint.url, endpoint.certificates)
  const hosted = hostedDoor(broker, endpoint.hosted, endpoint.adminUrl)

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
    const { form, bytes } = await takeForm(ctx.req, endpoint.bodyBytes)
    const grant = form.get('grant_type')
    if (grant === undefined) refuse({ code: 'request_malformed', detail: 'grant_type is missing' })
    if (hosted.takes(form)) {
      visit.door = grant
      return hosted.answer({ ctx, next, bytes, visit, now })
    }
    await exchanges.answer(ctx, form, visit, now)
    return 'issued'
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
