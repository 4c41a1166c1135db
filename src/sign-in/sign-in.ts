/** Puts sign-in together: who may ask on the admin side, and how they show it. */
import type { Context } from 'koa'
import type { KoaContextWithOIDC } from 'oidc-provider'
import { createOidcStore } from './adapter.ts'
import type { SignIn } from './admin.ts'
import { authenticator } from './authenticate.ts'
import { createBrowserSignIns } from './browser-sign-ins.ts'
import { createTouch } from './ceremony.ts'
import { createChallenges } from './challenges.ts'
import { PATHS } from './clients.ts'
import { createConsoleFlow } from './console-flow.ts'
import { type Asking, createDevicePages } from './device-pages.ts'
import { createEnrolment } from './enrolment.ts'
import { createInteractions } from './interaction.ts'
import { createLimits } from './limits.ts'
import { createLinks } from './links.ts'
import { createOauthDoor } from './oauth-door.ts'
import { parseSite, type SignInLog, type SignInOptions } from './options.ts'
import { createPeople } from './people.ts'
import { counts, createPersonStore } from './person.ts'
import { programTokenVerifier } from './program-token.ts'
import { createProofDoor } from './proof-door.ts'
import { createSignInProvider } from './provider.ts'
import { mountProvider } from './provider-mount.ts'
import { createRoster } from './roster.ts'
import { createRoutes } from './routes.ts'
import { createTrail } from './trail.ts'

export type { SignInLog, SignInOptions } from './options.ts'

const SILENT: SignInLog = { warn: () => undefined, error: () => undefined }

/**
 * @throws {TypeError} when passkeys or cookies could not work at `options.url`
 */
export async function createSignIn(
  options: SignInOptions,
): Promise<SignIn & { firstLink(): Promise<string | undefined> }> {
  const { documents, issuer, revocations, clients, keys } = options
  const site = parseSite(options.url, options.rpName)
  const clock = options.clock ?? (() => Date.now() / 1000)
  const log = options.log ?? SILENT
  const absoluteSeconds = options.absoluteSeconds ?? 43_200
  const idleSeconds = options.idleSeconds ?? 900
  const asking = new WeakMap<object, Asking>()

  const trail = createTrail(options.audit, clock)
  const limits = createLimits(clock)
  const store = createOidcStore(documents, clock)
  const people = createPersonStore(documents)
  const roster = createRoster(documents, people)
  const links = createLinks({ documents, people, site, clock })
  const challenges = createChallenges(documents, clock)
  const browsers = createBrowserSignIns({ documents, idleSeconds, absoluteSeconds, clock })
  const proofs = createProofDoor(site, options.ledger, clock)
  const pages = createDevicePages({
    asking,
    clock,
    async codeRefused(ctx: Context) {
      const address = ctx.req.socket.remoteAddress
      limits.note('user_code', address)
      await trail.refused({ code: 'user_code_refused' }, { address })
    },
  })

  const provider = createSignInProvider({
    site,
    store,
    pages,
    absoluteSeconds,
    clock,
    async personExists(id, touchedAt) {
      const person = await people.get(id)
      return person !== undefined && (touchedAt === undefined || counts(person, touchedAt))
    },
    recordToken,
  })
  const mounted = mountProvider({ provider, trail, log })
  const ceremony = { site, people, challenges, trail, clock }

  /** The console's is recorded where its cookie is made. */
  async function recordToken(ctx: KoaContextWithOIDC, id: string): Promise<void> {
    const grant = ctx.oidc.params?.grant_type
    if (grant === 'authorization_code') return
    const about = { principal: `person:${id}`, key: asking.get(ctx.req)?.jkt }
    const address = ctx.req.socket.remoteAddress
    if (grant === 'refresh_token') return trail.event('sign_in_renewed', { ...about, address })
    await trail.event('signed_in', { ...about, address, evidence: { by: 'command line' } })
    await people.change(id, (there) => ({ ...there, lastSignInAt: Math.floor(clock()) }))
  }

  const providePage = (ctx: Context) => {
    const code = ctx.path === PATHS.device && ctx.method === 'GET' ? ctx.query.user_code : undefined
    if (typeof code !== 'string') return mounted.provide(ctx, ctx.req)
    // Filled in for the person to compare; oidc-provider would send it off at once.
    const request = Object.create(ctx.req, { url: { value: PATHS.device, writable: true } })
    asking.set(request, { userCode: code })
    return mounted.provide(ctx, request)
  }

  return {
    routes: createRoutes({
      site,
      limits,
      trail,
      browsers,
      enrolment: createEnrolment({ ...ceremony, documents, roster, links, log }),
      consoleFlow: createConsoleFlow({
        ...{ site, documents, store, people, browsers, limits, trail, clock },
        listener: mounted.listener,
      }),
      interactions: createInteractions({ ...ceremony, provider, store }),
      oauth: createOauthDoor({
        ...{ store, proofs, limits, trail, asking },
        provide: mounted.provide,
      }),
      providePage,
    }),
    authenticate: authenticator({
      ...{ site, people, browsers, store, proofs, trail, absoluteSeconds, clock },
      verifyProgram: programTokenVerifier({
        ...{ issuer, clients, revocations, keys },
        audience: site.url,
      }),
    }),
    touch: createTouch(ceremony),
    people: createPeople({ people, roster, links, browsers, store, trail, clock }),

    async firstLink() {
      if (!(await people.empty())) return undefined
      await trail.event('first_link_made', {})
      return (await links.make({ kind: 'first', role: 'admin', by: 'local:start' })).url
    },
  }
}
