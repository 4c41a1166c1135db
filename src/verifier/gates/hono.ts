import type { IncomingMessage } from 'node:http'
import { removeHeaders } from '../../lib/raw-headers.ts'
import type { Verifier } from '../verifier.ts'
import { believable, checkFetch, finish, metadataResponse, refusalResponse } from './fetch.ts'
import { nodePeer, PARSER_RAN_BEFORE, type Peer } from './node-request.ts'

/** What of Hono's context the gate uses. */
export interface HonoContext {
  readonly req: { raw: Request }
  readonly env: unknown
  res: Response
  get(name: string): unknown
  set(name: string, value: unknown): void
}

export interface HonoGateOptions {
  /** Says who is at the other end, where that is not Node's own connection. Never out of a header. */
  readonly peer?: (c: HonoContext) => Peer | Promise<Peer>
}

/**
 * Hono middleware. Handlers find the caller in `c.get('auth')` and the checked message in
 * `c.get('parsedBody')`.
 *
 * With the Node adapter it finds the connection by itself; elsewhere `peer` has to name it, or
 * tokens that are bound to certificates are refused.
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
  { peer = peerOf }: HonoGateOptions = {},
): (c: HonoContext, next: () => Promise<void>) => Promise<Response | undefined> {
  return async (c, next) => {
    const metadata = metadataResponse(verifier, c.req.raw)
    if (metadata !== undefined) return metadata
    // `createMcpHonoApp` parses a clone of the request and leaves the result here.
    if (c.get('parsedBody') !== undefined) throw new TypeError(PARSER_RAN_BEFORE)
    const outcome = await checkFetch(verifier, c.req.raw, await peer(c))
    if (!outcome.allowed) return refusalResponse(outcome)
    c.req.raw = believable(c.req.raw, outcome)
    const incoming = incomingOf(c)
    if (incoming !== undefined) removeHeaders(incoming, outcome.unbelieved)
    c.set('auth', outcome.authInfo)
    c.set('parsedBody', outcome.message?.raw)
    await next()
    const finished = finish(outcome, c.res)
    if (finished !== c.res) c.res = finished
    return undefined
  }
}

function peerOf(c: HonoContext): Peer {
  const incoming = incomingOf(c)
  return incoming === undefined ? {} : nodePeer(incoming)
}

/** With the Node adapter, Node's own request is in the environment. */
function incomingOf({ env }: HonoContext): IncomingMessage | undefined {
  return ((env ?? {}) as { incoming?: IncomingMessage }).incoming
}
