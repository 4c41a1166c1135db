/**
 * What a browser holds of a sign-in: one cookie with a random name for it, and nothing else. Everything
 * about it is here, under the cookie's hash, so that it can be ended here.
 */
import { hash } from 'node:crypto'
import type { Context } from 'koa'
import type { Document, Documents } from '../ledger/documents.ts'
import { refuseAdmin } from './admin-refusal.ts'
import { keptId, newSecret } from './secret.ts'

export const SESSION_COOKIE = '__Host-writ'
const KIND = 'sign_in'
/** Each request is activity, and one write a minute is enough to remember it. */
const SEEN_EVERY_SECONDS = 60
const LISTED = 200

export interface BrowserSignIn {
  readonly person: string
  readonly touchedAt: number
  readonly csrf: string
}

export interface BrowserSignIns {
  /**
   * @param touchedAt when the passkey was touched, from which on it is counted
   * @returns the cookie's value
   */
  start(person: string, touchedAt: number): Promise<string>
  /**
   * @param active whether this request is somebody's doing, which puts off the idle limit
   * @throws {AdminRefusal} signin_required: unknown, idle, ended
   */
  find(cookie: string, active: boolean): Promise<BrowserSignIn>
  end(cookie: string): Promise<void>
  endAllOf(person: string): Promise<void>
}

export function createBrowserSignIns(options: {
  readonly documents: Documents
  readonly idleSeconds: number
  readonly absoluteSeconds: number
  readonly clock: () => number
}): BrowserSignIns {
  const { documents, idleSeconds, absoluteSeconds, clock } = options

  async function seen(document: Document, now: number): Promise<void> {
    const { id, version, value, group, expiresAt } = document
    // Somebody else may have written it at once, which is as good.
    await documents.replace(KIND, id, version, { ...value, seenAt: now }, { group, expiresAt })
  }

  async function over(id: string, why: 'idle' | 'ended'): Promise<never> {
    await documents.remove(KIND, id)
    return refuseAdmin({ code: 'signin_required', why })
  }

  return {
    async start(person, startedAt) {
      const cookie = newSecret()
      const now = Math.floor(clock())
      await documents.put(
        KIND,
        keptId(KIND, cookie),
        { person, startedAt, seenAt: now },
        { group: person, expiresAt: startedAt + absoluteSeconds },
      )
      return cookie
    },

    async find(cookie, active) {
      const id = keptId(KIND, cookie)
      const document = await documents.get(KIND, id)
      if (document === undefined) refuseAdmin({ code: 'signin_required', why: 'unknown' })
      const { person, startedAt, seenAt } = document.value as {
        person: string
        startedAt: number
        seenAt: number
      }
      const now = clock()
      if (!(now < startedAt + absoluteSeconds)) return over(id, 'ended')
      if (!(now < seenAt + idleSeconds)) return over(id, 'idle')
      if (active && now >= seenAt + SEEN_EVERY_SECONDS) await seen(document, now)
      return { person, touchedAt: startedAt, csrf: csrfOf(cookie) }
    },

    end: async (cookie) => void (await documents.remove(KIND, keptId(KIND, cookie))),

    async endAllOf(person) {
      for (;;) {
        const found = await documents.list(KIND, { group: person, limit: LISTED })
        for (const { id } of found) await documents.remove(KIND, id)
        if (found.length < LISTED) return
      }
    },
  }
}

/** Told to the page that the cookie signs in; of no use without the cookie, nor for making one. */
function csrfOf(cookie: string): string {
  return hash('sha256', `csrf:${cookie}`, 'base64url')
}

/** Sets or, without a value, removes a cookie of ours. `__Host-` keeps it to this origin and path `/`. */
export function setCookie(
  ctx: Context,
  name: string,
  value: string | undefined,
  options: { readonly sameSite: 'Strict' | 'Lax'; readonly maxAgeSeconds?: number },
): void {
  const age = value === undefined ? 0 : options.maxAgeSeconds
  const parts = [
    `${name}=${value ?? ''}`,
    'Path=/',
    'Secure',
    'HttpOnly',
    `SameSite=${options.sameSite}`,
    ...(age === undefined ? [] : [`Max-Age=${age}`]),
  ]
  const before = ctx.res.getHeader('Set-Cookie')
  const list = before === undefined ? [] : Array.isArray(before) ? before : [String(before)]
  ctx.res.setHeader('Set-Cookie', [...list, parts.join('; ')])
}

/** The one value of a cookie; two of one name are none, since it is unknown whose they are. */
export function cookieOf(ctx: Context, name: string): string | undefined {
  const values: string[] = []
  for (const pair of (ctx.req.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) values.push(pair.slice(at + 1).trim())
  }
  return values.length === 1 ? values[0] : undefined
}
