import type { Verifier } from '../verifier.ts'
import { checkFetch, finish, metadataResponse, refusalResponse } from './fetch.ts'
import { PARSER_RAN_BEFORE } from './node-request.ts'

/** What of Hono's context the gate uses. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  readonly env: unknown
  res: Response
  get(name: string): unknown
  set(name: string, value: unknown): void
}

/**
 * Hono middleware. Handlers find the caller in `c.get('auth')` and the checked message in
 * `c.get('parsedBody')`.
 *
 * @throws {TypeError} (as a rejection) when a body parser ran before it
 * @example
 * app.use(honoGate(verifier))
 * app.all('/mcp', (c) =>
 *   mcp.fetch(c.req.raw, { authInfo: c.get('auth'), parsedBody: c.get('parsedBody') }),
 * )
 */
export function honoGate(
  verifier: Verifier,
): (c: HonoContext, next: () => Promise<void>) => Promise<Response | undefined> {
  return async (c, next) => {
    const metadata = metadataResponse(verifier, c.req.raw)
    if (metadata !== undefined) return metadata
    // `createMcpHonoApp` parses a clone of the request and leaves the result here.
    if (c.get('parsedBody') !== undefined) throw new TypeError(PARSER_RAN_BEFORE)
    const outcome = await checkFetch(verifier, c.req.raw, addressOf(c.env))
    if (!outcome.allowed) return refusalResponse(outcome)
    c.set('auth', outcome.authInfo)
    c.set('parsedBody', outcome.message?.raw)
    await next()
    const finished = finish(outcome, c.res)
    if (finished !== c.res) c.res = finished
    return undefined
  }
}

/** With the Node adapter, the connection is in the environment. */
function addressOf(env: unknown): string | undefined {
  const { incoming } = (env ?? {}) as { incoming?: { socket?: { remoteAddress?: string } } }
  return incoming?.socket?.remoteAddress
}
