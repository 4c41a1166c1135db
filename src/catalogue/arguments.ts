/**
 * Are these the arguments that the pinned definition declares?
 *
 * Two questions in one: the schema must accept them, and unless the pin says `argumentsOpen`, every
 * member must be one that the schema declares, at the root and inside every object whose schema names
 * members. A model cannot smuggle in a member that the server reads and nobody reviewed.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type CompiledSchema, compileSchema } from './schema/compile.ts'
import type { Failure } from './schema/run.ts'

export type { Failure } from './schema/run.ts'
export { LIMIT_MS, TooCostly } from './schema/run.ts'

export interface ArgumentCheck {
  /**
   * What is wrong with `args`; `undefined` when nothing is.
   *
   * @throws {TooCostly}
   */
  check(args: JsonObject): Failure | undefined
}

/** @throws {SchemaError} when the schema cannot be used */
export function compileArguments(inputSchema: Json, argumentsOpen: boolean): ArgumentCheck {
  const open = compileSchema(inputSchema)
  if (argumentsOpen) return open
  const closed = compileSchema(inputSchema, { closed: true })
  // Refusing more inside `not` or one branch of `oneOf` can accept more outside of it, so what the
  // schema itself says is asked first wherever that could happen.
  return canTurn(inputSchema) ? both(open, closed) : closed
}

function both(first: CompiledSchema, second: CompiledSchema): ArgumentCheck {
  return { check: (args) => first.check(args) ?? second.check(args) }
}

const TURNING = ['not', 'if', 'oneOf', 'contains']

/** Whether the schema has, anywhere, a keyword under which stricter can mean more lenient. */
function canTurn(json: Json): boolean {
  if (Array.isArray(json)) return json.some(canTurn)
  if (!isJsonObject(json)) return false
  return Object.entries(json).some(([name, child]) => TURNING.includes(name) || canTurn(child))
}

/** A prompt declares its arguments by name; all values are strings (MCP, server/prompts). */
export function compilePromptArguments(definition: JsonObject): ArgumentCheck {
  const declared = new Set<string>()
  const required: string[] = []
  const list = definition.arguments
  for (const each of Array.isArray(list) ? list : []) {
    if (!isJsonObject(each) || typeof each.name !== 'string') continue
    declared.add(each.name)
    if (each.required === true) required.push(each.name)
  }
  return {
    check(args) {
      for (const [name, value] of Object.entries(args)) {
        if (!declared.has(name)) {
          return { path: `/${name}`, detail: 'is not declared by the pinned definition' }
        }
        if (typeof value !== 'string') return { path: `/${name}`, detail: 'is not a string' }
      }
      const missing = required.find((name) => !Object.hasOwn(args, name))
      return missing === undefined
        ? undefined
        : { path: '', detail: `has no member ${JSON.stringify(missing)}` }
    },
  }
}
