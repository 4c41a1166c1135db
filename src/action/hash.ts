/**
 * The hashes inside `mcp_action`: base64url(SHA-256(RFC 8785 text)).
 *
 * They cover the value that runs, never the bytes that were received: two JSON texts can be one
 * call. Broker, verifier and agent all take them from here.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import type { Json, JsonObject } from '../lib/json.ts'
import type { ContinuationInput } from './action.ts'
import { canonicalText } from './canonical.ts'

export { canonicalText } from './canonical.ts'

/** The members of a definition that say what it does and takes; everything else is decoration. */
const DEFINING_MEMBERS = [
  'name',
  'description',
  'inputSchema',
  'outputSchema',
  'annotations',
] as const

/** A SHA-256 in base64url has 43 characters; the last one carries four bits. */
const HASH_FORM = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/** Whether a text has the one form a hash is written in. */
export function isHash(text: Json | undefined): text is string {
  return typeof text === 'string' && HASH_FORM.test(text)
}

/** The hash of any JSON value. */
export function hashJson(json: Json): string {
  return hash('sha256', canonicalText(json), 'base64url')
}

/** Of a call's arguments; a call without arguments has `{}`. */
export function hashArguments(args: JsonObject | undefined): string {
  return args === undefined ? NO_ARGUMENTS : hashJson(args)
}

const NO_ARGUMENTS = hashJson({})

/**
 * Of a pinned definition: exactly `name`, `description`, `inputSchema` without its top-level
 * `$schema`, `outputSchema`, `annotations`; what is absent is left out.
 */
export function hashDefinition(definition: JsonObject): string {
  const covered: { [member: string]: Json } = {}
  for (const member of DEFINING_MEMBERS) {
    const value = Object.hasOwn(definition, member) ? definition[member] : undefined
    if (value !== undefined) covered[member] = member === 'inputSchema' ? undated(value) : value
  }
  return hashJson(covered)
}

/** Servers add or drop `$schema` from one release of their SDK to the next; it changes nothing. */
function undated(schema: Json): Json {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== '$schema'))
}

/** Of the input that continues an earlier round, exactly as sent. */
export function hashInput(input: ContinuationInput): string {
  const covered: { [member: string]: Json } = {}
  if (input.inputResponses !== undefined) covered.inputResponses = input.inputResponses
  if (input.requestState !== undefined) covered.requestState = input.requestState
  return hashJson(covered)
}

/** Compares two hashes in a time that does not depend on where they differ. */
export function equalHash(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
