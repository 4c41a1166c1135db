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

/** From here on `Number::toString` uses an exponent (ECMA-262 §6.1.6.1.20). */
const PRINTED_WITH_EXPONENT = 1e21
/** A decimal of so many significant digits survives being a double. */
const ALWAYS_KEPT_DIGITS = 15

/**
 * The value of a literal that has the form of a JSON number; `-0` is `0`.
 *
 * @param offset where the literal starts, for the error
 * @throws {JsonError} problem `number`
 */
export function parseNumber(literal: string, offset: number): number {
  const value = Number(literal)
  if (!Number.isInteger(value)) {
    if (Number.isFinite(value)) return value
    throw new JsonError('number', offset, 'expected a number that a double can hold')
  }
  if (!isExactInteger(literal, value)) {
    throw new JsonError(
      'number',
      offset,
      'expected an integer within ±(2^53−1), or a fraction that does not round to an integer',
    )
  }
  return value === 0 ? 0 : value
}

/** Whether the literal denotes the integer `value` itself, and rule 3 allows that integer. */
function isExactInteger(literal: string, value: number): boolean {
  const { significant, trailingZeros, scale, hasExponent } = decompose(literal)
  // An integer that is safe is a double, so the double is it as soon as the literal is an integer.
  if (Number.isSafeInteger(value)) return significant === 0 || trailingZeros + scale >= 0
  if (!hasExponent || Math.abs(value) < PRINTED_WITH_EXPONENT) return false
  return significant <= ALWAYS_KEPT_DIGITS || decimal(literal) === decimal(String(value))
}

/**
 * A literal as digits × 10^scale, seen in one pass because a megabyte of `1e2,` must not cost more
 * than other text of that size.
 */
function decompose(literal: string) {
  let significant = 0
  let trailingZeros = 0
  let fractionDigits = 0
  let afterPoint = false
  let at = literal.charCodeAt(0) === 0x2d ? 1 : 0
  for (; at < literal.length; at++) {
    const code = literal.charCodeAt(at)
    if (code === 0x2e) afterPoint = true
    else if (code < 0x30 || code > 0x39) break
    else {
      if (afterPoint) fractionDigits++
      if (code === 0x30) trailingZeros++
      else {
        significant = significant === 0 ? 1 : significant + trailingZeros + 1
        trailingZeros = 0
      }
    }
  }
  const hasExponent = at < literal.length
  const scale = (hasExponent ? Number(literal.slice(at + 1)) : 0) - fractionDigits
  return { significant, trailingZeros, scale, hasExponent }
}

/** One spelling per decimal value: significant digits, then the power of ten of the last one. */
function decimal(literal: string): string {
  const [significand = '', exponent = '0'] = literal.replace(/^-/, '').toLowerCase().split('e')
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
