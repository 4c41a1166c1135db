/** The two servers an agent meets, small: real proofs, real tokens and real hashes, on loopback. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { hashDefinition } from '../../src/action/hash.ts'
import { grantDetail, parseRequestedDetails } from '../../src/action/mcp-action.ts'
import { type JsonObject, parseJson } from '../../src/lib/json.ts'
import { mintToken, newJti } from '../../src/mint/mint.ts'
import { Refusal } from '../../src/refusal.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { verifyProof } from '../../src/token/dpop.ts'
import type { SigningKey } from '../../src/token/jws.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { Nonces } from '../../src/token/nonce.ts'

export interface Running {
  readonly origin: string
  close(): Promise<void>
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

/** A server's own certificate; clients are asked for theirs, and nobody looks at what it says. */
export interface Tls {
  readonly cert: string
  readonly key: string
}

export async function serve(answer: Answer, tls?: Tls): Promise<Running> {
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    Promise.resolve(answer(request, response)).catch((error: unknown) => {
      response.destroy(error as Error)
    })
  }
  const server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** The thumbprint of the certificate that a client has shown, if any. */
export function certificateOf(request: IncomingMessage): string | undefined {
  const socket = request.socket as TLSSocket
  const raw = socket.encrypted ? socket.getPeerX509Certificate()?.raw : undefined
  return raw && certificateThumbprint(raw)
}

/** One token request, as the broker read it. */
export interface Asked {
  readonly form: URLSearchParams
  readonly details: JsonObject | undefined
  readonly jkt: string | undefined
  /** Thumbprint of the client's certificate, at the listener that asks for one. */
  readonly certificate: string | undefined
}

export interface TestBroker extends Running {
  readonly asked: Asked[]
  readonly tokens: string[]
  metadataRequests: number
  /** Answers the next token requests instead of the broker, first one first. */
  readonly instead: Answer[]
  /** Awaited before each answer to a token request. */
  before: (() => Promise<void>) | undefined
  /** Changes what the next answers say. */
  answer: Record<string, unknown>
  metadata: Record<string, unknown>
  /** Carries the broker's heartbeat and what it revokes. */
  readonly feed: FeedTransport
  readonly revocations: RevocationPublisher
}

export interface TestBrokerOptions {
  readonly nonces?: boolean
  readonly lifetimeSeconds?: number
  readonly taskUses?: number
  /** The tools that tokens are granted for; without them tokens name no definition. */
  readonly tools?: readonly JsonObject[]
  /** The path of the issuer, as in `/tenant`. */
  readonly path?: string
  /** Adds a listener for certificates, and its alias to the metadata (RFC 8705 §5). */
  readonly tls?: Tls
}

export async function startBroker(options: TestBrokerOptions = {}): Promise<TestBroker> {
  const key = signingKey()
  const nonces = options.nonces ? new Nonces(randomBytes(32)) : undefined
  const path = options.path ?? ''
  const jwk = { ...key.publicJwk, kid: key.kid, alg: key.algorithm, use: 'sig' }
  const broker = {
    asked: [] as Asked[],
    tokens: [] as string[],
    metadataRequests: 0,
    instead: [] as Answer[],
    before: undefined as (() => Promise<void>) | undefined,
    answer: {},
    metadata: {},
  }
  const answer: Answer = async (request, response) => {
    const issuer = `${running.origin}${path}`
    if (request.url === `/.well-known/oauth-authorization-server${path.replace(/\/$/, '')}`) {
      broker.metadataRequests += 1
      const aliases = second && {
        mtls_endpoint_aliases: { token_endpoint: `${second.origin}${path}/token` },
      }
      const metadata = { issuer, token_endpoint: `${issuer}/token`, ...aliases }
      sendJson(response, 200, { ...metadata, ...broker.metadata })
      return
    }
    if (request.url === '/jwks') {
      return sendJson(response, 200, { keys: [jwk] })
    }
    const body = await readBody(request)
    await broker.before?.()
    const instead = broker.instead.shift()
    if (instead !== undefined) return await instead(request, response)
    const now = Date.now() / 1000
    const form = new URLSearchParams(body)
    try {
      const headers = [request.headers.dpop ?? []].flat()
      const certificate = certificateOf(request)
      const secure = (request.socket as TLSSocket).encrypted === true
      const url = `${secure ? second?.origin : running.origin}${path}/token`
      const proof =
        certificate !== undefined && headers.length === 0
          ? undefined
          : await verifyProof(headers, { method: 'POST', url, now, ...(nonces && { nonces }) })
      const cnf = proof === undefined ? { 'x5t#S256': certificate as string } : { jkt: proof.jkt }
      const details = form.get('authorization_details')
      const delegation = form.has('may_act')
      const element =
        details === null || delegation ? undefined : parseRequestedDetails(parseJson(details))
      const read = delegation ? (parseJson(details ?? '') as JsonObject[])[0] : element?.element
      broker.asked.push({ form, details: read, jkt: proof?.jkt, certificate })
      if (delegation) {
        return sendJson(response, 200, {
          access_token: 'a.delegation.token',
          issued_token_type: form.get('requested_token_type'),
          token_type: 'N_A',
          expires_in: 300,
          ...broker.answer,
        })
      }
      const task = element?.action.method.startsWith('tasks/')
      const tool = options.tools?.find(({ name }) => name === element?.action.identifier)
      const granted =
        element &&
        grantDetail(element.action, {
          definitionHash: tool && hashDefinition(tool),
          maxUses: task ? (options.taskUses ?? 3) : 1,
        })
      const lifetime = options.lifetimeSeconds ?? 60
      const token = mintToken(
        {
          iss: issuer,
          aud: form.get('resource') ?? '',
          sub: 'spiffe://test.example/agent',
          client_id: 'spiffe://test.example/agent',
          jti: newJti(),
          iat: Math.floor(now),
          exp: Math.floor(now) + lifetime,
          sid: 'session',
          scope: granted ? 'mcp:action' : 'mcp:session',
          ...(granted && { authorization_details: [granted as unknown as JsonObject] }),
          cnf,
        },
        key,
      )
      broker.tokens.push(token)
      sendJson(response, 200, {
        access_token: token,
        // RFC 6749 §5.1 and RFC 7523 know no such member.
        ...(form.has('subject_token') && {
          issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        }),
        token_type: proof === undefined ? 'Bearer' : 'DPoP',
        expires_in: lifetime,
        ...(granted && { authorization_details: [granted] }),
        ...broker.answer,
      })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const nonce = error.reason.code === 'nonce_required' && nonces?.issue(now)
      const code = nonce ? 'use_dpop_nonce' : 'invalid_request'
      const description = JSON.stringify(error.reason)
      const headers: Record<string, string> = nonce ? { 'dpop-nonce': nonce } : {}
      sendJson(response, 400, { error: code, error_description: description }, headers)
    }
  }
  const running = await serve(answer)
  const second = options.tls && (await serve(answer, options.tls))
  const feed = memoryFeed()
  const revocations = new RevocationPublisher({
    issuer: `${running.origin}${path}`,
    key: () => key,
    keys: localKeySet({ keys: [jwk] }, ['ES256']),
    transport: feed,
  })
  await revocations.start()
  return Object.assign(broker, {
    origin: `${running.origin}${path}`,
    feed,
    revocations,
    close: async () => {
      await revocations.close()
      await running.close()
      await second?.close()
    },
  })
}

function signingKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicJwk = publicKey.export({ format: 'jwk' }) as JsonObject
  return { kid: 'test', algorithm: 'ES256', key: privateKey, publicJwk }
}

/** One request at an MCP server. */
export interface Received {
  readonly method: string
  readonly body: string
  readonly authorization: string
  readonly headers: IncomingMessage['headers']
  readonly certificate: string | undefined
}

export interface TestServer extends Running {
  readonly received: Received[]
  readonly instead: Answer[]
}

/**
 * Answers every MCP request with an empty result, once the proof fits its token.
 *
 * @param options.nonces whether a nonce is demanded
 */
export async function startMcpServer(
  options: { nonces?: boolean; tls?: Tls } = {},
): Promise<TestServer> {
  const nonces = options.nonces ? new Nonces(randomBytes(32)) : undefined
  const received: Received[] = []
  const instead: Answer[] = []
  const respond: Answer = async (request, response) => {
    const body = await readBody(request)
    const authorization = request.headers.authorization ?? ''
    const { method = '', headers, url = '' } = request
    const certificate = certificateOf(request)
    received.push({ method, body, authorization, headers, certificate })
    const now = Date.now() / 1000
    if (authorization.startsWith('Bearer ')) {
      const { cnf } = JSON.parse(
        Buffer.from(authorization.split('.')[1] ?? '', 'base64url').toString(),
      )
      if (certificate === undefined || cnf['x5t#S256'] !== certificate) {
        return sendJson(response, 401, { error: 'invalid_token' })
      }
      return sendJson(response, 200, { jsonrpc: '2.0', id: 1, result: {} })
    }
    try {
      await verifyProof([headers.dpop ?? []].flat(), {
        method,
        url: `${running.origin}${url}`,
        now,
        accessToken: authorization.replace(/^DPoP /, ''),
        ...(nonces && { nonces }),
      })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const nonce = error.reason.code === 'nonce_required' ? nonces?.issue(now) : undefined
      const code = nonce === undefined ? 'invalid_dpop_proof' : 'use_dpop_nonce'
      sendJson(
        response,
        401,
        { error: code },
        {
          'www-authenticate': `Bearer resource_metadata="x", DPoP error="${code}", algs="ES256"`,
          ...(nonce !== undefined && { 'dpop-nonce': nonce }),
        },
      )
      return
    }
    const answer = instead.shift()
    if (answer !== undefined) return await answer(request, response)
    sendJson(response, 200, { jsonrpc: '2.0', id: 1, result: {} })
  }
  const running = await serve(respond, options.tls)
  return Object.assign({ received, instead }, running)
}

/** Has the form of a JWT-SVID; nobody in these tests checks it. */
export const IDENTITY = `${'h'.repeat(40)}.${'p'.repeat(80)}.${'s'.repeat(86)}`

export function message(method: string, params: JsonObject = {}): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  }
}
