/**
 * Strict JSON: one text, one value, for every reader.
 *
 * `JSON.parse` keeps the last of two members with one name, rounds 9007199254740993 and passes lone
 * surrogates. Each of these lets two different texts, or two readers of one text, disagree about
 * what was approved. Here they are errors (RFC 7493, RFC 8785 §3.1). What numbers are accepted is
 * decided in `json-number.ts`.
 *
 * Text in the one spelling `JSON.stringify` writes is read by `JSON.parse` (`json-plain.ts`). For any
 * other, one pass builds the value and finds the faults; nothing recurses deeper than `maxDepth`. Errors name an offset and what was expected, never a value of the input.
 */
import { isUtf8 } from 'node:buffer'
import { JsonError } from './json-error.ts'
import { JsonParser } from './json-parser.ts'
import { parsePlain } from './json-plain.ts'

export { JsonError } from './json-error.ts'

/** A value that strict JSON text can hold. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject

export interface JsonObject {
  readonly [member: string]: Json
}

export interface JsonLimits {
  /** Size of the text in UTF-8, in bytes. */
  readonly maxBytes: number
  /** How many arrays and objects may be open at once; at most 512. */
  readonly maxDepth: number
}

const DEFAULT_LIMITS: JsonLimits = { maxBytes: 1024 * 1024, maxDepth: 64 }
/** The parser calls itself once per level, so a caller's limit has a limit. */
const DEEPEST = 512

/**
 * Parses one JSON text (RFC 8259) that is also I-JSON (RFC 7493).
 *
 * Objects are ordinary objects whose members are all own properties, `__proto__` included. `-0`
 * becomes `0`, as in RFC 8785, so what is hashed and what is used are one value.
 *
 * @throws {JsonError} when the text is not strict JSON or exceeds a limit
 * @throws {TypeError} when a limit is out of range
 */
export function parseJson(input: Uint8Array | string, limits?: Partial<JsonLimits>): Json {
  const maxBytes = limits?.maxBytes ?? DEFAULT_LIMITS.maxBytes
  const maxDepth = limits?.maxDepth ?? DEFAULT_LIMITS.maxDepth
  if (!(maxDepth >= 0 && maxDepth <= DEEPEST)) {
    throw new TypeError(`maxDepth must be from 0 to ${DEEPEST}`)
  }
  const text = typeof input === 'string' ? checkText(input, maxBytes) : decode(input, maxBytes)
  if (text.charCodeAt(0) === 0xfeff) {
    throw new JsonError('unicode', 0, 'expected no byte order mark')
  }
  return parsePlain(text, maxDepth) ?? new JsonParser(text, maxDepth).whole()
}

/** Whether a JSON value is an object (not an array, not null). */
export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function checkText(text: string, maxBytes: number): string {
  // A UTF-16 unit is at least one byte of UTF-8, so a text that is far too long is never counted.
  if (text.length > maxBytes || Buffer.byteLength(text) > maxBytes) tooLarge(maxBytes)
  if (!text.isWellFormed()) {
    throw new JsonError('unicode', undefined, 'expected text without lone surrogates')
  }
  return text
}

function decode(bytes: Uint8Array, maxBytes: number): string {
  if (bytes.length > maxBytes) tooLarge(maxBytes)
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8')
  if (!isUtf8(bytes)) {
    const kept = Buffer.from(text)
    let at = 0
    while (at < buffer.length && buffer[at] === kept[at]) at++
    throw new JsonError('unicode', undefined, `expected valid UTF-8 at byte ${at}`)
  }
  return text
}

function tooLarge(maxBytes: number): never {
  throw new JsonError('size', undefined, `expected at most ${maxBytes} bytes`)
}
