/** RFC 8785: one text per JSON value, so that a hash of the text is a hash of the value. */
import canonicalize from 'canonicalize'
import type { Json } from '../lib/json.ts'

/**
 * The canonical text of a value.
 *
 * @param json a value as the strict parser gives it, which is where depth and size are bounded
 * @throws {TypeError} when the value cannot be JSON: a lone surrogate, a number that is not finite,
 * `undefined`, a function, a bigint
 */
export function canonicalText(json: Json): string {
  let text: string | undefined
  try {
    text = canonicalize(json)
  } catch (cause) {
    throw new TypeError('a value that cannot be written as canonical JSON', { cause })
  }
  if (text === undefined) throw new TypeError(`a JSON value cannot be a ${typeof json}`)
  return text
}
