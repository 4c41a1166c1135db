/**
 * Who asks, on the admin side. Three kinds: a browser with a cookie, a person's command line with an
 * opaque token, a program with a token of the broker. Whoever has a token proves its key with each
 * request; whoever has a cookie proves that the page is ours.
 */
import type { Context } from 'koa'
import { headerValues } from '../lib/raw-headers.ts'
import { Refusal } from '../refusal.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import type { OidcStore } from './adapter.ts'
import type { Admin } from './admin.ts'
import { refuseAdmin } from './admin-refusal.ts'
import { type BrowserSignIns, cookieOf, SESSION_COOKIE } from './browser-sign-ins.ts'
import { CLI_CLIENT } from './clients.ts'
import type { Site } from './options.ts'
import { checkCsrf, checkPage } from './page-guard.ts'
import { counts, type PersonStore } from './person.ts'
import type { Program } from './program-token.ts'
import type { ProofDoor } from './proof-door.ts'
import { lowerRole, roleOf } from './role.ts'
import { reasonOf, type Trail } from './trail.ts'

export interface AuthenticateParts {
  readonly site: Site
  readonly people: PersonStore
  readonly browsers: BrowserSignIns
  readonly store: OidcStore
  readonly proofs: ProofDoor
  readonly trail: Trail
  readonly absoluteSeconds: number
  readonly clock: () => number
  verifyProgram(token: string, now: number): Promise<Program>
}

/** Says that nobody did this: a page asks by itself. Such requests do not put off the idle limit. */
export const BACKGROUND_HEADER = 'x-writ-background'
const OPAQUE = /^[A-Za-z0-9_-]{43}$/

export function authenticator(parts: AuthenticateParts): (ctx: Context) => Promise<Admin> {
  const { site, people, browsers, store, proofs, trail, clock } = parts

  return async function authenticate(ctx) {
    try {
      const authorization = headerValues(ctx.req, 'authorization')
      if (authorization.length > 1) refuseAdmin({ code: 'signin_required', why: 'form' })
      return authorization[0] === undefined
        ? await byCookie(ctx)
        : await byToken(ctx, authorization[0])
    } catch (error) {
      await note(ctx, error)
      // What was revoked is told like any other sign-in that is over.
      if (error instanceof Refusal && error.reason.code === 'revoked') {
        refuseAdmin({ code: 'signin_required', why: 'ended' }, error)
      }
      throw error
    }
  }

  async function byCookie(ctx: Context): Promise<Admin> {
    const cookie = cookieOf(ctx, SESSION_COOKIE)
    if (cookie === undefined) return refuseAdmin({ code: 'signin_required', why: 'absent' })
    checkPage(ctx, site)
    const active = ctx.get(BACKGROUND_HEADER) === ''
    const { person, touchedAt, csrf } = await browsers.find(cookie, active)
    checkCsrf(ctx, csrf)
    const { name, role } = await personOf(person, touchedAt)
    return { id: `person:${person}`, name, kind: 'person', role, touchedAt, csrf }
  }

  async function byToken(ctx: Context, authorization: string): Promise<Admin> {
    const [scheme = '', token = '', ...more] = authorization.split(' ')
    if (scheme.toLowerCase() !== 'dpop' || token === '' || more.length > 0) {
      refuseAdmin({ code: 'signin_required', why: 'form' })
    }
    const proof = await proofs.prove(ctx, token)
    return OPAQUE.test(token) ? await byPerson(token, proof) : await byProgram(token, proof)
  }

  async function byPerson(token: string, proof: VerifiedProof): Promise<Admin> {
    const found = await store.find('AccessToken', token)
    if (found?.accountId === undefined || found.grantId === undefined) {
      return refuseAdmin({ code: 'signin_required', why: 'unknown' })
    }
    if (found.clientId !== CLI_CLIENT) refuseAdmin({ code: 'signin_required', why: 'unknown' })
    if (found.aud !== site.url) refuseAdmin({ code: 'signin_required', why: 'audience' })
    if (found.jkt !== proof.jkt) refuseAdmin({ code: 'signin_required', why: 'proof' })
    const now = clock()
    const touchedAt = Number(found.extra?.authTime)
    const alive = now < Number(found.exp) && now < touchedAt + parts.absoluteSeconds
    if (!alive) refuseAdmin({ code: 'signin_required', why: 'ended' })
    if ((await store.find('Grant', found.grantId)) === undefined) {
      refuseAdmin({ code: 'signin_required', why: 'ended' })
    }
    const asked = roleOf(found.scope?.split(' ') ?? [])
    if (asked === undefined) return refuseAdmin({ code: 'signin_required', why: 'scope' })
    const { name, role } = await personOf(found.accountId, touchedAt)
    await proofs.spend(proof)
    const id = `person:${found.accountId}`
    return { id, name, kind: 'person', role: lowerRole(role, asked), touchedAt, csrf: undefined }
  }

  async function byProgram(token: string, proof: VerifiedProof): Promise<Admin> {
    const { clientId, role, jkt } = await parts.verifyProgram(token, clock())
    if (jkt !== proof.jkt) refuseAdmin({ code: 'signin_required', why: 'proof' })
    await proofs.spend(proof)
    const id = `client:${clientId}`
    return { id, name: clientId, kind: 'client', role, touchedAt: undefined, csrf: undefined }
  }

  /** Looked up for each request: who was removed is nobody from then on, and a role changes at once. */
  async function personOf(id: string, touchedAt: number) {
    const person = await people.get(id)
    if (person !== undefined && counts(person, touchedAt)) return person
    return refuseAdmin({ code: 'signin_required', why: 'ended' })
  }

  /** Not that somebody has yet to sign in, which every visit begins with. */
  async function note(ctx: Context, error: unknown): Promise<void> {
    const reason = reasonOf(error)
    if (reason === undefined || ('why' in reason && reason.why === 'absent')) return
    await trail.refused(reason, { address: ctx.req.socket.remoteAddress })
  }
}
