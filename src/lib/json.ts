/**
 * Strict JSON: one text, one value, for every reader.
 *
 * `JSON.parse` keeps the last of two members with one name, rounds 9007199254740993 and passes lone
 * surrogates. Each of these lets two different texts, or two readers of one text, disagree about
 * what was approved. Here they are errors (RFC 7493, RFC 8785 §3.1). What numbers are accepted is
 * decided in `json-number.ts`.
 *
 * One pass over the text builds the value and finds the faults; nothing recurses deeper than
 * `maxDepth`. Errors name an offset and what was expected, never a value of the input.
 */
import { isUtf8 } from 'node:buffer'
import { JsonError } from './json-error.ts'
import { readNumber } from './json-number.ts'

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

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/** What follows a backslash, except `u` (RFC 8259 §7). */
const ESCAPES: { readonly [letter: string]: string } = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}

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
  return new Parser(text, maxDepth).whole()
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

class Parser {
  readonly #text: string
  #at = 0
  #levelsLeft: number

  constructor(text: string, maxDepth: number) {
    this.#text = text
    this.#levelsLeft = maxDepth
  }

  whole(): Json {
    const value = this.#value(this.#skipSpace())
    if (!Number.isNaN(this.#skipSpace())) this.#fail('expected the end of the text')
    return value
  }

  /** Skips white space; returns the code unit that follows it, NaN at the end of the text. */
  #skipSpace(): number {
    let code = this.#text.charCodeAt(this.#at)
    while (code === SPACE || code === 0x0a || code === 0x0d || code === 0x09) {
      code = this.#text.charCodeAt(++this.#at)
    }
    return code
  }

  #value(code: number): Json {
    switch (code) {
      case QUOTE:
        return this.#string()
      case 0x7b:
        return this.#object()
      case 0x5b:
        return this.#array()
      case 0x74:
        return this.#word('true', true)
      case 0x66:
        return this.#word('false', false)
      case 0x6e:
        return this.#word('null', null)
      default: {
        if (code !== 0x2d && !(code >= 0x30 && code <= 0x39)) this.#fail('expected a value')
        const { value, end } = readNumber(this.#text, this.#at)
        this.#at = end
        return value
      }
    }
  }

  #word<T extends Json>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('expected a value')
    this.#at += word.length
    return value
  }

  #array(): Json {
    this.#open()
    const items: Json[] = []
    let code = this.#skipSpace()
    if (code !== 0x5d) {
      for (;;) {
        items.push(this.#value(code))
        code = this.#skipSpace()
        if (code === 0x5d) break
        if (code !== 0x2c) this.#fail("expected ',' or ']'")
        this.#at++
        code = this.#skipSpace()
      }
    }
    this.#close()
    return items
  }

  #object(): Json {
    this.#open()
    const members: { [member: string]: Json } = {}
    let code = this.#skipSpace()
    if (code !== 0x7d) {
      for (;;) {
        if (code !== QUOTE) this.#fail('expected a member name')
        const nameAt = this.#at
        const name = this.#string()
        if (Object.hasOwn(members, name)) {
          throw new JsonError('duplicate', nameAt, 'expected each member name once in its object')
        }
        if (this.#skipSpace() !== 0x3a) this.#fail("expected ':'")
        this.#at++
        const value = this.#value(this.#skipSpace())
        // Plain assignment to `__proto__` would set the prototype and lose the member.
        if (name === '__proto__') {
          Object.defineProperty(members, name, {
            value,
            configurable: true,
            enumerable: true,
            writable: true,
          })
        } else members[name] = value
        code = this.#skipSpace()
        if (code === 0x7d) break
        if (code !== 0x2c) this.#fail("expected ',' or '}'")
        this.#at++
        code = this.#skipSpace()
      }
    }
    this.#close()
    return members
  }

  #open(): void {
    if (this.#levelsLeft-- === 0) {
      throw new JsonError('depth', this.#at, 'expected fewer levels of arrays and objects')
    }
    this.#at++
  }

  #close(): void {
    this.#levelsLeft++
    this.#at++
  }

  #string(): string {
    const text = this.#text
    const start = this.#at + 1
    let at = start
    let code = text.charCodeAt(at)
    while (code !== QUOTE && code !== BACKSLASH && code >= SPACE) code = text.charCodeAt(++at)
    this.#at = at
    if (code === QUOTE) {
      this.#at++
      return text.slice(start, at)
    }
    return this.#escapedString(start)
  }

  /** The rest of a string from its first escape (or fault) on. */
  #escapedString(start: number): string {
    const text = this.#text
    const open = start - 1
    let value = ''
    let from = start
    let surrogates = false
    for (;;) {
      const code = text.charCodeAt(this.#at)
      if (code === BACKSLASH) {
        value += text.slice(from, this.#at)
        const letter = text.charAt(this.#at + 1)
        if (letter === 'u') {
          const unit = this.#hexUnit()
          surrogates ||= unit >= 0xd800 && unit <= 0xdfff
          value += String.fromCharCode(unit)
          this.#at += 6
        } else {
          value += ESCAPES[letter] ?? this.#fail('expected a known escape')
          this.#at += 2
        }
        from = this.#at
      } else if (code === QUOTE) {
        value += text.slice(from, this.#at++)
        // The text itself is well formed, so only escapes can leave half a pair.
        if (surrogates && !value.isWellFormed()) {
          throw new JsonError('unicode', open, 'expected a string without lone surrogates')
        }
        return value
      } else if (code >= SPACE) this.#at++
      else if (Number.isNaN(code)) this.#fail("expected a closing '\"'")
      else this.#fail('expected control characters to be escaped')
    }
  }

  #hexUnit(): number {
    const hex = this.#text.slice(this.#at + 2, this.#at + 6)
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.#fail('expected four hexadecimal digits')
    return Number.parseInt(hex, 16)
  }

  #fail(expected: string): never {
    throw new JsonError('syntax', this.#at, expected)
  }
}
