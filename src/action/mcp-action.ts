/**
 * `mcp_action` version 1, the type of `authorization_details` (RFC 9396) that binds a token to one
 * MCP action. The public description is docs/mcp-action.md; this file is its implementation:
 * what a client may ask for, what the broker grants, and whether a grant covers a message.
 */
import type { Json } from '../lib/json.ts'
import { type ActionPart, refuse } from '../refusal.ts'
import type { Action, ActionMethod, TaskMethod } from './action.ts'
import { type ActionDemand, isTaskMethod, ruleOf, TASK_METHODS } from './demand.ts'
import { type GrantedDetail, MCP_ACTION_TYPE, parseGranted } from './granted.ts'
import { equalHash, hashArguments, hashInput } from './hash.ts'

export { approvedHash, type GrantedDetail, MAX_USES, MCP_ACTION_TYPE } from './granted.ts'
export { parseRequestedDetails } from './requested.ts'

/**
 * The element that goes into the token and back to the client.
 *
 * @throws {TypeError} when no verifier would accept it: a number of uses out of range, a definition
 * for a method that has none, an approval of another element
 */
export function grantDetail(
  action: Action,
  options: {
    readonly definitionHash: string | undefined
    readonly maxUses: number
    readonly approval?: { readonly id: string; readonly hash: string }
  },
): GrantedDetail {
  const takesArguments = takes(action.method)
  const detail: GrantedDetail = {
    type: MCP_ACTION_TYPE,
    locations: [action.server],
    actions: isTaskMethod(action.method) ? [...TASK_METHODS] : [action.method],
    identifier: action.identifier,
    ...(takesArguments && { arguments_hash: hashArguments(action.arguments) }),
    ...(options.definitionHash !== undefined && { definition_hash: options.definitionHash }),
    ...(action.input !== undefined && { input_hash: hashInput(action.input) }),
    hash_alg: 'sha-256',
    max_uses: options.maxUses,
    ...(options.approval !== undefined && { approval: options.approval }),
  }
  if (parseGranted(detail as unknown as Json) === undefined) {
    throw new TypeError('no verifier would accept this grant')
  }
  return detail
}

function takes(method: ActionMethod | TaskMethod): boolean {
  const rule = ruleOf(method)
  return rule?.token === 'action' && rule.arguments !== 'none'
}

/** How far the nearest element came; the later part says more about what was wrong. */
const ORDER: readonly ActionPart[] = [
  'element',
  'location',
  'method',
  'identifier',
  'arguments',
  'input',
  'definition',
]

/**
 * The element that covers exactly this request: one element must agree in every part.
 *
 * @param details the token's `authorization_details`
 * @param server this MCP server's resource URI
 * @param definitionHash of the definition the server runs now; `undefined` when it is not checked
 * @throws {Refusal} `action_mismatch`, naming the part in which the nearest element differs
 */
export function matchDetails(
  details: readonly Json[] | undefined,
  demand: ActionDemand,
  server: string,
  definitionHash: string | undefined,
): GrantedDetail {
  let nearest: ActionPart = 'element'
  for (const element of details ?? []) {
    const granted = parseGranted(element)
    if (granted === undefined) continue
    const part = difference(granted, demand, server, definitionHash)
    if (part === undefined) return granted
    if (ORDER.indexOf(part) > ORDER.indexOf(nearest)) nearest = part
  }
  refuse({ code: 'action_mismatch', part: nearest })
}

function difference(
  granted: GrantedDetail,
  demand: ActionDemand,
  server: string,
  definitionHash: string | undefined,
): ActionPart | undefined {
  if (granted.locations[0] !== server) return 'location'
  if (!granted.actions.includes(demand.method)) return 'method'
  if (granted.identifier !== demand.identifier) return 'identifier'
  // A task token steers one task: what it is told on the way is not known when it is granted.
  if (isTaskMethod(demand.method)) return undefined
  if (takes(demand.method) && !same(granted.arguments_hash, hashArguments(demand.arguments))) {
    return 'arguments'
  }
  const input = demand.input === undefined ? undefined : hashInput(demand.input)
  if (!same(granted.input_hash, input)) return 'input'
  return coversDefinition(granted, demand, definitionHash) ? undefined : 'definition'
}

/**
 * Tools are pinned, so a verifier that knows its tool's definition insists on the hash. Prompts and
 * resources need not be in a catalogue; there, a hash is compared where both sides have one.
 */
function coversDefinition(
  granted: GrantedDetail,
  demand: ActionDemand,
  definitionHash: string | undefined,
): boolean {
  if (definitionHash === undefined) return true
  if (granted.definition_hash === undefined) return demand.method !== 'tools/call'
  return equalHash(granted.definition_hash, definitionHash)
}

function same(granted: string | undefined, demanded: string | undefined): boolean {
  if (granted === undefined || demanded === undefined) return granted === demanded
  return equalHash(granted, demanded)
}
