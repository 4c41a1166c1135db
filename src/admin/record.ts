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
}

/** What is about to be changed. @throws {Refusal} audit_unavailable (as a rejection) when it is not durable */
export function recordAsked(audit: AuditSink, ctx: Context, recorded: Recorded): Promise<void> {
  const { admin, now, asked } = recorded
  return audit.record({ ...head(ctx, now, admin), outcome: 'allowed', ...asked })
}

/** Something an admin was shown that not everybody may see. @throws {Refusal} audit_unavailable */
export function recordSeen(audit: AuditSink, ctx: Context, recorded: Recorded): Promise<void> {
  const { admin, now, asked } = recorded
  return audit.record({ ...head(ctx, now, admin), outcome: 'event', ...asked })
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
