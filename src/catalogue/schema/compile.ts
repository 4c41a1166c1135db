/**
 * JSON Schema (2020-12, and draft-07 when `$schema` says so) → checks that run in bounded time.
 *
 * Why not a validator off the shelf: the ones that accept nothing wrong compile patterns for V8's
 * backtracking engine and cannot be interrupted, so one argument can hold the event loop. Here
 * every pattern is linear (`pattern.ts`), all work is counted (`run.ts`), and the bookkeeping of
 * `unevaluatedProperties` also answers which arguments a definition never declared.
 *
 * `format` and `content*` are annotations (2020-12 §7.2.1) and are not checked.
 */
import { isJsonObject, type Json, type JsonObject } from '../../lib/json.ts'
import { arrayChecks } from './arrays.ts'
import { combinationChecks } from './combinations.ts'
import { objectChecks } from './objects.ts'
import { type Dialect, type Resource, Resources } from './resources.ts'
import { type Check, type Failure, Run, Seen } from './run.ts'
import { SchemaError } from './schema-error.ts'
import { valueChecks } from './values.ts'

export interface CompiledSchema {
  /**
   * What is wrong with `value`; `undefined` when it is valid.
   *
   * @throws {TooCostly} when finding out would take too long
   */
  check(value: Json): Failure | undefined
}

/** One schema being compiled, as its keywords see it. */
export interface Site {
  readonly schema: JsonObject
  readonly resource: Resource
  readonly dialect: Dialect
  readonly pointer: string
  readonly resources: Resources
  /** A subschema for this same value. */
  inPlace(schema: Json, pointer: string): Check
  /** A subschema for a member or an item of this value. */
  below(schema: Json, pointer: string): Check
}

const never: Check = (_value, run) => run.fail('is not allowed')
const always: Check = () => true

/**
 * Compiles a schema and everything that it can reach.
 *
 * With `closed`, members that no schema applied to an object has evaluated are refused, for the root
 * and for every nested object whose schema names members (see `README.md`).
 *
 * @throws {SchemaError} when the schema is not valid, or uses what is refused
 */
export function compileSchema(schema: Json, options?: { closed?: boolean }): CompiledSchema {
  const compiler = new Compiler(new Resources(schema), options?.closed === true)
  const root = compiler.closedRoot(schema)
  return {
    check(value) {
      const run = new Run()
      return root(value, run, undefined) ? undefined : run.failure
    },
  }
}

class Compiler {
  readonly #resources: Resources
  readonly #closed: boolean
  readonly #known = new Map<JsonObject, { check: Check }>()

  constructor(resources: Resources, closed: boolean) {
    this.#resources = resources
    this.#closed = closed
  }

  closedRoot(schema: Json): Check {
    const check = this.#compile(schema, '')
    return this.#closed ? close(check) : check
  }

  #compile(schema: Json, pointer: string): Check {
    if (schema === true) return always
    if (schema === false) return never
    if (!isJsonObject(schema)) {
      throw new SchemaError('a schema must be an object, true or false', pointer)
    }
    const known = this.#known.get(schema)
    // Bound late, because a schema may contain a reference to itself.
    if (known !== undefined) return (value, run, seen) => known.check(value, run, seen)
    const node = { check: always }
    this.#known.set(schema, node)
    const resource = this.#resources.homeOf(schema)
    const site: Site = {
      schema,
      resource,
      dialect: resource.dialect,
      pointer,
      resources: this.#resources,
      inPlace: (child, at) => this.#compile(child, at),
      below: (child, at) => {
        const check = this.#compile(child, at)
        return this.#closed && namesMembers(child, this.#resources, new Set())
          ? close(check)
          : check
      },
    }
    node.check = this.#assemble(site)
    return node.check
  }

  #assemble(site: Site): Check {
    const { schema, resource } = site
    // Draft-07 §8.3: a schema with `$ref` is that reference and nothing else.
    const alone = site.dialect === 'draft-07' && schema.$ref !== undefined
    const checks = alone
      ? combinationChecks(site)
      : [
          ...valueChecks(site),
          ...combinationChecks(site),
          ...arrayChecks(site),
          ...objectChecks(site),
        ]
    const tracks =
      site.dialect === '2020-12' &&
      (schema.unevaluatedProperties !== undefined || schema.unevaluatedItems !== undefined)
    return (value, run, seen) => {
      run.enter()
      const entered = run.scope.at(-1) !== resource
      if (entered) run.scope.push(resource)
      const own = tracks ? new Seen() : seen
      let ok = true
      for (const check of checks) {
        if (!check(value, run, own)) {
          ok = false
          break
        }
      }
      if (ok && tracks && seen !== undefined) seen.add(own as Seen)
      if (entered) run.scope.pop()
      run.leave()
      return ok
    }
  }
}

/** Refuses members of an object that nothing inside `check` has evaluated. */
function close(check: Check): Check {
  return (value, run, seen) => {
    if (!isJsonObject(value)) return check(value, run, seen)
    const own = new Seen()
    if (!check(value, run, own)) return false
    if (!own.allNames) {
      for (const name of Object.keys(value)) {
        if (!own.names.has(name)) {
          return run.descend(name, null, (_value, at) =>
            at.fail('is not declared by the pinned definition'),
          )
        }
      }
    }
    seen?.add(own)
    return true
  }
}

/** Whether a schema, or one applied in its place, says anything about the names of members. */
function namesMembers(schema: Json | undefined, resources: Resources, visited: Set<Json>): boolean {
  if (!isJsonObject(schema) || visited.has(schema)) return false
  visited.add(schema)
  const resource = resources.homeOf(schema)
  const inside = (each: Json | undefined) => namesMembers(each, resources, visited)
  if (schema.properties !== undefined || schema.patternProperties !== undefined) return true
  for (const keyword of ['allOf', 'anyOf', 'oneOf'] as const) {
    const list = schema[keyword]
    if (Array.isArray(list) && list.some(inside)) return true
  }
  for (const keyword of ['if', 'then', 'else'] as const) if (inside(schema[keyword])) return true
  const dependent = schema.dependentSchemas ?? schema.dependencies
  if (isJsonObject(dependent) && Object.values(dependent).some(inside)) return true
  for (const keyword of ['$ref', '$dynamicRef'] as const) {
    const reference = schema[keyword]
    if (typeof reference !== 'string') continue
    if (inside(resources.find(reference, resource, '').schema)) return true
  }
  return false
}
