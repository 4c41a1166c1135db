/** What an agent says to the broker when it hands work on. */
import { hashArguments } from '../action/hash.ts'
import type { JsonObject } from '../lib/json.ts'
import { DELEGATION_TYPE } from './caller.ts'

/** One part of what the next agent may do; everything that no part allows is refused. */
export interface CeilingPart {
  /** Resource URIs of MCP servers. */
  readonly servers: readonly string[]
  /** As `tools/call`. */
  readonly methods: readonly string[]
  /** Of tools or prompts, or URIs of resources. */
  readonly names: readonly string[]
  /** Exactly these arguments; any that policy permits when not given. */
  readonly arguments?: JsonObject
}

export interface DelegationRequest {
  /** The workload id of the next agent: its SPIFFE ID, or `oidc:<issuer alias>:<sub>`. */
  readonly to: string
  /** The thumbprint of the next agent's key (its `thumbprint`): nobody else can use the token. */
  readonly key: string
  readonly ceiling: readonly CeilingPart[]
  readonly signal?: AbortSignal
}

/** The next agent's `onBehalfOf` returns it as it is. */
export interface Delegation {
  readonly token: string
  readonly tokenType: 'delegation'
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

const CEILING_TYPE = 'mcp_ceiling'
const THUMBPRINT = /^[\w-]{43}$/

/**
 * @param task the label that goes with the work; undefined when the work has one already
 * @throws {TypeError} on what no broker could grant
 */
export function delegationForm(
  { to, key, ceiling }: DelegationRequest,
  task: string | undefined,
): Record<string, string> {
  if (to === '') throw new TypeError('to: expected the id of a workload')
  if (!THUMBPRINT.test(key)) throw new TypeError('key: expected the thumbprint of a key (RFC 7638)')
  if (ceiling.length === 0) throw new TypeError('ceiling: expected at least one part')
  return {
    requested_token_type: DELEGATION_TYPE,
    may_act: to,
    may_act_jkt: key,
    authorization_details: JSON.stringify(
      ceiling.map((part) => ({ ...elementOf(part), ...(task !== undefined && { task }) })),
    ),
  }
}

function elementOf({ servers, methods, names, arguments: args }: CeilingPart): JsonObject {
  const members = { locations: servers, actions: methods, identifiers: names }
  if (Object.values(members).some((list) => list.length === 0)) {
    throw new TypeError('ceiling: each part names at least one server, one method and one name')
  }
  return {
    type: CEILING_TYPE,
    locations: [...servers],
    actions: [...methods],
    identifiers: [...names],
    ...(args !== undefined && { arguments_hash: hashArguments(args) }),
  }
}
