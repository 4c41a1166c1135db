/** Lets oidc-provider, an application of its own, answer requests that come to ours. */
import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import type Provider from 'oidc-provider'
import { Refusal } from '../refusal.ts'
import type { SignInLog } from './options.ts'
import type { Trail } from './trail.ts'

export interface MountedProvider {
  provide(ctx: Context, request: IncomingMessage): Promise<void>
  readonly listener: (request: IncomingMessage, response: ServerResponse) => Promise<void>
}

/** What a poll is told until somebody has answered. */
const WAITING: ReadonlySet<string> = new Set(['authorization_pending', 'slow_down'])

export function mountProvider(parts: {
  readonly provider: Provider
  readonly trail: Trail
  readonly log: SignInLog
}): MountedProvider {
  const { provider, trail, log } = parts
  const unavailable = new WeakSet<object>()

  provider.on('server_error', (ctx, error: unknown) => {
    if (error instanceof Refusal) unavailable.add(ctx.req)
    else log.error({ err: error }, 'a sign-in failed')
  })
  const koa = provider as unknown as EventEmitter
  koa.on('error', (error: unknown) => log.error({ err: error }, 'a response was cut short'))
  provider.on('grant.error', (ctx, error) => {
    const { error: code, error_detail: detail } = error as unknown as Partial<
      Record<string, string>
    >
    if (code === undefined || WAITING.has(code)) return
    const address = ctx.req.socket.remoteAddress
    void trail.refused({ code: 'grant_refused' }, { address, evidence: { error: code, detail } })
  })
  // The store or the audit did not answer: try again is all there is to say.
  provider.use(async (ctx, next) => {
    await next()
    if (!unavailable.has(ctx.req)) return
    ctx.status = 503
    ctx.set('Retry-After', '1')
    ctx.body = { error: 'temporarily_unavailable' }
  })

  const callback = provider.callback()
  const listener: MountedProvider['listener'] = async (request, response) => {
    await callback(request, response)
  }
  return {
    listener,
    async provide(ctx, request) {
      // It answers by itself; the headers set so far are on the response already.
      ctx.respond = false
      await listener(request, ctx.res)
    },
  }
}
