/** The koa applications of the two listeners: what every request passes, and the routes. */
import Koa, { type Context, type Next } from 'koa'
import type { Logger } from 'pino'
import { Refusal } from '../refusal.ts'
import { answerError, note } from './answer.ts'
import { clientAuthenticator } from './client-auth.ts'
import { type Certificates, ofConnections, ofProxies } from './client-certificate.ts'
import { SERVER_ERROR, wireError } from './errors.ts'
import type { FeedStreams } from './feed.ts'
import type { Guard } from './guard.ts'
import type { Readiness } from './health.ts'
import { introspection, revocation } from './introspect.ts'
import { serverMetadata } from './metadata.ts'
import type { Metrics } from './metrics.ts'
import { type Mtls, tokenUrlOf } from './mtls.ts'
import type { BrokerParts, Limits } from './parts.ts'
import { createProvider, HOSTED_GRANTS } from './provider.ts'
import { type Answer, type Routes, router } from './routes.ts'
import { tokenEndpoint } from './token.ts'

export interface AppParts {
  readonly parts: BrokerParts
  readonly limits: Limits
  readonly clock: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly streams: FeedStreams
  readonly readiness: () => Promise<Readiness>
  /** True from the moment the server is asked to stop. */
  readonly draining: () => boolean
}

/** Everything but `/metrics`. oidc-provider is the application; our routes come before its own. */
export function publicApp(app: AppParts, guard: Guard): Koa {
  const { parts, clock } = app
  const { broker, keys, clients, admin } = parts
  const desk = {
    parts,
    clock,
    authenticate: clientAuthenticator({ clients, issuer: broker.issuer, ledger: broker.ledger }),
  }
  const certificates = ofProxies(parts.proxies ?? [])
  const routes: Routes = {
    '/token': {
      POST: tokenEndpoint({
        broker,
        url: broker.tokenEndpoint,
        clock,
        metrics: app.metrics,
        bodyBytes: app.limits.bodyBytes,
        hosted: HOSTED_GRANTS,
        certificates,
        ...(admin === undefined ? {} : { adminUrl: admin.url }),
      }),
    },
    '/jwks': {
      GET(ctx) {
        ctx.set('Cache-Control', 'public, max-age=15')
        ctx.type = 'application/jwk-set+json'
        ctx.body = JSON.stringify(keys.jwks(clock()))
      },
    },
    ...metadataRoutes(parts),
    '/authorize': { GET: refuseAuthorization, POST: refuseAuthorization },
    '/introspect': { POST: introspection(desk) },
    '/revoke': { POST: revocation(desk) },
    '/revocations': { GET: (ctx) => app.streams.serve(ctx) },
    ...(parts.reports === undefined ? {} : { '/reports': { POST: parts.reports } }),
    ...healthRoutes(app),
  }
  const provider = createProvider({
    ...{ broker, keys, clients, clock },
    ...(admin === undefined ? {} : { adminUrl: admin.url }),
  })
  // Only `/token` ever goes on to oidc-provider: no route of its own is open.
  provider.on('server_error', (ctx, error: unknown) => {
    // A refusal of ours that went through oidc-provider: `token.ts` answers it as what it is.
    if (error instanceof Refusal) (ctx as unknown as Context).state.refused = error
    else failed(app, error)
  })
  const koa = provider as unknown as Koa
  koa.use(outermost(app, guard, certificates))
  koa.use(router(routes))
  koa.on('error', (error) => app.log.debug({ err: error }, 'a response was cut short'))
  return koa
}

/** What callers with a certificate need: the exchange's doors, and nothing that oidc-provider answers. */
export function mtlsApp(app: AppParts, guard: Guard, mtls: Mtls): Koa {
  const { broker } = app.parts
  const certificates = ofConnections()
  const koa = new Koa()
  koa.use(outermost(app, guard, certificates))
  koa.use(
    router({
      '/token': {
        POST: tokenEndpoint({
          broker,
          url: tokenUrlOf(mtls),
          clock: app.clock,
          metrics: app.metrics,
          bodyBytes: app.limits.bodyBytes,
          hosted: new Set(),
          certificates,
        }),
      },
      ...metadataRoutes(app.parts),
      '/healthz': healthRoutes(app)['/healthz']!,
    }),
  )
  koa.on('error', (error) => app.log.debug({ err: error }, 'a response was cut short'))
  return koa
}

export function adminApp(app: AppParts, guard: Guard): Koa {
  const koa = new Koa()
  koa.use(outermost(app, guard, ofConnections()))
  for (const routes of app.parts.admin?.routes ?? []) koa.use(routes)
  koa.use(
    router({
      '/metrics': {
        async GET(ctx) {
          ctx.set('Cache-Control', 'no-store')
          ctx.set('Content-Type', app.metrics.contentType)
          ctx.body = await app.metrics.text()
        },
      },
      ...healthRoutes(app),
    }),
  )
  koa.on('error', (error) => app.log.debug({ err: error }, 'a response was cut short'))
  return koa
}

/** Whether this request is ours, and what happens to anything that nobody expected. */
function outermost(
  app: AppParts,
  guard: Guard,
  certificates: Certificates,
): (ctx: Context, next: Next) => Promise<void> {
  const { broker } = app.parts
  return async (ctx, next) => {
    ctx.set('X-Content-Type-Options', 'nosniff')
    if (app.draining()) ctx.set('Connection', 'close')
    certificates.receive(ctx.req)
    try {
      guard(ctx.req)
      await next()
    } catch (error) {
      if (!(error instanceof Refusal)) {
        failed(app, error)
        return answerError(ctx, SERVER_ERROR)
      }
      const { reason } = error
      answerError(ctx, wireError(reason, { grant: 'token-exchange', token: 'session' }))
      const noted = { door: 'http', now: app.clock(), outcome: 'refused', reason } as const
      // The answer is no already; a record that fails changes nothing for the caller.
      await note(broker.audit, ctx, noted).catch(() => undefined)
    }
  }
}

function failed(app: AppParts, error: unknown): void {
  app.metrics.failed()
  app.log.error({ err: error }, 'a request failed')
}

function metadataRoutes(parts: BrokerParts): Routes {
  const metadata = serverMetadata(parts)
  return {
    '/.well-known/oauth-authorization-server': {
      GET(ctx) {
        ctx.set('Cache-Control', 'public, max-age=300')
        ctx.body = metadata
      },
    },
  }
}

function healthRoutes(app: AppParts): Routes {
  return {
    '/healthz': {
      GET(ctx) {
        ctx.set('Cache-Control', 'no-store')
        ctx.body = { status: 'ok' }
      },
    },
    '/readyz': {
      async GET(ctx) {
        ctx.set('Cache-Control', 'no-store')
        const { ready, checks } = await app.readiness()
        const draining = app.draining()
        ctx.status = ready && !draining ? 200 : 503
        ctx.body = { status: ctx.status === 200 ? 'ready' : 'not ready', draining, checks }
      },
    },
  }
}

/** No one signs in here yet; see `serverMetadata`. */
const refuseAuthorization: Answer = (ctx) => {
  answerError(ctx, {
    status: 400,
    error: 'unauthorized_client',
    description: 'no client may use this endpoint; tokens are issued at the token endpoint',
  })
}
