/**
 * The console's sign-in: an authorization code flow with PKCE whose client is this server (OAuth 2.1 for
 * browsers: a backend holds the tokens). The browser is sent away with a state and comes back with a
 * code, and all it ever holds is a cookie.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import type { Documents } from '../ledger/documents.ts'
import type { OidcStore } from './adapter.ts'
import { refuseAdmin } from './admin-refusal.ts'
import { type BrowserSignIns, cookieOf, SESSION_COOKIE, setCookie } from './browser-sign-ins.ts'
import { CONSOLE_CLIENT, PATHS, ROLE_SCOPES } from './clients.ts'
import { postInProcess } from './in-process.ts'
import type { Limits } from './limits.ts'
import type { Site } from './options.ts'
import type { PersonStore } from './person.ts'
import { cancelledPage } from './route-pages.ts'
import { isSecret, keptId, newSecret, sameText } from './secret.ts'
import type { Trail } from './trail.ts'

export interface ConsoleFlow {
  /** `GET /sign-in[?to=<path>]` */
  start(ctx: Context): Promise<void>
  /** `GET /sign-in/callback`. @throws {AdminRefusal} signin_required */
  callback(ctx: Context): Promise<void>
}

export interface ConsoleFlowParts {
  readonly site: Site
  readonly documents: Documents
  readonly store: OidcStore
  readonly people: PersonStore
  readonly browsers: BrowserSignIns
  readonly limits: Limits
  readonly trail: Trail
  readonly clock: () => number
  readonly listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>
}

interface Touched {
  readonly person: string
  readonly touchedAt: number
}

const KIND = 'sign_in_start'
/** Ties what comes back to the browser that was sent away. */
const START_COOKIE = '__Host-writ_start'
const START_SECONDS = 600
/** A path here; no scheme-relative address, and nothing a browser would read as one. */
const LOCAL_PATH = /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,500}$/

export function createConsoleFlow(parts: ConsoleFlowParts): ConsoleFlow {
  const { site, documents, browsers, clock } = parts
  const redirectUri = `${site.url}${PATHS.callback}`

  async function start(ctx: Context): Promise<void> {
    parts.limits.count('start', ctx.req.socket.remoteAddress)
    const [state, verifier] = [newSecret(), newSecret()]
    // Kept when there: sign-ins in two windows must not end each other.
    const there = cookieOf(ctx, START_COOKIE)
    const browser = isSecret(there) ? there : newSecret()
    const to =
      typeof ctx.query.to === 'string' && LOCAL_PATH.test(ctx.query.to) ? ctx.query.to : '/'
    const value = { verifier, browser: keptId(KIND, browser), to }
    const expiresAt = clock() + START_SECONDS
    await documents.put(KIND, keptId(KIND, state), value, { expiresAt })
    setCookie(ctx, START_COOKIE, browser, { sameSite: 'Lax', maxAgeSeconds: START_SECONDS })
    const query = new URLSearchParams({
      client_id: CONSOLE_CLIENT,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: ROLE_SCOPES.join(' '),
      state,
      code_challenge: hash('sha256', verifier, 'base64url'),
      code_challenge_method: 'S256',
    })
    redirect(ctx, `${PATHS.authorization}?${query}`)
  }

  async function callback(ctx: Context): Promise<void> {
    const { state, code, iss } = ctx.query
    const begun = isSecret(state) ? await documents.take(KIND, keptId(KIND, state)) : undefined
    if (begun === undefined) return refuseAdmin({ code: 'signin_required', why: 'unknown' })
    const { verifier, browser, to } = begun.value as Record<'verifier' | 'browser' | 'to', string>
    const cookie = cookieOf(ctx, START_COOKIE)
    if (!isSecret(cookie) || !sameText(keptId(KIND, cookie), browser)) {
      refuseAdmin({ code: 'signin_required', why: 'form' })
    }
    if (ctx.query.error === 'access_denied') return cancelledPage(ctx)
    // RFC 9207; there is one issuer, and it says so.
    if (typeof code !== 'string' || iss !== site.url) {
      return refuseAdmin({ code: 'signin_required', why: 'ended' })
    }
    await finish(ctx, await redeem(code, verifier), to)
  }

  /** @throws {AdminRefusal} signin_required */
  async function redeem(code: string, verifier: string): Promise<Touched> {
    const { status, body } = await postInProcess(parts.listener, PATHS.token, {
      grant_type: 'authorization_code',
      client_id: CONSOLE_CLIENT,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      code,
    })
    if (status === 503) refuseAdmin({ code: 'too_many_requests', retryAfterSeconds: 1 })
    if (status !== 200) refuseAdmin({ code: 'signin_required', why: 'unknown' })
    const { access_token: token } = JSON.parse(body) as { access_token: string }
    const found = await parts.store.find('AccessToken', token)
    if (found?.accountId === undefined) throw new Error('a token that was issued is not there')
    // It has said who it is; nothing else is done with it.
    await parts.store.adapter('AccessToken').destroy(token)
    if (found.grantId !== undefined) await parts.store.adapter('Grant').destroy(found.grantId)
    return { person: found.accountId, touchedAt: Number(found.extra?.authTime) }
  }

  async function finish(ctx: Context, { person, touchedAt }: Touched, to: string): Promise<void> {
    const now = Math.floor(clock())
    await parts.people.change(person, (there) => ({ ...there, lastSignInAt: now }))
    // Whatever was signed in here before is over.
    const before = cookieOf(ctx, SESSION_COOKIE)
    if (before !== undefined) await browsers.end(before)
    await parts.trail.event('signed_in', {
      principal: `person:${person}`,
      address: ctx.req.socket.remoteAddress,
      evidence: { by: 'browser' },
    })
    setCookie(ctx, SESSION_COOKIE, await browsers.start(person, touchedAt), { sameSite: 'Strict' })
    setCookie(ctx, START_COOKIE, undefined, { sameSite: 'Lax' })
    redirect(ctx, to)
  }

  return { start, callback }
}

function redirect(ctx: Context, to: string): void {
  ctx.status = 303
  ctx.set('Location', to)
  ctx.body = ''
}
