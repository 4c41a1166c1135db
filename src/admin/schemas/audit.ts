import { z } from 'zod'
import { cursorText, limitText, pattern, searchedPageOf, secondsText, text } from './values.ts'

export const OUTCOMES = ['issued', 'refused', 'allowed', 'event'] as const

/** A line as it was written. Lines of other versions may say more. */
export const auditEntry = z
  .looseObject({
    time: z.string().describe('RFC 3339'),
    door: z.string(),
    outcome: z.enum(OUTCOMES),
    reason: z.string().optional(),
    evidence: z.record(z.string(), z.unknown()).optional(),
    workload: z.string().optional(),
    principal: z.string().optional(),
    session: z.string().optional(),
    server: z.string().optional(),
    method: z.string().optional(),
    name: z.string().optional(),
    jti: z.string().optional(),
    by: z.string().optional(),
    address: z.string().optional(),
    arguments: z.unknown().optional().describe('for admins only, and only where recorded'),
  })
  .meta({ id: 'AuditEntry' })

export const auditPage = searchedPageOf(auditEntry)
  .extend({ broken: z.number().int().describe('lines on the way that are no records') })
  .meta({ id: 'AuditPage' })

export const auditFilter = z.strictObject({
  text: pattern.optional(),
  outcome: z.enum(OUTCOMES).optional(),
  workload: text(2048).optional(),
  session: text(256).optional(),
  reason: text(64).optional(),
  door: text(64).optional(),
  by: text(256).optional().describe('which admin'),
  from: secondsText.optional(),
  to: secondsText.optional(),
  limit: limitText(50, 200),
  cursor: cursorText.optional(),
})

export type AuditEntry = z.output<typeof auditEntry>
export type AuditPage = z.output<typeof auditPage>
export type AuditFilter = z.output<typeof auditFilter>
