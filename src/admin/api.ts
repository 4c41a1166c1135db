/**
 * The admin API: everything beneath `/v1/`. Who asks is established first, then whether they may,
 * then what they ask; and a change is on record before it is made.
 */
import type { Context, Middleware } from 'koa'
import type { Json } from '../lib/json.ts'
import { type Admin, ROLES, type SignIn } from '../sign-in/admin.ts'
import { AdminRefusal, refuseAdmin } from '../sign-in/admin-refusal.ts'
import { createEventHub, type EventHub } from './event-hub.ts'
import { KEY_FORM, once } from './idempotency.ts'
import type { AdminParts } from './parts.ts'
import { answerProblem, noOf } from './problem.ts'
import { recordAsked, recordRefused } from './record.ts'
import { invalid, readBody, readQuery } from './request.ts'
import type { Answered, Call, Route } from './route.ts'
import { createRouter, type Matched } from './router.ts'
import { ROUTES } from './routes.ts'

export type { AdminParts } from './parts.ts'

/** A Koa middleware; it calls `next` for what is not beneath `/v1/`. */
export interface AdminApi extends Middleware {
  /** The same for callers who are established in another way, as on the control socket. */
  as(authenticate: SignIn['authenticate']): Middleware
}

interface Core {
  readonly parts: AdminParts
  readonly clock: () => number
  readonly events: EventHub
  readonly find: (method: string, path: string) => Matched
}

export function createAdminApi(parts: AdminParts): AdminApi {
  const clock = parts.clock ?? (() => Date.now() / 1000)
  const events = createEventHub(parts, clock)
  const core: Core = { parts, clock, events, find: createRouter(ROUTES) }
  const { closing } = parts
  if (closing?.aborted) events.close()
  else closing?.addEventListener('abort', () => events.close(), { once: true })
  return Object.assign(
    answerWith(core, (ctx) => parts.signIn.authenticate(ctx)),
    { as: (authenticate: SignIn['authenticate']) => answerWith(core, authenticate) },
  )
}

function answerWith(core: Core, authenticate: SignIn['authenticate']): Middleware {
  return async (ctx, next) => {
    if (ctx.path !== '/v1' && !ctx.path.startsWith('/v1/')) return next()
    ctx.set('Cache-Control', 'no-store')
    ctx.set('X-Content-Type-Options', 'nosniff')
    let admin: Admin | undefined
    try {
      admin = await authenticate(ctx)
      const answered = await answer(core, ctx, admin)
      if (answered === undefined) return
      ctx.status = answered.status
      if (answered.body === undefined) return
      ctx.type = 'application/json'
      ctx.body = JSON.stringify(answered.body)
    } catch (error) {
      await refuse(core, ctx, admin, error)
    }
  }
}

async function refuse(
  { parts, clock }: Core,
  ctx: Context,
  admin: Admin | undefined,
  error: unknown,
): Promise<void> {
  const no = noOf(error)
  if (no.kind.status === 500) parts.log?.error({ err: error }, 'a request of an admin failed')
  answerProblem(ctx, no, parts.url)
  // What the sign-in refuses it records itself, save that somebody has yet to sign in.
  const { reason } = no
  if (admin === undefined && reason !== undefined && !isAbsent(reason)) return
  // The answer is no already; a record that fails changes nothing for the caller.
  await recordRefused(parts.audit, ctx, { admin, now: clock(), reason }).catch(() => undefined)
}

function isAbsent(reason: { readonly code: string; readonly why?: unknown }): boolean {
  return reason.code === 'signin_required' && reason.why === 'absent'
}

/** @returns undefined when the route has answered by itself */
async function answer(core: Core, ctx: Context, admin: Admin): Promise<Answered | undefined> {
  const { parts, clock, events } = core
  const { route, params } = core.find(ctx.method, ctx.path)
  const has = ROLES.indexOf(admin.role)
  if (has < ROLES.indexOf(route.role)) {
    refuseAdmin({ code: 'role_insufficient', needed: route.role, has: admin.role })
  }
  const query = readQuery(ctx, route.query)
  const body = await readBody(ctx, route.body)
  const call: Call = {
    ...{ parts, events, admin, params, query, body, ctx },
    now: clock(),
    begunAt: undefined,
  }
  if (route.change !== undefined) return change(core, route, call)
  const answered = await route.run(call)
  return route.stream === undefined ? { status: route.status, body: answered } : undefined
}

/** Checked, then on record, then done; under a key, once. */
async function change({ parts, clock }: Core, route: Route, call: Call): Promise<Answered> {
  const { admin, ctx } = call
  const { change: what, status } = route
  const key = keyOf(call.ctx, route)
  let changing = false
  const run = async (begunAt: number | undefined): Promise<Answered> => {
    await what?.check?.(call)
    const asked = what!.asked(call)
    await recordAsked(parts.audit, ctx, { admin, now: call.now, asked, outcome: 'allowed' })
    changing = true
    return { status, body: await route.run({ ...call, begunAt }) }
  }
  if (key === undefined) return run(undefined)
  const request = requestOf(ctx, call.body)
  const keyed = { admin: admin.id, key, request, secret: what?.secret ?? false }
  const isNo = (error: unknown) => !changing || error instanceof AdminRefusal
  return once({ documents: parts.documents, clock }, keyed, run, isNo)
}

/** @throws {AdminRefusal} request_invalid */
function keyOf(ctx: Context, { change: what }: Route): string | undefined {
  const key = ctx.req.headers['idempotency-key']
  if (key === undefined || what?.key === 'never') {
    if (what?.key === 'required') invalid('Idempotency-Key', 'is needed here')
    return undefined
  }
  if (typeof key !== 'string' || !KEY_FORM.test(key)) {
    invalid('Idempotency-Key', 'must be 1 to 255 printable characters without spaces')
  }
  return key
}

/** A touch is good once, so the same request may come again with another one, or without. */
function requestOf(ctx: Context, body: unknown): Json {
  const { touch: _, ...asked } = (body ?? {}) as Record<string, Json>
  return [ctx.method, ctx.path, asked]
}
