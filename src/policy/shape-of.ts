/** The shape that a pinned JSON Schema promises; `json` wherever it promises nothing that Cedar can use. */

import { Resources } from '../catalogue/schema/resources.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import type { Member, Shape } from './shape.ts'

/** Deeper than this an argument is passed as text. */
const MAX_DEPTH = 8
const JSON_SHAPE: Shape = { kind: 'json' }

/** A shape, and whether the value may also be null. `shape` is undefined when it can only be null. */
interface Promised {
  readonly shape: Shape | undefined
  readonly nullable: boolean
}
const UNKNOWN: Promised = { shape: JSON_SHAPE, nullable: true }

/** The record of a tool's arguments. */
export function shapeOfArguments(inputSchema: JsonObject): Shape & { kind: 'record' } {
  const reader = new Reader(new Resources(inputSchema))
  return { kind: 'record', members: reader.members(inputSchema, 0) }
}

class Reader {
  readonly #resources: Resources
  /** References can make a small schema endlessly wide; what lies beyond is passed as text. */
  #looksLeft = 20_000

  constructor(resources: Resources) {
    this.#resources = resources
  }

  /** What every object that `schema` accepts may have; `undefined` when nothing is said about names. */
  members(schema: JsonObject, depth: number): Map<string, Member> {
    const members = new Map<string, Member>()
    const required = new Set<string>()
    for (const part of this.#conjunction(schema, depth)) {
      if (Array.isArray(part.required))
        for (const name of part.required) required.add(name as string)
      if (!isJsonObject(part.properties)) continue
      for (const [name, child] of Object.entries(part.properties)) {
        const { shape, nullable } = this.promised(child, depth + 1)
        if (shape === undefined || members.has(name)) continue
        members.set(name, { shape, required: !nullable })
      }
    }
    for (const [name, member] of members) {
      if (member.required && !required.has(name)) members.set(name, { ...member, required: false })
    }
    for (const name of this.#alternativeNames(schema, depth)) {
      if (!members.has(name)) members.set(name, { shape: JSON_SHAPE, required: false })
    }
    return members
  }

  promised(schema: Json, depth: number): Promised {
    if (!isJsonObject(schema) || depth > MAX_DEPTH || --this.#looksLeft < 0) return UNKNOWN
    const resource = this.#resources.homeOf(schema)
    if (
      typeof schema.$ref === 'string' &&
      (schema.type === undefined || resource.dialect === 'draft-07')
    ) {
      return this.promised(this.#resources.find(schema.$ref, resource, '').schema, depth + 1)
    }
    if (schema.type !== undefined) return this.#byTypes(schema, depth)
    if (schema.const !== undefined) return byValues([schema.const])
    if (Array.isArray(schema.enum)) return byValues(schema.enum)
    if (Array.isArray(schema.allOf)) {
      const parts = schema.allOf.map((each: Json) => this.promised(each, depth + 1))
      return parts.find((part) => part.shape?.kind !== 'json') ?? UNKNOWN
    }
    const options = schema.anyOf ?? schema.oneOf
    if (Array.isArray(options)) {
      return oneOfMany(options.map((each: Json) => this.promised(each, depth + 1)))
    }
    return UNKNOWN
  }

  #byTypes(schema: JsonObject, depth: number): Promised {
    const names = (Array.isArray(schema.type) ? schema.type : [schema.type]) as string[]
    const shapes = names
      .filter((name) => name !== 'null')
      .map((name) => this.#byType(name, schema, depth))
    const nullable = names.includes('null')
    if (shapes.length === 0) return { shape: undefined, nullable: true }
    return oneOfMany(shapes.map((shape) => ({ shape, nullable })))
  }

  #byType(name: string, schema: JsonObject, depth: number): Shape {
    switch (name) {
      case 'string':
        return { kind: 'string' }
      case 'integer':
        return { kind: 'long' }
      case 'number':
        return { kind: 'number' }
      case 'boolean':
        return { kind: 'boolean' }
      case 'array': {
        if (schema.prefixItems !== undefined || !isJsonObject(schema.items)) {
          return { kind: 'set', items: JSON_SHAPE }
        }
        const { shape, nullable } = this.promised(schema.items, depth + 1)
        return { kind: 'set', items: shape === undefined || nullable ? JSON_SHAPE : shape }
      }
      case 'object': {
        const members = this.members(schema, depth)
        return members.size === 0 ? JSON_SHAPE : { kind: 'record', members }
      }
      default:
        return JSON_SHAPE
    }
  }

  /** The schema itself, what it refers to and what all of its `allOf` say. */
  #conjunction(schema: Json, depth: number): JsonObject[] {
    if (!isJsonObject(schema) || depth > MAX_DEPTH || --this.#looksLeft < 0) return []
    const resource = this.#resources.homeOf(schema)
    const target =
      typeof schema.$ref === 'string'
        ? this.#resources.find(schema.$ref, resource, '').schema
        : undefined
    const referred = target === undefined ? [] : this.#conjunction(target, depth + 1)
    if (target !== undefined && resource.dialect === 'draft-07') return referred
    const parts = Array.isArray(schema.allOf) ? schema.allOf : []
    return [
      schema,
      ...referred,
      ...parts.flatMap((each: Json) => this.#conjunction(each, depth + 1)),
    ]
  }

  /** Names that only some accepted objects have: those of alternatives. */
  #alternativeNames(schema: JsonObject, depth: number): Set<string> {
    const names = new Set<string>()
    for (const part of this.#conjunction(schema, depth)) {
      const { anyOf, oneOf, dependentSchemas, dependencies } = part
      const others: Json[] = [part.then, part.else, part.if].filter((each) => each !== undefined)
      for (const list of [anyOf, oneOf]) if (Array.isArray(list)) others.push(...list)
      for (const map of [dependentSchemas, dependencies]) {
        if (isJsonObject(map)) others.push(...Object.values(map))
      }
      for (const other of others) {
        if (!isJsonObject(other) || depth >= MAX_DEPTH) continue
        for (const name of this.members(other, depth + 1).keys()) names.add(name)
      }
    }
    return names
  }
}

function byValues(values: readonly Json[]): Promised {
  const present = values.filter((value) => value !== null)
  const nullable = present.length < values.length
  if (present.length === 0) return { shape: undefined, nullable: true }
  if (present.every((value) => typeof value === 'string')) {
    return { shape: { kind: 'string' }, nullable }
  }
  if (present.every((value) => typeof value === 'boolean')) {
    return { shape: { kind: 'boolean' }, nullable }
  }
  if (present.every((value) => Number.isSafeInteger(value))) {
    return { shape: { kind: 'long' }, nullable }
  }
  if (present.every((value) => typeof value === 'number')) {
    return { shape: { kind: 'number' }, nullable }
  }
  return { shape: JSON_SHAPE, nullable }
}

/** One of several promises: a choice by JSON type, when the types tell them apart. */
function oneOfMany(options: readonly Promised[]): Promised {
  const nullable = options.some((option) => option.nullable)
  const shapes = options.map((option) => option.shape).filter((shape) => shape !== undefined)
  const first = shapes[0]
  if (first === undefined) return { shape: undefined, nullable: true }
  if (shapes.length === 1) return { shape: first, nullable }
  const simple =
    first.kind === 'string' ||
    first.kind === 'boolean' ||
    first.kind === 'long' ||
    first.kind === 'number'
  if (simple && shapes.every((shape) => shape.kind === first.kind))
    return { shape: first, nullable }
  const kinds = shapes.map((shape) => (shape.kind === 'long' ? 'number' : shape.kind))
  const apart =
    new Set(kinds).size === kinds.length && !kinds.includes('json') && !kinds.includes('choice')
  return { shape: apart ? { kind: 'choice', choices: shapes } : JSON_SHAPE, nullable }
}
