/**
 * Which JSON numbers are accepted. A number is read as the nearest IEEE 754 double, and:
 *
 * 1. it must be finite: `1e400` is refused;
 * 2. when the double is an integer, the literal must denote that very integer in decimal:
 *    `1.0` and `1e2` are accepted, `1.00000000000000000001` (would become 1) and `1e-400` (would
 *    become 0) are refused;
 * 3. integers are within ±(2^53−1). Beyond that only what ECMAScript itself prints with an exponent
 *    is accepted, written with an exponent: `1e30`, but neither `9007199254740993`, `1e20` nor
 *    `1000000000000000000000000000000`. Many readers keep plain digits exactly, and we could not.
 *
 * Other fractions are what every reader of doubles makes of them: `0.1`, `333333333.33333329`.
 * So the RFC 8785 form of an accepted number is accepted, as the same number.
 */
import { JsonError } from './json-error.ts'

/** More digits than this may not fit a double exactly and take the careful way. */
const EASY_DIGITS = 15
/** From here on `Number::toString` uses an exponent (ECMA-262 §6.1.6.1.20). */
const PRINTED_WITH_EXPONENT = 1e21

// Sticky, so matched in place. RFC 8259 §6.
const LITERAL = /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y

/**
 * Reads the number literal that starts at `start`. `-0` is `0`.
 *
 * @throws {JsonError} problem `syntax` or `number`
 */
export function readNumber(text: string, start: number): { value: number; end: number } {
  let at = start
  let code = text.charCodeAt(at)
  const negative = code === 0x2d
  if (negative) code = text.charCodeAt(++at)
  const first = at
  let value = 0
  while (code >= 0x30 && code <= 0x39) {
    value = value * 10 + (code - 0x30)
    code = text.charCodeAt(++at)
  }
  const digits = at - first
  const plain = code !== 0x2e && code !== 0x65 && code !== 0x45
  const canonical = digits === 1 || text.charCodeAt(first) !== 0x30
  if (plain && canonical && digits > 0 && digits <= EASY_DIGITS) {
    return { value: negative && value !== 0 ? -value : value, end: at }
  }
  return readCarefully(text, start)
}

function readCarefully(text: string, start: number): { value: number; end: number } {
  LITERAL.lastIndex = start
  const match = LITERAL.exec(text)
  const end = LITERAL.lastIndex
  const next = text.charCodeAt(end)
  // What the pattern left over belongs to a number that goes wrong: 01, 1., 1e, .5, -
  if (match === null || (next >= 0x30 && next <= 0x39) || /[.eE]/.test(text.charAt(end))) {
    throw new JsonError('syntax', start, 'expected a number as in RFC 8259')
  }
  const literal = match[0]
  const value = Number(literal)
  if (!Number.isFinite(value)) {
    throw new JsonError('number', start, 'expected a number that a double can hold')
  }
  if (Number.isInteger(value) && !isExactInteger(literal, value, match[3] !== undefined)) {
    throw new JsonError(
      'number',
      start,
      'expected an integer within ±(2^53−1), or a fraction that does not round to an integer',
    )
  }
  return { value: value === 0 ? 0 : value, end }
}

function isExactInteger(literal: string, value: number, hasExponent: boolean): boolean {
  if (!Number.isSafeInteger(value)) {
    if (!hasExponent || Math.abs(value) < PRINTED_WITH_EXPONENT) return false
  }
  return decimal(literal) === decimal(String(value))
}

/** One spelling per decimal value: significant digits, then the power of ten of the last one. */
function decimal(literal: string): string {
  const [significand = '', exponent = '0'] = literal.replace('-', '').toLowerCase().split('e')
  const [whole = '', fraction = ''] = significand.split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  const kept = trimZeros(digits)
  if (kept === '') return '0'
  return `${kept}e${Number(exponent) - fraction.length + digits.length - kept.length}`
}

/** Without the zeros at the end; a loop, because `/0+$/` takes quadratic time on 1000…01. */
function trimZeros(digits: string): string {
  let end = digits.length
  while (end > 0 && digits.charCodeAt(end - 1) === 0x30) end--
  return digits.slice(0, end)
}
