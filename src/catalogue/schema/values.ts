/** Keywords about a value as such: its type, and what numbers and strings may be (Validation §6.1–6.3). */
import { isJsonObject, type Json } from '../../lib/json.ts'
import type { Site } from './compile.ts'
import { keyOf } from './equal.ts'
import { compilePattern } from './pattern.ts'
import type { Check } from './run.ts'
import { SchemaError } from './schema-error.ts'

const TYPES = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer']

export function valueChecks(site: Site): Check[] {
  const { schema } = site
  const checks: Check[] = []
  if (schema.type !== undefined) checks.push(typeCheck(schema.type, site))
  if (schema.const !== undefined) {
    const expected = keyOf(schema.const)
    checks.push(
      (value, run) => keyOf(value, run) === expected || run.fail('is not the one value allowed'),
    )
  }
  if (schema.enum !== undefined) {
    if (!Array.isArray(schema.enum)) throw new SchemaError('enum must be an array', site.pointer)
    const allowed = new Set(schema.enum.map((each: Json) => keyOf(each)))
    checks.push(
      (value, run) =>
        allowed.has(keyOf(value, run)) || run.fail('is not one of the values allowed'),
    )
  }
  checks.push(...numberChecks(site), ...stringChecks(site))
  return checks
}

/** A keyword's value as a count. @throws {SchemaError} when it is none */
export function countOf(site: Site, keyword: string): number | undefined {
  const value = site.schema[keyword]
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw new SchemaError(`${keyword} must be a non-negative integer`, site.pointer)
  }
  return value
}

function typeCheck(type: Json, site: Site): Check {
  const names = Array.isArray(type) ? type : [type]
  for (const name of names) {
    if (!TYPES.includes(name as string)) {
      throw new SchemaError(`type ${JSON.stringify(name)} does not exist`, site.pointer)
    }
  }
  const allowed = new Set(names as string[])
  const detail = `is not of type ${[...allowed].join(' or ')}`
  return (value, run) =>
    allowed.has(typeOf(value)) ||
    (typeof value === 'number' && allowed.has('integer') && Number.isInteger(value)) ||
    run.fail(detail)
}

function typeOf(value: Json): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return isJsonObject(value) ? 'object' : typeof value
}

function numberChecks(site: Site): Check[] {
  const checks: Check[] = []
  const limit = (
    keyword: string,
    holds: (value: number, bound: number) => boolean,
    words: string,
  ) => {
    const bound = site.schema[keyword]
    if (bound === undefined) return
    if (typeof bound !== 'number')
      throw new SchemaError(`${keyword} must be a number`, site.pointer)
    checks.push(
      (value, run) =>
        typeof value !== 'number' || holds(value, bound) || run.fail(`${words} ${bound}`),
    )
  }
  limit('minimum', (value, bound) => value >= bound, 'is less than')
  limit('maximum', (value, bound) => value <= bound, 'is greater than')
  limit('exclusiveMinimum', (value, bound) => value > bound, 'is not greater than')
  limit('exclusiveMaximum', (value, bound) => value < bound, 'is not less than')
  const divisor = site.schema.multipleOf
  if (divisor !== undefined && (typeof divisor !== 'number' || !(divisor > 0))) {
    throw new SchemaError('multipleOf must be a number greater than 0', site.pointer)
  }
  limit('multipleOf', isMultiple, 'is not a multiple of')
  return checks
}

/** In decimal, as the numbers are written: in binary 0.0075 is no multiple of 0.0001. */
function isMultiple(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0
  const [a, b] = [decimalOf(value), decimalOf(divisor)]
  const exponent = Math.min(a.exponent, b.exponent)
  return (
    (a.digits * 10n ** BigInt(a.exponent - exponent)) %
      (b.digits * 10n ** BigInt(b.exponent - exponent)) ===
    0n
  )
}

function decimalOf(value: number): { digits: bigint; exponent: number } {
  const [mantissa = '0', exponent = '0'] = String(value).split('e')
  const [whole = '0', fraction = ''] = mantissa.split('.')
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length }
}

function stringChecks(site: Site): Check[] {
  const checks: Check[] = []
  const least = countOf(site, 'minLength')
  const most = countOf(site, 'maxLength')
  if (least !== undefined) {
    checks.push(
      (value, run) =>
        typeof value !== 'string' ||
        lengthOf(value) >= least ||
        run.fail(`is shorter than ${least} characters`),
    )
  }
  if (most !== undefined) {
    checks.push(
      (value, run) =>
        typeof value !== 'string' ||
        value.length <= most ||
        lengthOf(value) <= most ||
        run.fail(`is longer than ${most} characters`),
    )
  }
  const source = site.schema.pattern
  if (source !== undefined) {
    if (typeof source !== 'string') throw new SchemaError('pattern must be a string', site.pointer)
    const pattern = compilePattern(source)
    checks.push((value, run) => {
      if (typeof value !== 'string') return true
      run.step(1 + value.length * pattern.stepsPerCharacter)
      return pattern.test(value) || run.fail(`does not match the pattern ${source.slice(0, 200)}`)
    })
  }
  return checks
}

/** Characters, not UTF-16 units (Validation §6.3.1). */
function lengthOf(text: string): number {
  let length = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0xd800 || unit > 0xdbff) length++
    else {
      length++
      at++
    }
  }
  return length
}
