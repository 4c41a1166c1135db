/** Every path of sign-in. Beneath `/sign-in` and `/oauth` anything else is 404. */
import type { Context, Middleware, Next } from 'koa'
import { type AdminReason, AdminRefusal, refuseAdmin } from './admin-refusal.ts'
import { receiveJson } from './body.ts'
import { type BrowserSignIns, cookieOf, SESSION_COOKIE, setCookie } from './browser-sign-ins.ts'
import { PATHS, PROVIDER_COOKIE } from './clients.ts'
import type { ConsoleFlow } from './console-flow.ts'
import type { Enrolment } from './enrolment.ts'
import { type createInteractions, parseInteractionPath } from './interaction.ts'
import type { Limits } from './limits.ts'
import { ENROL_PATH } from './links.ts'
import { metadataOf } from './metadata.ts'
import type { Site } from './options.ts'
import { FILES, setHeaders } from './page.ts'
import { checkCsrf, checkPage } from './page-guard.ts'
import { answerRefusal, enrolPage, nothingPage, signedOutPage } from './route-pages.ts'
import type { Trail } from './trail.ts'

export interface RouteParts {
  readonly site: Site
  readonly limits: Limits
  readonly trail: Trail
  readonly browsers: BrowserSignIns
  readonly enrolment: Enrolment
  readonly consoleFlow: ConsoleFlow
  readonly interactions: ReturnType<typeof createInteractions>
  readonly oauth: (ctx: Context) => Promise<void>
  /** Gives the request to oidc-provider, as a page asked for it. */
  readonly providePage: (ctx: Context) => Promise<void>
}

const METADATA = '/.well-known/oauth-authorization-server'
const OURS = /^\/(?:sign-in|oauth)(?:\/|$)/

type Answer = (ctx: Context) => Promise<void> | void

export function createRoutes(parts: RouteParts): Middleware {
  const { site, limits, enrolment, consoleFlow, interactions } = parts
  const metadata = metadataOf(site)
  const fixed: Readonly<Record<string, Answer>> = {
    'GET /sign-in': consoleFlow.start,
    'GET /sign-in/start': consoleFlow.start,
    [`GET ${PATHS.callback}`]: consoleFlow.callback,
    [`GET ${ENROL_PATH}`]: enrolPage,
    [`POST ${ENROL_PATH}/options`]: ceremony(async (ctx) => {
      ctx.body = await enrolment.begin(await receiveJson(ctx))
    }),
    [`POST ${ENROL_PATH}/finish`]: ceremony(async (ctx) => {
      ctx.body = await enrolment.finish(await receiveJson(ctx), ctx.req.socket.remoteAddress)
    }),
    'POST /sign-in/out': signOut,
    'GET /sign-in/signed-out': signedOutPage,
    [`GET ${PATHS.authorization}`]: page,
    [`GET ${PATHS.device}`]: page,
    [`POST ${PATHS.device}`]: (ctx) => {
      checkPage(ctx, site)
      limits.check('user_code', ctx.req.socket.remoteAddress)
      return nextPage(ctx)
    },
    [`POST ${PATHS.deviceAuthorization}`]: parts.oauth,
    [`POST ${PATHS.token}`]: parts.oauth,
    [`POST ${PATHS.revocation}`]: parts.oauth,
  }

  return async function signInRoutes(ctx: Context, next: Next) {
    if (ctx.path === METADATA && ctx.method === 'GET') {
      ctx.body = metadata
      return
    }
    if (!OURS.test(ctx.path)) return await next()
    setHeaders(ctx)
    try {
      await answer(ctx)
    } catch (error) {
      if (!(error instanceof AdminRefusal)) throw error
      await refused(ctx, error.reason)
    }
  }

  async function answer(ctx: Context): Promise<void> {
    const file = ctx.method === 'GET' ? FILES[ctx.path] : undefined
    if (file !== undefined) {
      ctx.type = file.type
      ctx.body = file.text
      return
    }
    if (isElsewhere(ctx, site)) return ctx.redirect(`${site.url}${ctx.url}`)
    const known = fixed[`${ctx.method} ${ctx.path}`] ?? dynamic(ctx)
    if (known !== undefined) return await known(ctx)
    nothingPage(ctx)
  }

  function dynamic(ctx: Context): Answer | undefined {
    const found = parseInteractionPath(ctx.path)
    if (found !== undefined) {
      const { uid, step } = found
      if (step === 'page')
        return ctx.method === 'GET' ? () => interactions.page(ctx, uid) : undefined
      if (ctx.method !== 'POST') return undefined
      return ceremony(() => interactions[step as 'options' | 'finish' | 'cancel'](ctx, uid))
    }
    const back = [PATHS.authorization, PATHS.device].some((path) => ctx.path.startsWith(`${path}/`))
    return back && ctx.method === 'GET' ? nextPage : undefined
  }

  /** Whoever had the page before has its cookie; oidc-provider fails over those who have not. */
  function nextPage(ctx: Context): Promise<void> {
    const before = cookieOf(ctx, PROVIDER_COOKIE)
    if (before === undefined) refuseAdmin({ code: 'signin_required', why: 'unknown' })
    return page(ctx)
  }

  function page(ctx: Context): Promise<void> {
    limits.count('page', ctx.req.socket.remoteAddress)
    return parts.providePage(ctx)
  }

  /** A step of a passkey ceremony: from our own page, and not too many. */
  function ceremony(step: Answer): Answer {
    return async (ctx) => {
      checkPage(ctx, site)
      limits.count('ceremony', ctx.req.socket.remoteAddress)
      await step(ctx)
    }
  }

  async function signOut(ctx: Context): Promise<void> {
    const cookie = cookieOf(ctx, SESSION_COOKIE)
    checkPage(ctx, site)
    if (cookie !== undefined) await endSignIn(ctx, cookie)
    setCookie(ctx, SESSION_COOKIE, undefined, { sameSite: 'Strict' })
    ctx.status = 204
  }

  async function endSignIn(ctx: Context, cookie: string): Promise<void> {
    const found = await parts.browsers.find(cookie, false).catch((error: unknown) => {
      // It is over already; the browser need not keep it.
      if (error instanceof AdminRefusal) return undefined
      throw error
    })
    if (found === undefined) return
    checkCsrf(ctx, found.csrf)
    await parts.browsers.end(cookie)
    const address = ctx.req.socket.remoteAddress
    await parts.trail.event('signed_out', { principal: `person:${found.person}`, address })
  }

  async function refused(ctx: Context, reason: AdminReason): Promise<void> {
    const recorded = reason.code === 'passkey_refused' && ctx.path.startsWith(PATHS.interaction)
    if (!recorded) await parts.trail.refused(reason, { address: ctx.req.socket.remoteAddress })
    answerRefusal(ctx, reason, ctx.method === 'GET' || ctx.path === PATHS.device)
  }
}

/** A page under another name of loopback: passkeys and cookies are for one name only. */
function isElsewhere(ctx: Context, site: Site): boolean {
  return (
    site.protocol === 'http' &&
    ctx.method === 'GET' &&
    ctx.url.startsWith('/') &&
    ctx.get('host').toLowerCase() !== site.host
  )
}
