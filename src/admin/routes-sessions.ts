import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { isId } from './cursor.ts'
import { recordAsked } from './record.ts'
import { type Route, route } from './route.ts'
import { session, sessionDetail, sessionFilter } from './schemas/sessions.ts'
import { searchedPageOf } from './schemas/values.ts'
import { searchSessions } from './session-search.ts'
import { actionOf, Stops, sessionOf } from './session-view.ts'

export const sessionRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/sessions',
    role: 'viewer',
    summary: 'Sessions, last seen first',
    query: sessionFilter,
    answer: searchedPageOf(session),
    run: searchSessions,
  }),
  route({
    method: 'GET',
    path: '/v1/sessions/{id}',
    role: 'viewer',
    summary: 'One session and its last actions; argument values for admins, which is recorded',
    answer: sessionDetail,
    async run({ parts, params, admin, now, ctx }) {
      const id = params.id ?? ''
      const found = isId(id) ? await parts.sessions.get(id) : undefined
      if (found === undefined) return refuseAdmin({ code: 'not_found', what: 'session' })
      const mayRead = admin.role === 'admin'
      if (mayRead && found.actions.some((action) => action.arguments !== undefined)) {
        const asked = { reason: 'arguments_read', evidence: { session: id } }
        await recordAsked(parts.audit, ctx, { admin, now, asked, outcome: 'event' })
      }
      const stops = new Stops(parts.revocations.list(), now)
      return {
        ...sessionOf(found.session, stops, now),
        actions: found.actions.map((action) => actionOf(action, mayRead)),
      }
    },
  }),
]
