/**
 * An `mcp_action` element as a token carries it, read the way a verifier must: an element it does
 * not understand completely grants nothing.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { isIdentifier, isTaskMethod, ruleOf } from './demand.ts'
import { equalHash, hashJson, isHash } from './hash.ts'

export const MCP_ACTION_TYPE = 'mcp_action'
/** The most uses one token may have; a token that needs more should have been several. */
export const MAX_USES = 1000

export interface GrantedDetail {
  readonly type: typeof MCP_ACTION_TYPE
  /** The MCP server's resource URI. */
  readonly locations: readonly [string]
  /** One action method, or the methods of one task. */
  readonly actions: readonly string[]
  readonly identifier: string
  readonly arguments_hash?: string
  /** Reserved: JSON Schema in place of `arguments_hash`. */
  readonly arguments_schema?: JsonObject
  readonly definition_hash?: string
  readonly input_hash?: string
  readonly hash_alg: 'sha-256'
  readonly max_uses: number
  /** A person's yes: the record's id, and the hash of the element that was approved. */
  readonly approval?: { readonly id: string; readonly hash: string }
  /** Reserved: what several uses may cost together. */
  readonly budget?: JsonObject
}

const MEMBERS = new Set([
  'type',
  'locations',
  'actions',
  'identifier',
  'arguments_hash',
  'definition_hash',
  'input_hash',
  'hash_alg',
  'max_uses',
  'approval',
])
const OPTIONAL_HASHES = ['arguments_hash', 'definition_hash', 'input_hash'] as const
const APPROVAL_MEMBERS = new Set(['id', 'hash'])
const APPROVAL_ID_FORM = /^[A-Za-z0-9._~-]{1,128}$/

/**
 * The element, or `undefined` when it grants nothing: another type, a member that is unknown or
 * that this implementation cannot enforce (`arguments_schema`, `budget`), a value of the wrong form,
 * or an approval of something else.
 */
export function parseGranted(element: Json): GrantedDetail | undefined {
  if (!isJsonObject(element) || element.type !== MCP_ACTION_TYPE) return undefined
  for (const member of Object.keys(element)) if (!MEMBERS.has(member)) return undefined
  for (const member of OPTIONAL_HASHES) {
    if (Object.hasOwn(element, member) && !isHash(element[member])) return undefined
  }
  const { locations, actions, identifier, hash_alg, max_uses } = element
  const correct =
    isSingleText(locations) &&
    isActions(actions) &&
    isIdentifier(identifier) &&
    hash_alg === 'sha-256' &&
    isUses(max_uses) &&
    hashesFit(element, actions[0] as string)
  if (!correct) return undefined
  const granted = element as unknown as GrantedDetail
  return approvalFits(granted, element.approval) ? granted : undefined
}

function isSingleText(value: Json | undefined): value is readonly [string] {
  return (
    Array.isArray(value) && value.length === 1 && typeof value[0] === 'string' && value[0] !== ''
  )
}

/** One action method, or different task methods: whatever is granted together is bound alike. */
function isActions(value: Json | undefined): value is readonly string[] {
  if (!Array.isArray(value) || value.length === 0) return false
  const names = value as readonly Json[]
  if (!names.every((name) => typeof name === 'string' && ruleOf(name)?.token === 'action')) {
    return false
  }
  if (new Set(names).size !== names.length) return false
  return names.length === 1 || names.every((name) => isTaskMethod(name as string))
}

function isUses(value: Json | undefined): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= MAX_USES
}

/** Hashes are there exactly when the method has what they cover. */
function hashesFit(element: JsonObject, method: string): boolean {
  const rule = ruleOf(method)
  if (rule?.token !== 'action') return false
  const takesArguments = rule.arguments !== 'none'
  if (Object.hasOwn(element, 'arguments_hash') !== takesArguments) return false
  return !(rule.task && ('input_hash' in element || 'definition_hash' in element))
}

function approvalFits(granted: GrantedDetail, approval: Json | undefined): boolean {
  if (approval === undefined) return true
  if (!isJsonObject(approval)) return false
  for (const member of Object.keys(approval)) if (!APPROVAL_MEMBERS.has(member)) return false
  const { id, hash } = approval
  if (typeof id !== 'string' || !APPROVAL_ID_FORM.test(id) || !isHash(hash)) return false
  return equalHash(hash, approvedHash(granted))
}

/**
 * What a person says yes to: the element without the approval itself, and without `input_hash`,
 * because a yes covers later rounds of the same call.
 */
export function approvedHash(granted: GrantedDetail): string {
  const { approval: _approval, input_hash: _input, ...approved } = granted
  return hashJson(approved as unknown as JsonObject)
}
