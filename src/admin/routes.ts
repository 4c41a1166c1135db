/**
 * Every route of the admin API in one table: what may be asked, by whom, and what is answered. The
 * OpenAPI document is made from it, and a test compares it with `docs/admin-api.md`.
 */
import { openApiOf } from './openapi.ts'
import { type Route, route } from './route.ts'
import { auditRoutes } from './routes-audit.ts'
import { eventRoutes } from './routes-events.ts'
import { peopleRoutes } from './routes-people.ts'
import { policyRoutes } from './routes-policies.ts'
import { revocationRoutes } from './routes-revocations.ts'
import { sessionRoutes } from './routes-sessions.ts'
import { systemRoutes } from './routes-system.ts'
import { openApi } from './schemas/openapi.ts'

export const ROUTES: readonly Route[] = [
  ...sessionRoutes,
  ...revocationRoutes,
  ...policyRoutes,
  ...systemRoutes,
  ...auditRoutes,
  ...eventRoutes,
  ...peopleRoutes,
  route({
    method: 'GET',
    path: '/v1/openapi.json',
    role: 'viewer',
    summary: 'This API as an OpenAPI 3.1 document',
    answer: openApi,
    run: async ({ parts }) => openApiOf(ROUTES, parts.url),
  }),
]
