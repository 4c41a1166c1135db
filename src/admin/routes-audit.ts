import { createHmac, randomBytes } from 'node:crypto'
import { canonicalText } from '../action/hash.ts'
import type { Json } from '../lib/json.ts'
import type { Admin } from '../sign-in/admin.ts'
import { AUDIT_SEARCHED, searchAudit } from './audit-search.ts'
import { recordAsked } from './record.ts'
import { type Route, route } from './route.ts'
import { auditFilter, auditPage } from './schemas/audit.ts'
import { createTurns } from './turns.ts'

/** A search reads megabytes. */
const turns = createTurns(8)

const secret = randomBytes(32)

/**
 * Only the first page of a search is recorded, so the cursor for the others is good for this search of
 * this admin alone. Else whoever has one could look for anything else without a record.
 */
function searchName({ id }: Admin, sought: object): string {
  const search = canonicalText([id, sought as Json])
  return `audit ${createHmac('sha256', secret).update(search).digest('base64url')}`
}

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
        const asked = { reason: AUDIT_SEARCHED, evidence: sought }
        await recordAsked(parts.audit, ctx, { admin, now, asked, outcome: 'event' })
      }
      const search = {
        directory: parts.auditDirectory,
        filter: query,
        list: searchName(admin, sought),
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
