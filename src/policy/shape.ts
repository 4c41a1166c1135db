/**
 * How the arguments of an action look to a policy: JSON Schema → Cedar type, and JSON → Cedar value.
 *
 * Cedar knows strings, 64-bit integers, booleans, sets and records. What fits is passed as it is and
 * named as Cedar's own MCP schema generator names it; what does not fit exactly is passed as text, never
 * rounded. A value that turns out not to have the form its schema promised is refused, so a wrong
 * guess here can only say no. The table is in `README.md`.
 */
import type { CedarValueJson, Type } from '@cedar-policy/cedar-wasm/nodejs'
import { canonicalText } from '../action/hash.ts'
import { LIMIT_MS } from '../catalogue/arguments.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'

export type Shape =
  | { readonly kind: 'string' | 'long' | 'boolean' | 'number' | 'json' }
  | { readonly kind: 'set'; readonly items: Shape }
  | { readonly kind: 'record'; readonly members: ReadonlyMap<string, Member> }
  | { readonly kind: 'choice'; readonly choices: readonly Shape[] }

export interface Member {
  readonly shape: Shape
  readonly required: boolean
}

export type CedarType = Type<string>

export const STRING: CedarType = { type: 'String' }
const NUMBER_TYPE = record({
  text: { ...STRING, required: true },
  decimal: { type: 'Extension', name: 'decimal', required: false },
})
const JSON_TYPE = record({ json: { ...STRING, required: true } })

/** A Cedar record type with these attributes. */
export function record(attributes: Record<string, CedarType & { required?: boolean }>): CedarType {
  return { type: 'Record', attributes } as CedarType
}

export function cedarType(shape: Shape): CedarType {
  switch (shape.kind) {
    case 'string':
      return STRING
    case 'long':
      return { type: 'Long' }
    case 'boolean':
      return { type: 'Boolean' }
    case 'number':
      return NUMBER_TYPE
    case 'json':
      return JSON_TYPE
    case 'set':
      return { type: 'Set', element: cedarType(shape.items) }
    case 'record':
      return record(
        Object.fromEntries(
          [...shape.members].map(([name, member]) => [
            name,
            { ...cedarType(member.shape), required: member.required },
          ]),
        ),
      )
    case 'choice':
      return record(
        Object.fromEntries(
          shape.choices.map((choice, at) => [
            `typeChoice${at}`,
            { ...cedarType(choice), required: false },
          ]),
        ),
      )
  }
}

/**
 * How many values one question may hand to the engine. It cannot be interrupted, and the time it needs
 * for a set of records or decimals grows with the square of their number: 10,000 numbers take 0.3 s,
 * the 80,000 that fit into a megabyte more than a minute.
 */
export const MAX_VALUES = 10_000

/** What is left of `MAX_VALUES`; shared by all arguments of one question. */
export interface Budget {
  left: number
}

/**
 * The Cedar value of one argument.
 *
 * @throws {Refusal} arguments_invalid when the value is not of that shape; arguments_too_costly when
 *   it takes more than is left
 */
export function project(
  shape: Shape,
  value: Json,
  path: string,
  budget: Budget = { left: MAX_VALUES },
): CedarValueJson {
  // A number becomes a record of two.
  budget.left -= shape.kind === 'number' ? 3 : 1
  if (budget.left < 0) refuse({ code: 'arguments_too_costly', limitMs: LIMIT_MS })
  switch (shape.kind) {
    case 'string':
      return typeof value === 'string' ? value : misshapen(path, 'a string')
    case 'boolean':
      return typeof value === 'boolean' ? value : misshapen(path, 'true or false')
    case 'long':
      return Number.isSafeInteger(value)
        ? (value as number)
        : misshapen(path, 'an integer that can be held exactly')
    case 'number':
      return typeof value === 'number' ? exactNumber(value) : misshapen(path, 'a number')
    case 'json':
      return { json: canonicalText(value) }
    case 'set':
      if (!Array.isArray(value)) misshapen(path, 'a list')
      return value.map((each: Json, at: number) =>
        project(shape.items, each, `${path}/${at}`, budget),
      )
    case 'record':
      return projectRecord(shape.members, value, path, budget)
    case 'choice': {
      const at = shape.choices.findIndex((choice) => fits(choice, value))
      if (at === -1) misshapen(path, 'of one of the types declared')
      return { [`typeChoice${at}`]: project(shape.choices[at] as Shape, value, path, budget) }
    }
  }
}

/** Absent and null are alike to a policy: there is nothing to read. */
function projectRecord(
  members: ReadonlyMap<string, Member>,
  value: Json,
  path: string,
  budget: Budget,
): CedarValueJson {
  if (!isJsonObject(value)) misshapen(path, 'an object')
  const projected: Record<string, CedarValueJson> = {}
  for (const [name, member] of members) {
    const own = ownMember(value, name)
    if (own === undefined || own === null) {
      if (member.required) misshapen(`${path}/${name}`, 'present')
      continue
    }
    projected[name] = project(member.shape, own, `${path}/${name}`, budget)
  }
  return projected
}

export function ownMember(value: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined
}

function fits(shape: Shape, value: Json): boolean {
  switch (shape.kind) {
    case 'string':
      return typeof value === 'string'
    case 'boolean':
      return typeof value === 'boolean'
    case 'long':
      return Number.isInteger(value)
    case 'number':
      return typeof value === 'number'
    case 'set':
      return Array.isArray(value)
    case 'record':
      return isJsonObject(value)
    default:
      return true
  }
}

/** Cedar's decimal has four digits after the point and holds ±922337203685477.5807. */
const LARGEST_DECIMAL = 922337203685477

function exactNumber(value: number): CedarValueJson {
  const text = decimalText(value)
  const fraction = text.split('.')[1] ?? ''
  if (fraction.length > 4 || Math.abs(value) >= LARGEST_DECIMAL) return { text }
  const arg = fraction === '' ? `${text}.0` : text
  return { text, decimal: { __extn: { fn: 'decimal', arg } } }
}

/** A number in plain decimal digits, exactly as JSON read it, without an exponent. */
export function decimalText(value: number): string {
  const [mantissa = '0', exponentText] = String(value).split('e')
  if (exponentText === undefined) return mantissa
  const sign = mantissa.startsWith('-') ? '-' : ''
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.')
  const exponent = Number(exponentText)
  const digits = whole + fraction
  const point = whole.length + exponent
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  if (point >= digits.length) return sign + digits + '0'.repeat(point - digits.length)
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

function misshapen(path: string, expected: string): never {
  refuse({ code: 'arguments_invalid', path, detail: `is not ${expected}` })
}
