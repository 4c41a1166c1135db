/** Verified claims that policies may see, under names from the configuration. */
import type { Json, JsonObject } from '../../lib/json.ts'
import { refuse } from '../../refusal.ts'

/** Names, each with a JSON pointer (RFC 6901) into the claims. */
export type AttributePointers = Readonly<Record<string, string>>

export type ReadAttributes = (claims: JsonObject) => Record<string, string | readonly string[]>

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
const POINTER = /^(?:\/(?:[^~/]|~[01])*)+$/
const INDEX = /^(?:0|[1-9]\d{0,8})$/

/**
 * Attributes are flat: text or a list of text. Numbers and booleans become their JSON text; what is
 * absent is left out. A claim of any other shape (object, null, list in a list) refuses the token:
 * leaving it out would hide it from a policy that forbids by it.
 *
 * @returns a reader that throws `Refusal` `identity_invalid`, check `claims`
 * @throws {TypeError} naming the attribute whose name or pointer is wrong
 */
export function attributeReader(pointers: AttributePointers): ReadAttributes {
  const paths = Object.entries(pointers).map(([name, pointer]) => {
    if (!NAME.test(name)) throw new TypeError(`"${name}" cannot be the name of an attribute`)
    if (!POINTER.test(pointer)) throw new TypeError(`${name}: "${pointer}" is no JSON pointer`)
    const tokens = pointer.split('/').slice(1)
    return [name, tokens.map((t) => t.replaceAll('~1', '/').replaceAll('~0', '~'))] as const
  })
  return (claims) => {
    const attributes: Record<string, string | readonly string[]> = {}
    for (const [name, path] of paths) {
      const value = valueAt(claims, path)
      if (value !== undefined)
        attributes[name] = Array.isArray(value) ? value.map(text) : text(value)
    }
    return attributes
  }
}

function valueAt(claims: JsonObject, path: readonly string[]): Json | undefined {
  let value: Json | undefined = claims
  for (const token of path) {
    if (typeof value !== 'object' || value === null) return undefined
    if (Array.isArray(value) && !INDEX.test(token)) return undefined
    if (!Object.hasOwn(value, token)) return undefined
    value = (value as JsonObject)[token]
  }
  return value
}

function text(value: Json): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return refuse({ code: 'identity_invalid', check: 'claims' })
}
