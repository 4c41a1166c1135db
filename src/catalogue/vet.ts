/**
 * Is a definition fit to be pinned? Asked when it is pinned and again whenever it is loaded.
 *
 * What a server says of itself comes from outside: its schemas are compiled, so they are bounded here,
 * and what cannot be checked in bounded time is refused before an agent depends on it.
 */
import { canonicalText } from '../action/hash.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { compileArguments } from './arguments.ts'
import type { DefinitionKind } from './pin-file.ts'
import { SchemaError } from './schema/schema-error.ts'
import { compileTemplate } from './uri-template.ts'

/** Size of one definition in its canonical form. */
export const MAX_DEFINITION_BYTES = 256 * 1024
/** Members that Cedar reads as something other than a value. */
export const CEDAR_ESCAPES: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr'])
/** What actions that are no tools are called in policies begins with this. */
export const RESERVED_PREFIX = 'mcp:'
const MAX_NAME_LENGTH = 256
const HINTS = ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint']

/**
 * Why a definition cannot be used, in words; `undefined` when it can.
 *
 * `definition` has the pinned members only.
 */
export function vetDefinition(
  kind: DefinitionKind,
  definition: JsonObject,
  argumentsOpen: boolean,
): string | undefined {
  try {
    vetName(kind, definition)
    if (Buffer.byteLength(canonicalText(definition)) > MAX_DEFINITION_BYTES) {
      return `is larger than ${MAX_DEFINITION_BYTES} bytes`
    }
    for (const member of ['description', 'mimeType']) {
      const value = definition[member]
      if (value !== undefined && typeof value !== 'string') return `${member} must be a string`
    }
    if (kind === 'tool') vetTool(definition, argumentsOpen)
    if (kind === 'prompt') vetPromptArguments(definition.arguments)
    if (kind === 'resource_template') compileTemplate(definition.uriTemplate as string)
    return undefined
  } catch (error) {
    if (error instanceof RangeError) return 'is nested too deeply'
    return error instanceof Error ? error.message : 'cannot be used'
  }
}

function vetName(kind: DefinitionKind, definition: JsonObject): void {
  const member = kind === 'resource' ? 'uri' : kind === 'resource_template' ? 'uriTemplate' : 'name'
  const name = definition[member]
  const most = member === 'name' ? MAX_NAME_LENGTH : 2048
  if (typeof name !== 'string' || name.length === 0 || name.length > most) {
    throw new Error(`${member} must be a text of 1 to ${most} characters`)
  }
  // Control and format characters would let two names look alike in a policy or a log.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name))
    throw new Error(`${member} has an invisible character`)
  if (member === 'name' && name.startsWith(RESERVED_PREFIX)) {
    throw new Error(`a name must not begin with "${RESERVED_PREFIX}"`)
  }
  if (member === 'uri' && !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(name)) {
    throw new Error('uri must be absolute')
  }
}

function vetTool(definition: JsonObject, argumentsOpen: boolean): void {
  const { inputSchema, outputSchema, annotations } = definition
  if (!isJsonObject(inputSchema)) throw new SchemaError('inputSchema must be an object')
  if (inputSchema.type !== 'object') {
    throw new SchemaError('inputSchema must have "type": "object" at its root')
  }
  refuseEscapes(inputSchema)
  compileArguments(inputSchema, argumentsOpen)
  if (
    outputSchema !== undefined &&
    !isJsonObject(outputSchema) &&
    typeof outputSchema !== 'boolean'
  ) {
    throw new SchemaError('outputSchema must be a schema')
  }
  if (annotations === undefined) return
  if (!isJsonObject(annotations)) throw new Error('annotations must be an object')
  for (const hint of HINTS) {
    const value = annotations[hint]
    if (value !== undefined && typeof value !== 'boolean') {
      throw new Error(`annotations.${hint} must be true or false`)
    }
  }
}

function vetPromptArguments(list: Json | undefined): void {
  if (list === undefined) return
  if (!Array.isArray(list)) throw new Error('arguments must be a list')
  const names = new Set<string>()
  for (const each of list as readonly Json[]) {
    if (!isJsonObject(each) || typeof each.name !== 'string' || each.name === '') {
      throw new Error('each of arguments must have a name')
    }
    if (CEDAR_ESCAPES.has(each.name) || each.name === '__proto__') {
      throw new Error(`an argument must not be called ${each.name}`)
    }
    if (names.has(each.name))
      throw new Error(`two arguments are called ${JSON.stringify(each.name)}`)
    names.add(each.name)
  }
}

function refuseEscapes(json: Json): void {
  if (Array.isArray(json)) json.forEach(refuseEscapes)
  if (!isJsonObject(json)) return
  for (const [name, child] of Object.entries(json)) {
    if (CEDAR_ESCAPES.has(name) || name === '__proto__') {
      throw new SchemaError(`an argument must not be called ${name}`)
    }
    refuseEscapes(child)
  }
}
