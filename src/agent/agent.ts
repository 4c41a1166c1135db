/**
 * A `fetch` for the MCP client SDKs that gets a fresh token for each call.
 *
 * The transport's `fetch` is the only place where the message can be seen before it is sent, in both
 * SDKs. What is sent are the bytes that were read: the broker is asked for exactly what they say.
 */
import { randomBytes } from 'node:crypto'
import { type Demand, demandOf, demandOfHttp, isTaskMethod } from '../action/demand.ts'
import { MCP_ACTION_TYPE } from '../action/mcp-action.ts'
import { parseMessage } from '../action/message.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal } from '../refusal.ts'
import { generateSenderKey, type SenderKey } from '../token/proof.ts'
import { raceAbort } from './abort.ts'
import { discard } from './body.ts'
import { createBrokerClient } from './broker.ts'
import { WritError } from './error.ts'
import { type Fetch, globalFetch } from './fetch.ts'
import { LatestNonces } from './nonces.ts'
import { presentToken } from './present.ts'
import { refusedCall } from './refused-call.ts'
import { type HeldToken, TokenCache } from './token-cache.ts'
import { credentialUrl } from './url.ts'

export interface AgentOptions {
  /** The broker's issuer, exactly as the broker is configured, as in `https://broker.example`. */
  readonly broker: string
  /**
   * Returns this workload's JWT-SVID, whose audience is the broker's issuer. Called for every token,
   * so keep it cheap: hold the SVID and fetch a new one before it expires.
   */
  readonly identity: () => string | Promise<string>
  /** The key that holds the tokens; one is made in memory when not given. */
  readonly key?: SenderKey
  /**
   * The label of what the agent is doing (at most 128 of `A–Z a–z 0–9 _ . : @ / -`): policy, audit and revocation see
   * it, and it ties the rounds of one call together. A function is asked at each call. Without it
   * the agent makes one label for itself.
   */
  readonly task?: string | (() => string | undefined)
  /** Sends the requests, to the broker and to MCP servers; the global `fetch` by default. */
  readonly fetch?: Fetch
  /**
   * The resource URI of the MCP server at a URL. The URL itself without query and fragment by
   * default, and without the slash when there is no path; it must stay at the URL's origin.
   */
  readonly resource?: (url: URL) => string
}

export interface Agent {
  /**
   * Give it to a transport as its `fetch` option, without an auth provider.
   *
   * @throws {WritError} when anything on the way says no
   */
  readonly fetch: Fetch
  /** The thumbprint of the agent's key (RFC 7638), by which audit and revocation know it. */
  readonly thumbprint: string
}

/**
 * @throws {WritError} `url_refused` when the broker's URL is neither https nor loopback
 */
export function createAgent(options: AgentOptions): Agent {
  const key = options.key ?? generateSenderKey()
  const send = options.fetch ?? globalFetch
  const broker = createBrokerClient({
    issuer: options.broker,
    identity: options.identity,
    key,
    fetch: send,
  })
  const nonces = new LatestNonces()
  const cache = new TokenCache()
  const ownTask = `agent-${randomBytes(9).toString('base64url')}`

  async function tokenFor(call: Call): Promise<HeldToken> {
    const { demand, resource, purpose, signal } = call
    const task = (typeof options.task === 'function' ? options.task() : options.task) ?? ownTask
    const detail = demand.token === 'action' ? detailOf(demand, resource, task) : undefined
    if (call.cacheName === undefined)
      return await broker.obtain({ resource, detail, purpose, signal })
    // Shared by several callers, so no single one of them may abort it.
    const obtain = () => broker.obtain({ resource, detail, purpose, signal: undefined })
    return await raceAbort(
      cache.take(call.cacheName, () => Date.now() / 1000, obtain),
      signal,
    )
  }

  async function agentFetch(input: string | URL, init: RequestInit = {}): Promise<Response> {
    const call = readCall(input, init, options.resource ?? defaultResource)
    const { token } = await tokenFor(call)
    const { url, method, purpose } = call
    const response = await presentToken({ url, init, method, token, key, nonces, fetch: send })
    if (response.status === 401 || response.status === 403) {
      // Revoked, or unknown after a loss: the next call starts with a new one.
      if (call.cacheName !== undefined) cache.forget(call.cacheName, token)
      throw await refusedCall(response, url, purpose)
    }
    if (response.status >= 300 && response.status < 400) {
      await discard(response)
      throw new WritError(
        'redirect_refused',
        `the MCP server at ${url.origin} answered ${purpose} with a redirect; use the URL it moved to`,
        { status: response.status },
      )
    }
    return response
  }

  return { fetch: agentFetch, thumbprint: key.jkt }
}

/** One request, understood. */
interface Call {
  readonly url: URL
  readonly method: string
  readonly resource: string
  readonly demand: Demand
  readonly purpose: string
  readonly signal: AbortSignal | undefined
  /** Set when the token may be used again. */
  readonly cacheName: string | undefined
}

/** @throws {WritError} `url_refused`, `resource_refused`, `message_refused`; {TypeError} for what no MCP transport sends */
function readCall(input: string | URL, init: RequestInit, resourceOf: (url: URL) => string): Call {
  const url = credentialUrl(input, 'the MCP server')
  if (new Headers(init.headers).has('authorization')) {
    throw new TypeError(
      'the request already has an Authorization header; give the transport no auth provider beside the agent',
    )
  }
  const resource = resourceOf(url)
  if (!URL.canParse(resource) || new URL(resource).origin !== url.origin) {
    throw new WritError(
      'resource_refused',
      `a token for ${resource} is not sent to ${url.origin}; a resource must be at the origin of its server's URL`,
    )
  }
  const method = (init.method ?? 'GET').toUpperCase()
  const demand = readDemand(method, init.body)
  return {
    url,
    method,
    resource,
    demand,
    purpose: purposeOf(demand, resource),
    signal: init.signal ?? undefined,
    cacheName: cacheNameOf(demand, resource),
  }
}

function readDemand(method: string, body: RequestInit['body']): Demand {
  if (method === 'GET' || method === 'DELETE') return demandOfHttp(method)
  if (method !== 'POST' || !(typeof body === 'string' || body instanceof Uint8Array)) {
    throw new TypeError('an agent sends GET, DELETE, or POST with one JSON-RPC message as text')
  }
  try {
    return demandOf(parseMessage(body))
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { reason } = error
    const detail =
      'detail' in reason ? `: ${reason.detail}` : 'method' in reason ? ` ${reason.method}` : ''
    throw new WritError(
      'message_refused',
      `the message was not sent, because no token can be asked for it: ${reason.code}${detail}`,
      { cause: error },
    )
  }
}

function detailOf(
  demand: Demand & { token: 'action' },
  resource: string,
  task: string,
): JsonObject {
  const { method, identifier, arguments: args, input } = demand
  return {
    type: MCP_ACTION_TYPE,
    locations: [resource],
    actions: [method],
    identifier,
    ...(args !== undefined && { arguments: args }),
    // What a task is told on the way is not bound: its token steers the task as a whole.
    ...(input !== undefined && !isTaskMethod(method) && { input: { ...input } }),
    task,
  }
}

/** Session tokens serve one resource; task tokens one task there. An action token is never kept. */
function cacheNameOf(demand: Demand, resource: string): string | undefined {
  if (demand.token === 'session') return JSON.stringify([resource])
  return isTaskMethod(demand.method) ? JSON.stringify([resource, demand.identifier]) : undefined
}

/** What the token is for. URIs and task ids stay out of it: they may be secrets. */
function purposeOf(demand: Demand, resource: string): string {
  if (demand.token === 'session') return `a session (${demand.method}) at ${resource}`
  const named = demand.method === 'tools/call' || demand.method === 'prompts/get'
  return `${demand.method}${named ? ` ${JSON.stringify(demand.identifier)}` : ''} at ${resource}`
}

function defaultResource(url: URL): string {
  // MCP's canonical URI of a server has no slash after a bare host.
  return url.pathname === '/' ? url.origin : `${url.origin}${url.pathname}`
}
