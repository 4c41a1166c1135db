import type { Json } from './json.ts'
import { JsonError } from './json-error.ts'
import { parseNumber } from './json-number.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const MINUS = 0x2d
const ZERO = 0x30
/** Every integer of so many digits is a double. */
const EXACT_DIGITS = 15

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

function isDigit(code: number): boolean {
  return code >= ZERO && code <= 0x39
}

/**
 * One pass over a text: builds the value and finds the faults. Calls itself once per open array or
 * object, and never deeper than `maxDepth`.
 */
export class JsonParser {
  readonly #text: string
  #at = 0
  #levelsLeft: number

  /** @param text well-formed Unicode */
  constructor(text: string, maxDepth: number) {
    this.#text = text
    this.#levelsLeft = maxDepth
  }

  /** @throws {JsonError} when the text is not exactly one strict JSON value */
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
      default:
        if (code !== MINUS && !isDigit(code)) this.#fail('expected a value')
        return this.#number()
    }
  }

  /** RFC 8259 §6. */
  #number(): number {
    const text = this.#text
    const start = this.#at
    const first = text.charCodeAt(start) === MINUS ? start + 1 : start
    let at = first
    let code = text.charCodeAt(at)
    let whole = 0
    while (isDigit(code)) {
      whole = whole * 10 + (code - ZERO)
      code = text.charCodeAt(++at)
    }
    const digits = at - first
    let exact = digits <= EXACT_DIGITS
    let correct = digits === 1 || (digits > 1 && text.charCodeAt(first) !== ZERO)
    if (code === 0x2e) {
      exact = false
      const from = ++at
      while (isDigit(text.charCodeAt(at))) at++
      correct &&= at > from
      code = text.charCodeAt(at)
    }
    if (code === 0x65 || code === 0x45) {
      exact = false
      code = text.charCodeAt(++at)
      if (code === 0x2b || code === MINUS) at++
      const from = at
      while (isDigit(text.charCodeAt(at))) at++
      correct &&= at > from
    }
    if (!correct) this.#fail('expected a number as in RFC 8259')
    this.#at = at
    if (exact) return first > start && whole !== 0 ? -whole : whole
    return parseNumber(text.slice(start, at), start)
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
