/**
 * Patterns of JSON Schema (ECMA-262, flag `u`), run in linear time.
 *
 * V8's own engine backtracks: 28 characters against `^(a+)+$` hold the event loop for ten seconds, and
 * its linear mode does not exist for the flag `u` that JSON Schema asks for. RE2 is linear for every
 * pattern it takes, but reads a few constructs differently, so each is translated to what ECMA-262
 * means by it; what has no linear equivalent is refused when a definition is pinned.
 */
import { RE2JS } from 're2js'
import { SchemaError } from './schema-error.ts'

/** Longest pattern that is compiled, in UTF-16 units. */
export const MAX_PATTERN_LENGTH = 2048

export interface Pattern {
  /** Whether the pattern occurs in `text`; not anchored (JSON Schema Core 2020-12 §6.4). */
  test(text: string): boolean
  /** What one character may cost, in steps of a run: linear, but by a factor the pattern chooses. */
  readonly stepsPerCharacter: number
}

/** ECMA-262 WhiteSpace and LineTerminator; RE2's `\s` is ASCII only. */
const SPACE =
  '\\t\\n\\x{B}\\f\\r \\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}\\x{FEFF}'
/** Everything between the members of `SPACE`, for `\S` inside a class. */
const NOT_SPACE =
  '\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}\\x{3001}-\\x{FEFE}\\x{FF00}-\\x{10FFFF}'
/** RE2 knows general categories by their short names only. */
const CATEGORIES: Readonly<Record<string, string>> = {
  Letter: 'L',
  Lowercase_Letter: 'Ll',
  Uppercase_Letter: 'Lu',
  Mark: 'M',
  Number: 'N',
  Decimal_Number: 'Nd',
  digit: 'Nd',
  Punctuation: 'P',
  punct: 'P',
  Symbol: 'S',
  Separator: 'Z',
  Space_Separator: 'Zs',
}

const compiled = new Map<string, Pattern>()

/**
 * Compiles one pattern.
 *
 * @throws {SchemaError} when it is no ECMA-262 pattern, or cannot be run in linear time
 */
export function compilePattern(source: string): Pattern {
  const known = compiled.get(source)
  if (known !== undefined) return known
  if (source.length > MAX_PATTERN_LENGTH) {
    throw new SchemaError(`a pattern of ${source.length} characters; at most ${MAX_PATTERN_LENGTH}`)
  }
  try {
    new RegExp(source, 'u')
  } catch {
    throw new SchemaError(`the pattern ${shown(source)} is not valid in ECMA-262 with the flag u`)
  }
  const translated = translate(source)
  let machine: RE2JS
  try {
    machine = RE2JS.compile(translated)
  } catch {
    throw new SchemaError(
      `the pattern ${shown(source)} uses something that cannot be checked in linear time (a count over 1,000, or an unusual property)`,
    )
  }
  // At worst RE2 looks at every instruction of the pattern for every character, some 50 ns each.
  const pattern: Pattern = {
    test: (text) => machine.test(text),
    stepsPerCharacter: machine.programSize() / 4,
  }
  // Patterns come from pinned files only, so this grows with the catalogue and not with requests.
  compiled.set(source, pattern)
  return pattern
}

/** Rewrites a valid ECMA-262 `u` pattern as the RE2 pattern with the same language. */
function translate(source: string): string {
  let out = ''
  let inClass = false
  let at = 0
  while (at < source.length) {
    const char = source[at] as string
    if (char === '\\') {
      const escaped = readEscape(source, at, inClass)
      out += escaped.text
      at = escaped.end
    } else if (inClass) {
      if (char === ']') inClass = false
      out += char === '[' || char === '&' || char === '~' ? `\\${char}` : char
      at++
    } else if (char === '[') {
      // `[]` matches nothing and `[^]` anything in ECMA-262; RE2 reads `]` as a member there.
      if (source.startsWith('[]', at)) {
        out += '[^\\x{0}-\\x{10FFFF}]'
        at += 2
      } else if (source.startsWith('[^]', at)) {
        out += '[\\x{0}-\\x{10FFFF}]'
        at += 3
      } else {
        inClass = true
        out += source[at + 1] === '^' ? '[^' : '['
        at += source[at + 1] === '^' ? 2 : 1
      }
    } else if (char === '.') {
      out += '[^\\n\\r\\x{2028}\\x{2029}]'
      at++
    } else if (source.startsWith('(?', at)) {
      at += readGroup(source, at)
      out += '(?:'
    } else {
      out += char === '$' ? '\\z' : char === '^' ? '\\A' : char
      at++
    }
  }
  return out
}

/** Length of the head of the group at `at`, when the group is one that RE2 can run. */
function readGroup(source: string, at: number): number {
  if (source.startsWith('(?:', at)) return 3
  const named = /^\(\?<[^=!>][^>]*>/u.exec(source.slice(at))
  if (named !== null) return named[0].length
  const kind = /^\(\?<?[=!]/.test(source.slice(at)) ? 'look-around' : 'inline flags'
  throw new SchemaError(
    `the pattern ${shown(source)} uses ${kind}, which cannot be checked in linear time; rewrite it without, or drop it when pinning`,
  )
}

function readEscape(source: string, at: number, inClass: boolean): { text: string; end: number } {
  const char = source[at + 1] as string
  const rest = source.slice(at)
  if ('dDwWtnrfv'.includes(char)) {
    return { text: char === 'v' ? '\\x{B}' : `\\${char}`, end: at + 2 }
  }
  if (char === 's') return { text: inClass ? SPACE : `[${SPACE}]`, end: at + 2 }
  if (char === 'S') return { text: inClass ? NOT_SPACE : `[^${SPACE}]`, end: at + 2 }
  if (char === 'b' || char === 'B') {
    return { text: inClass ? '\\x{8}' : `\\${char}`, end: at + 2 }
  }
  if (char === '0') return { text: '\\x{0}', end: at + 2 }
  if (char === 'k' || (char >= '1' && char <= '9')) {
    throw new SchemaError(
      `the pattern ${shown(source)} uses a back-reference, which cannot be checked in linear time; rewrite it without, or drop it when pinning`,
    )
  }
  if (char === 'c') {
    return { text: point((source.charCodeAt(at + 2) & 31).toString(16)), end: at + 3 }
  }
  const pair = /^\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})/.exec(rest)
  if (pair !== null) {
    const high = Number.parseInt(pair[1] as string, 16)
    const low = Number.parseInt(pair[2] as string, 16)
    const code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
    return { text: point(code.toString(16)), end: at + pair[0].length }
  }
  const code = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]+)\})/.exec(rest)
  if (code !== null) {
    return { text: point((code[1] ?? code[2] ?? code[3]) as string), end: at + code[0].length }
  }
  const property = /^\\([pP])\{(?:(?:General_Category|gc)=)?([^}]+)\}/.exec(rest)
  if (property !== null) {
    const name = (property[2] as string).replace(/^(?:Script|sc)=/, '')
    return {
      text: `\\${property[1]}{${CATEGORIES[name] ?? name}}`,
      end: at + property[0].length,
    }
  }
  // What is left in a valid `u` pattern is a syntax character standing for itself.
  return { text: `\\${char}`, end: at + 2 }
}

function point(hex: string): string {
  return `\\x{${hex}}`
}

function shown(source: string): string {
  return JSON.stringify(source.length > 80 ? `${source.slice(0, 80)}…` : source)
}
