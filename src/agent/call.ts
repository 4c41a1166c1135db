/** What one request of an MCP transport is, and which token it needs. */
import { type Demand, demandOf, demandOfHttp, isTaskMethod } from '../action/demand.ts'
import { MCP_ACTION_TYPE } from '../action/mcp-action.ts'
import { parseMessage } from '../action/message.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal } from '../refusal.ts'
import { WritError } from './error.ts'
import { credentialUrl } from './url.ts'

/** One request, understood. */
export interface Call {
  readonly url: URL
  readonly method: string
  readonly resource: string
  readonly demand: Demand
  readonly purpose: string
  readonly signal: AbortSignal | undefined
  /** Set when the token may be used again: what else it must be for. */
  readonly shared: readonly string[] | undefined
}

/** @throws {WritError} `url_refused`, `resource_refused`, `message_refused`; {TypeError} for what no MCP transport sends */
export function readCall(
  input: string | URL,
  init: RequestInit,
  resourceOf: (url: URL) => string,
): Call {
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
    shared: sharedOf(demand, resource),
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

/** The `mcp_action` to ask for. Without a task, the label is already in what the agent acts by. */
export function detailOf(
  demand: Demand & { token: 'action' },
  resource: string,
  task: string | undefined,
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
    ...(task !== undefined && { task }),
  }
}

/** Session tokens serve one resource; task tokens one task there. An action token is never kept. */
function sharedOf(demand: Demand, resource: string): readonly string[] | undefined {
  if (demand.token === 'session') return [resource]
  return isTaskMethod(demand.method) ? [resource, demand.identifier] : undefined
}

/** What the token is for. URIs and task ids stay out of it: they may be secrets. */
function purposeOf(demand: Demand, resource: string): string {
  if (demand.token === 'session') return `a session (${demand.method}) at ${resource}`
  const named = demand.method === 'tools/call' || demand.method === 'prompts/get'
  return `${demand.method}${named ? ` ${JSON.stringify(demand.identifier)}` : ''} at ${resource}`
}
