/** What the audit is told of the admin side. */
import type { Context } from 'koa'
import { type AuditRecord, type AuditSink, cut, told } from '../audit/record.ts'
import type { Admin } from '../sign-in/admin.ts'
import type { Asked } from './route.ts'

const DOOR = 'admin'

interface Recorded {
  readonly admin: Admin
  readonly now: number
  readonly asked: Asked
  readonly outcome: 'allowed' | 'event'
}

/**
 * What an admin is about to change (`allowed`), or was shown although not everybody may see it (`event`).
 *
 * @throws {Refusal} audit_unavailable (as a rejection) when it is not durable
 */
export function recordAsked(
  audit: AuditSink,
  ctx: Context,
  { admin, now, asked, outcome }: Recorded,
): Promise<void> {
  return audit.record({ ...head(ctx, now, admin), outcome, ...asked })
}

export function recordRefused(
  audit: AuditSink,
  ctx: Context,
  refused: {
    readonly admin: Admin | undefined
    readonly now: number
    readonly reason: { readonly code: string } | undefined
  },
): Promise<void> {
  const { reason, evidence } = told(refused.reason ?? { code: 'internal_error' })
  return audit.record({
    ...head(ctx, refused.now, refused.admin),
    outcome: 'refused',
    ...(reason === undefined ? {} : { reason }),
    evidence: { ...evidence, request: `${ctx.method} ${cut(ctx.path)}` },
  })
}

function head(
  ctx: Context,
  now: number,
  admin: Admin | undefined,
): Pick<AuditRecord, 'time' | 'door' | 'by' | 'address'> {
  const address = ctx.req.socket.remoteAddress
  return {
    time: new Date(now * 1000).toISOString(),
    door: DOOR,
    ...(admin === undefined ? {} : { by: admin.id }),
    ...(address === undefined ? {} : { address }),
  }
}
