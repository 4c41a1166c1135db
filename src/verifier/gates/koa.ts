import type { ServerResponse } from 'node:http'
import type { AuthInfo } from '../auth-info.ts'
import type { Verifier } from '../verifier.ts'
import { checkNode, headersOf, METADATA_HEADERS, type NodeRequest, pathOf } from './node-request.ts'

/** What of Koa's context the gate uses. */
export interface KoaContext {
  readonly req: NodeRequest
  readonly res: ServerResponse
  readonly request: object
  /** As the client sent it; `ctx.req.url` is rewritten where a router mounts. */
  readonly originalUrl: string
  readonly state: Record<string, unknown>
  status: number
  body: unknown
  set(headers: Record<string, string | string[]>): void
}

/**
 * Koa middleware. Handlers find the caller in `ctx.req.auth` and `ctx.state.auth`, the checked
 * message in `ctx.request.body`.
 *
 * @throws {TypeError} (as a rejection) when a body parser ran before it
 * @example
 * app.use(koaGate(verifier))
 * app.use(async (ctx) => {
 *   ctx.respond = false
 *   await transport.handleRequest(ctx.req, ctx.res, ctx.request.body)
 * })
 */
export function koaGate(
  verifier: Verifier,
): (ctx: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  return async (ctx, next) => {
    const path = pathOf(ctx)
    const metadata = verifier.metadataFor(ctx.req.method ?? '', path)
    if (metadata !== undefined) {
      ctx.status = 200
      ctx.set(METADATA_HEADERS)
      ctx.body = metadata
      return
    }
    const outcome = await checkNode(verifier, ctx.req, ctx.res, path)
    if (!outcome.allowed) {
      ctx.status = outcome.status
      ctx.set(headersOf(outcome))
      ctx.body = outcome.body
      return
    }
    ctx.state.auth = outcome.authInfo satisfies AuthInfo
    Object.assign(ctx.request, { body: ctx.req.body })
    await next()
  }
}
