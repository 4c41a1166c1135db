/**
 * What the gates of Node's frameworks share: Node's own request and response underneath.
 *
 * The types are structural, so that no framework is imported, and Node's classes fit them.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { headerValues, removeHeaders } from '../../lib/raw-headers.ts'
import type { AuthInfo } from '../auth-info.ts'
import type { Allowed, GateRequest, Outcome, Refused } from '../request.ts'
import type { Verifier } from '../verifier.ts'

/** Node's request; where the SDKs look for the caller (`auth`) and the parsed body is filled in. */
export type NodeRequest = IncomingMessage & {
  auth?: AuthInfo
  body?: unknown
  originalUrl?: string
}

/**
 * Reads the body, asks the verifier, and on yes prepares request and response for the handler.
 *
 * @throws {TypeError} when a body parser ran before: what it read cannot be checked again
 */
export async function checkNode(
  verifier: Verifier,
  req: NodeRequest,
  res: ServerResponse,
  path = pathOf(req),
): Promise<Outcome> {
  const body = req.method === 'POST' ? await readBody(req, verifier.maxBodyBytes) : undefined
  if (body === 'broken off') return BROKEN_OFF
  const outcome = await verifier.check(requestOf(verifier, req, path, body))
  if (outcome.allowed) admit(outcome, req, res)
  return outcome
}

/** Path of the request as the client sent it, whatever router it has come through. */
export function pathOf(req: Pick<NodeRequest, 'url' | 'originalUrl'>): string {
  return (req.originalUrl ?? req.url ?? '/').split('?', 1)[0] ?? '/'
}

function requestOf(
  verifier: Verifier,
  req: NodeRequest,
  path: string,
  body: Uint8Array | undefined,
): GateRequest {
  return {
    method: req.method ?? '',
    path,
    headers: (name) => (name === 'host' ? hostsOf(req) : headerValues(req, name)),
    body,
    ...seenOf(verifier, nodePeer(req)),
  }
}

/** HTTP/2's `:authority` is the Host; one that is sent besides must say the same (RFC 9113 §8.3.1). */
function hostsOf(req: NodeRequest): string[] {
  const hosts = headerValues(req, 'host')
  const [authority] = headerValues(req, ':authority')
  return authority === undefined ? hosts : [authority, ...hosts.filter((one) => one !== authority)]
}

/** Who is at the other end of a connection, as the runtime has seen it; no header says any of it. */
export interface Peer {
  readonly address?: string | undefined
  /** DER of the certificate whose key the peer proved to hold in the handshake of this connection. */
  readonly certificate?: Uint8Array | undefined
}

/** The peer of a Node connection, for adapters that hide it from a fetch-style gate. */
export function nodePeer(request: { readonly socket: Socket }): Peer {
  const socket = request.socket as TLSSocket | undefined
  return {
    address: socket?.remoteAddress,
    get certificate() {
      return socket?.encrypted ? socket.getPeerX509Certificate()?.raw : undefined
    },
  }
}

/** What of a peer a verifier wants to know. */
export function seenOf(
  verifier: Pick<Verifier, 'certificates'>,
  peer: Peer,
): Pick<GateRequest, 'address' | 'peerCertificate'> {
  const { certificates } = verifier
  return { address: peer.address, peerCertificate: certificates ? peer.certificate : undefined }
}

/**
 * Stops one byte past the limit, which is how the verifier learns that there was more.
 *
 * @throws {TypeError} when something has already read from it
 */
async function readBody(req: NodeRequest, maxBytes: number): Promise<Uint8Array | 'broken off'> {
  if (req.readableDidRead || req.readableEnded || req.body !== undefined) {
    throw new TypeError(PARSER_RAN_BEFORE)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    // `destroyOnReturn` off: the refusal of a body that is too large still has to be sent.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Uint8Array
      chunks.push(bytes)
      length += bytes.byteLength
      if (length > maxBytes) break
    }
  } catch {
    return 'broken off'
  }
  return Buffer.concat(chunks, Math.min(length, maxBytes + 1))
}

/**
 * For a request whose sender went away in the middle. Nobody reads this, but a rejection would end
 * a process whose author did not expect one, and any stranger could cause it.
 */
export const BROKEN_OFF: Refused = {
  allowed: false,
  status: 400,
  headers: [['connection', 'close']],
  body: { error: 'invalid_request', error_description: 'the request ended too early' },
}

export const PARSER_RAN_BEFORE =
  'a body parser ran before the gate: mount the gate in front of it, because the gate must read the ' +
  'bytes itself and hands the parsed message on as the body'

/** The handler gets the very object that was checked, and the caller it belongs to. */
function admit(outcome: Allowed, req: NodeRequest, res: ServerResponse): void {
  req.auth = outcome.authInfo
  removeHeaders(req, outcome.unbelieved)
  if (outcome.message !== undefined) req.body = outcome.message.raw
  for (const [name, value] of outcome.headers) res.setHeader(name, value)
  if (outcome.message?.method === 'initialize') watchSessionId(outcome, res)
  if (outcome.closing !== undefined) endWith(outcome.closing, outcome, res)
}

/** Sees the session id the server gives out, however it sets the header. */
function watchSessionId(outcome: Allowed, res: ServerResponse): void {
  const writeHead = res.writeHead.bind(res) as (...args: unknown[]) => ServerResponse
  res.writeHead = (...args: unknown[]) => {
    const set = args.findLast((arg) => typeof arg === 'object' && arg !== null)
    const id = headerIn(set as object | undefined) ?? res.getHeader('mcp-session-id')
    if (typeof id === 'string') outcome.issuedSession(id)
    return writeHead(...args)
  }
}

/** `writeHead` takes an object, a flat list or a list of pairs. */
function headerIn(set: object | undefined): unknown {
  if (set === undefined) return undefined
  const list: readonly unknown[] = Array.isArray(set) ? set.flat() : Object.entries(set).flat()
  const at = list.findIndex(
    (name, index) =>
      index % 2 === 0 && typeof name === 'string' && name.toLowerCase() === 'mcp-session-id',
  )
  return at < 0 ? undefined : list[at + 1]
}

function endWith(closing: AbortSignal, outcome: Allowed, res: ServerResponse): void {
  const end = () => {
    // What the server still writes goes nowhere, which must not end the process.
    res.on('error', () => {})
    if (res.headersSent) res.end()
    else res.destroy()
  }
  // Its sender went away while it was checked, and nothing will tell of it again.
  if (res.closed) outcome.ended()
  else if (closing.aborted) end()
  else closing.addEventListener('abort', end, { once: true })
  res.once('close', () => {
    closing.removeEventListener('abort', end)
    outcome.ended()
  })
}

/** Header names and values for `writeHead` and its like: a name that comes twice has a list. */
export function headersOf(refused: Refused): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of refused.headers) {
    const before = headers[name]
    headers[name] = before === undefined ? value : [before, value].flat()
  }
  return headers
}

/** Answers a refusal. */
export function writeRefusal(refused: Refused, res: ServerResponse): void {
  res.writeHead(refused.status, headersOf(refused))
  res.end(JSON.stringify(refused.body))
}

/** Answers a question for the metadata; `false` when it was none. */
export function writeMetadata(verifier: Verifier, req: NodeRequest, res: ServerResponse): boolean {
  const metadata = verifier.metadataFor(req.method ?? '', pathOf(req))
  if (metadata === undefined) return false
  res.writeHead(200, METADATA_HEADERS)
  res.end(JSON.stringify(metadata))
  return true
}

/** Public, and the same for everybody: any page may read it. */
export const METADATA_HEADERS = {
  'content-type': 'application/json',
  'cache-control': 'public, max-age=300',
  'access-control-allow-origin': '*',
} as const
