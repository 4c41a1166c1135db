import { searchAudit } from './audit-search.ts'
import { recordAsked } from './record.ts'
import { type Route, route } from './route.ts'
import { auditFilter, auditPage } from './schemas/audit.ts'
import { createTurns } from './turns.ts'

/** A search reads megabytes. */
const turns = createTurns(8)

export const auditRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/audit',
    role: 'viewer',
    summary: "This broker's own audit, newest first; every search is recorded in it",
    query: auditFilter,
    answer: auditPage,
    async run({ parts, query, admin, now, ctx }) {
      const { cursor, limit: _, ...sought } = query
      // Once for each search, and not for each page of it.
      if (cursor === undefined) {
        const asked = { reason: 'audit_searched', evidence: sought }
        await recordAsked(parts.audit, ctx, { admin, now, asked, outcome: 'event' })
      }
      const search = {
        directory: parts.auditDirectory,
        filter: query,
        withArguments: admin.role === 'admin',
      }
      const page = await turns.take(() => searchAudit(search))
      const withValues = page.items.filter((item) => item.arguments !== undefined).length
      if (withValues > 0) {
        const asked = { reason: 'arguments_read', evidence: { records: withValues } }
        await recordAsked(parts.audit, ctx, { admin, now, asked, outcome: 'event' })
      }
      return page
    },
  }),
]
