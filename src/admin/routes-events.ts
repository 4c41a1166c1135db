import { BACKGROUND_HEADER } from '../sign-in/authenticate.ts'
import { type Call, type Route, route } from './route.ts'
import { event } from './schemas/events.ts'

/**
 * A proof of a key is good for one request, so a stream that was begun with one cannot be asked
 * for again. It ends after this long, and its follower comes back with another.
 */
const PROVEN_FOR_SECONDS = 9

export const eventRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/v1/events',
    role: 'viewer',
    summary: 'What changes, as server-sent events; resumed with Last-Event-ID',
    stream: 'text/event-stream',
    answer: event,
    async run(call) {
      call.events.serve(call.ctx, call.admin, () => stands(call))
    },
  }),
]

/** Whether who follows is still signed in: every role may look. @throws when a cookie is none any more */
async function stands({ parts, ctx, admin, now }: Call): Promise<boolean> {
  if (admin.kind === 'local') return true
  if (admin.csrf === undefined) return clockOf(parts) < now + PROVEN_FOR_SECONDS
  // Nobody does anything: this must not keep the sign-in from going idle.
  ctx.req.headers[BACKGROUND_HEADER] = '1'
  await parts.signIn.authenticate(ctx)
  return true
}

function clockOf({ clock }: Call['parts']): number {
  return clock === undefined ? Date.now() / 1000 : clock()
}
