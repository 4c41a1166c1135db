import { readBounded } from '../../lib/read-bounded.ts'
import type { AuthInfo } from '../auth-info.ts'
import type { Allowed, GateRequest, Outcome, Refused } from '../request.ts'
import type { Verifier } from '../verifier.ts'
import {
  BROKEN_OFF,
  METADATA_HEADERS,
  PARSER_RAN_BEFORE,
  type Peer,
  seenOf,
} from './node-request.ts'

/** What a fetch-style MCP handler is given besides the request; the SDKs' handlers take it as it is. */
export interface Admission {
  readonly authInfo: AuthInfo
  /** The checked message; `undefined` for GET and DELETE. */
  readonly parsedBody: unknown
}

export interface FetchGateOptions<Platform extends readonly unknown[]> {
  /**
   * Says who is at the other end. A fetch-style handler has no connection of its own, so only the
   * author can tell, out of what the platform hands over besides the request; with Node adapters,
   * `nodePeer` does. Never out of a header. A function that rejects fails the request.
   */
  readonly peer?: (request: Request, ...platform: Platform) => Peer | Promise<Peer>
}

/**
 * Wraps a fetch-style handler (Deno, Bun, workers, Node through an adapter).
 *
 * @throws {TypeError} when the verifier takes certificates and nobody says whose they are; as a
 * rejection, when something read the body before
 * @example
 * const mcp = createMcpHandler(makeServer)
 * export default { fetch: fetchGate(verifier, mcp.fetch) }
 */
export function fetchGate<Platform extends readonly unknown[] = readonly unknown[]>(
  verifier: Verifier,
  handler: (request: Request, admission: Admission) => Response | Promise<Response>,
  { peer }: FetchGateOptions<Platform> = {},
): (request: Request, ...platform: Platform) => Promise<Response> {
  if (verifier.certificates && peer === undefined) {
    throw new TypeError(
      'certificates: a fetch handler sees no connection; give fetchGate the option peer, which says whose it is',
    )
  }
  return async (request, ...platform) => {
    const metadata = metadataResponse(verifier, request)
    if (metadata !== undefined) return metadata
    const outcome = await checkFetch(verifier, request, await peer?.(request, ...platform))
    if (!outcome.allowed) return refusalResponse(outcome)
    const response = await handler(believable(request, outcome), admissionOf(outcome))
    return finish(outcome, response)
  }
}

/**
 * The request without the headers that nobody may believe. A new one, because some platforms do not
 * let headers be removed, and some keep copies; its body has been read.
 */
export function believable(request: Request, { unbelieved }: Allowed): Request {
  if (unbelieved.length === 0) return request
  const headers = new Headers(request.headers)
  for (const name of unbelieved) headers.delete(name)
  return new Request(request.url, { method: request.method, headers, signal: request.signal })
}

function admissionOf({ authInfo, message }: Allowed): Admission {
  return { authInfo, parsedBody: message?.raw }
}

export function metadataResponse(verifier: Verifier, request: Request): Response | undefined {
  const metadata = verifier.metadataFor(request.method, pathOf(request))
  return metadata === undefined
    ? undefined
    : new Response(JSON.stringify(metadata), { headers: METADATA_HEADERS })
}

/**
 * Out of the text, because adapters for Node hand on what the client sent and `new URL` would make
 * steps upwards and backslashes disappear from it.
 */
function pathOf(request: Request): string {
  const [, path] = /^[^:]+:\/\/[^/?#\\]*([^?#]*)/.exec(request.url) ?? []
  return path === undefined || path === '' ? '/' : path
}

/** @throws {TypeError} when something read the body before */
export async function checkFetch(
  verifier: Verifier,
  request: Request,
  peer: Peer = {},
): Promise<Outcome> {
  const url = new URL(request.url)
  const body =
    request.method === 'POST' ? await readBody(request, verifier.maxBodyBytes) : undefined
  if (body === 'broken off') return BROKEN_OFF
  const seen: GateRequest = {
    method: request.method,
    path: pathOf(request),
    headers(name) {
      // Fields of one name arrive joined by commas, which no single value we accept contains.
      const value = request.headers.get(name)
      if (value !== null) return [value]
      return name === 'host' ? [url.host] : []
    },
    body,
    ...seenOf(verifier, peer),
  }
  return await verifier.check(seen)
}

/** Stops one byte past the limit, which is how the verifier learns that there was more. */
async function readBody(request: Request, maxBytes: number): Promise<Uint8Array | 'broken off'> {
  if (request.bodyUsed) throw new TypeError(PARSER_RAN_BEFORE)
  try {
    return await readBounded(request.body, maxBytes)
  } catch {
    return 'broken off'
  }
}

export function refusalResponse({ status, headers, body }: Refused): Response {
  return new Response(JSON.stringify(body), { status, headers: headers.map(([n, v]) => [n, v]) })
}

/** Adds what the verifier says to the handler's response, and ends it when the token does. */
export function finish(outcome: Allowed, response: Response): Response {
  const sessionId = response.headers.get('mcp-session-id')
  if (sessionId !== null) outcome.issuedSession(sessionId)
  const { closing } = outcome
  if (outcome.headers.length === 0 && closing === undefined) return response
  const body = closing === undefined ? response.body : endWith(closing, outcome, response.body)
  const finished = new Response(body, response)
  for (const [name, value] of outcome.headers) finished.headers.set(name, value)
  return finished
}

function endWith(
  closing: AbortSignal,
  outcome: Allowed,
  body: ReadableStream<Uint8Array> | null,
): ReadableStream<Uint8Array> | null {
  if (body === null) {
    outcome.ended()
    return null
  }
  const reader = body.getReader()
  return new ReadableStream({
    start(controller) {
      const end = () => {
        outcome.ended()
        controller.close()
        reader.cancel().catch(() => {})
      }
      if (closing.aborted) end()
      else closing.addEventListener('abort', end, { once: true })
    },
    async pull(controller) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        // Broken off, so there is nothing left to watch: closing it later would throw at nobody.
        outcome.ended()
        throw error
      })
      if (closing.aborted) return
      if (!done) return controller.enqueue(value)
      outcome.ended()
      controller.close()
    },
    async cancel(reason) {
      outcome.ended()
      await reader.cancel(reason)
    },
  })
}
