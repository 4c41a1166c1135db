import type { Context } from 'koa'
import { type AuditRecord, type AuditSink, told } from '../audit/record.ts'
import type { Reason } from '../refusal.ts'
import type { WireError } from './errors.ts'

/** The name of a scheme, as somebody may send it. */
const SCHEME = /^[A-Za-z][A-Za-z0-9-]{0,19}(?= |$)/

/** Writes an OAuth error (RFC 6749 §5.2); never cached. */
export function answerError(ctx: Context, wire: WireError): void {
  ctx.status = wire.status
  ctx.set('Cache-Control', 'no-store')
  if (wire.retryAfterSeconds !== undefined) {
    ctx.set('Retry-After', String(wire.retryAfterSeconds))
  }
  // RFC 6749 §5.2: who authenticates in a header is answered in the scheme it used.
  const [scheme] = SCHEME.exec(ctx.req.headers.authorization ?? '') ?? []
  if (wire.status === 401 && scheme !== undefined) {
    ctx.set('WWW-Authenticate', `${scheme} realm="clients"`)
  }
  // What follows an unread body on this connection would be taken for the next request.
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  ctx.body = { error: wire.error, error_description: wire.description }
}

/** Something the server itself did or refused, outside the exchange. */
export interface Noted {
  readonly door: string
  readonly now: number
  readonly outcome: 'issued' | 'refused' | 'event'
  readonly reason?: Reason | string
  readonly about?: Partial<AuditRecord>
}

/** Records it, with the caller's address. Rejects when the record is not durable. */
export function note(audit: AuditSink, ctx: Context, noted: Noted): Promise<void> {
  const { reason } = noted
  const why: Partial<AuditRecord> =
    typeof reason === 'object' ? told(reason) : reason === undefined ? {} : { reason }
  return audit.record({
    time: new Date(noted.now * 1000).toISOString(),
    door: noted.door,
    outcome: noted.outcome,
    ...why,
    ...noted.about,
    ...(ctx.req.socket.remoteAddress === undefined
      ? {}
      : { address: ctx.req.socket.remoteAddress }),
  })
}
