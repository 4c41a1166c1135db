/**
 * RFC 8785: one text per JSON value, so that a hash of the text is a hash of the value.
 *
 * Written for values that came out of the strict parser, which is where depth and size are bounded.
 * The hot path runs this for every call, hence no allocation per member beyond the text itself.
 */
import type { Json, JsonObject } from '../lib/json.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8785 §3.2.2.2 escapes exactly these
const NEEDS_CARE = /[\u0000-\u001f"\\\ud800-\udfff]/

/**
 * The canonical text of a value.
 *
 * @throws {TypeError} when the value cannot be JSON: a lone surrogate, a number that is not finite,
 * `undefined`, a function, a bigint
 */
export function canonicalText(json: Json): string {
  switch (typeof json) {
    case 'string':
      return quote(json)
    case 'number':
      // ECMAScript's own form is the canonical one (§3.2.2.3); -0 becomes 0.
      if (!Number.isFinite(json)) throw new TypeError('a JSON number must be finite')
      return String(json)
    case 'boolean':
      return String(json)
    case 'object':
      if (json === null) return 'null'
      return Array.isArray(json) ? array(json) : object(json as JsonObject)
    default:
      throw new TypeError(`a JSON value cannot be a ${typeof json}`)
  }
}

function array(items: readonly Json[]): string {
  let text = '['
  for (let i = 0; i < items.length; i++) {
    if (i > 0) text += ','
    text += canonicalText(items[i] as Json)
  }
  return `${text}]`
}

function object(members: JsonObject): string {
  // The default order of sort() is by UTF-16 code units, as §3.2.3 asks.
  const names = Object.keys(members).sort()
  let text = '{'
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    if (i > 0) text += ','
    text += `${quote(name)}:${canonicalText(members[name] as Json)}`
  }
  return `${text}}`
}

function quote(text: string): string {
  if (!NEEDS_CARE.test(text)) return `"${text}"`
  // JSON.stringify would write half a pair as an escape, and two readers could differ on it.
  if (!text.isWellFormed()) throw new TypeError('a JSON string must not hold lone surrogates')
  return JSON.stringify(text)
}
