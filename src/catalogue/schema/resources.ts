/**
 * The parts of one schema document: its resources (`$id`), anchors, and where each subschema is.
 *
 * Nothing is ever fetched. A reference that does not end inside the document is an error here, when
 * the definition is pinned, and not a surprise when an agent calls.
 */
import { isJsonObject, type Json, type JsonObject } from '../../lib/json.ts'
import { SchemaError } from './schema-error.ts'

export type Dialect = '2020-12' | 'draft-07'

/** A schema with an address of its own, and the names that can be pointed at inside it. */
export interface Resource {
  readonly base: string
  readonly root: Json
  readonly dialect: Dialect
  readonly anchors: Map<string, Json>
  readonly dynamicAnchors: Map<string, Json>
}

export const ONE_SCHEMA = [
  'additionalProperties',
  'unevaluatedProperties',
  'propertyNames',
  'items',
  'additionalItems',
  'unevaluatedItems',
  'contains',
  'not',
  'if',
  'then',
  'else',
] as const
const SCHEMA_LIST = ['allOf', 'anyOf', 'oneOf', 'prefixItems', 'items'] as const
const SCHEMA_MAP = [
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
] as const

const DIALECTS: Readonly<Record<string, Dialect>> = {
  'https://json-schema.org/draft/2020-12/schema': '2020-12',
  'http://json-schema.org/draft-07/schema': 'draft-07',
  'https://json-schema.org/draft-07/schema': 'draft-07',
}
const ROOT_BASE = 'writ-schema://root/'
const MAX_DEPTH = 48
const MAX_SCHEMAS = 5_000

export class Resources {
  readonly #byBase = new Map<string, Resource>()
  readonly #home = new Map<JsonObject, Resource>()
  readonly #root: Resource

  /** @throws {SchemaError} for an unknown dialect, too many or too deep subschemas, a clash of names */
  constructor(schema: Json) {
    const dialect = isJsonObject(schema) ? dialectOf(schema, '2020-12', '') : '2020-12'
    this.#root = makeResource(ROOT_BASE, schema, dialect)
    this.#byBase.set(ROOT_BASE, this.#root)
    this.#index(schema, this.#root, '', 0)
  }

  get root(): Resource {
    return this.#root
  }

  /** The resource that holds a subschema. */
  homeOf(schema: JsonObject): Resource {
    return this.#home.get(schema) ?? this.#root
  }

  /** Every schema of the document that a dynamic anchor of this name marks. */
  withDynamicAnchor(anchor: string): Json[] {
    const found = [...new Set(this.#byBase.values())].map((each) => each.dynamicAnchors.get(anchor))
    return found.filter((each) => each !== undefined)
  }

  /**
   * Finds what a `$ref` or `$dynamicRef` points at.
   *
   * @throws {SchemaError} when that is outside of the document or nowhere
   */
  find(reference: string, from: Resource, pointer: string): { schema: Json; resource: Resource } {
    const url = resolve(reference, from.base, pointer)
    const fragment = decodeFragment(url.hash, pointer)
    url.hash = ''
    const resource = this.#byBase.get(url.href)
    if (resource === undefined) {
      throw new SchemaError(
        `refers to ${JSON.stringify(reference)}, which is not in this definition; a remote schema is never fetched, copy it into $defs`,
        pointer,
      )
    }
    if (fragment === '') return { schema: resource.root, resource }
    if (fragment.startsWith('/')) return this.#follow(fragment, resource, reference, pointer)
    const schema = resource.anchors.get(fragment) ?? resource.dynamicAnchors.get(fragment)
    if (schema === undefined) {
      throw new SchemaError(`refers to ${JSON.stringify(reference)}, which does not exist`, pointer)
    }
    return { schema, resource }
  }

  #follow(fragment: string, start: Resource, reference: string, pointer: string) {
    let schema: Json | undefined = start.root
    let resource = start
    for (const token of fragment.slice(1).split('/')) {
      const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
      if (Array.isArray(schema)) schema = /^\d+$/.test(key) ? schema[Number(key)] : undefined
      else schema = isJsonObject(schema) && Object.hasOwn(schema, key) ? schema[key] : undefined
      if (isJsonObject(schema)) resource = this.#home.get(schema) ?? resource
    }
    if (!isSchema(schema)) {
      throw new SchemaError(`refers to ${JSON.stringify(reference)}, which is no schema`, pointer)
    }
    // Under a keyword that is not part of the dialect nothing was looked at yet.
    if (isJsonObject(schema) && !this.#home.has(schema)) this.#index(schema, resource, pointer, 1)
    return { schema, resource }
  }

  #index(schema: Json, parent: Resource, pointer: string, depth: number): void {
    if (!isJsonObject(schema)) {
      if (typeof schema === 'boolean') return
      throw new SchemaError('a schema must be an object, true or false', pointer)
    }
    if (depth > MAX_DEPTH) {
      throw new SchemaError(`schemas inside one another deeper than ${MAX_DEPTH}`, pointer)
    }
    if (this.#home.size >= MAX_SCHEMAS) throw new SchemaError(`more than ${MAX_SCHEMAS} subschemas`)
    const resource = this.#enter(schema, parent, pointer)
    this.#home.set(schema, resource)
    for (const [keyword, child] of Object.entries(schema)) {
      const at = `${pointer}/${keyword.replaceAll('~', '~0').replaceAll('/', '~1')}`
      if ((SCHEMA_LIST as readonly string[]).includes(keyword) && Array.isArray(child)) {
        for (const [i, each] of child.entries())
          this.#index(each, resource, `${at}/${i}`, depth + 1)
      } else if ((ONE_SCHEMA as readonly string[]).includes(keyword)) {
        this.#index(child, resource, at, depth + 1)
      } else if ((SCHEMA_MAP as readonly string[]).includes(keyword)) {
        if (!isJsonObject(child)) throw new SchemaError('must be an object of schemas', at)
        for (const [name, each] of Object.entries(child)) {
          if (keyword === 'dependencies' && Array.isArray(each)) continue
          const below = `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
          this.#index(each, resource, below, depth + 1)
        }
      }
    }
  }

  /** The resource a subschema belongs to: its parent's, or a new one when it has an `$id`. */
  #enter(schema: JsonObject, parent: Resource, pointer: string): Resource {
    let resource = parent
    const id = schema.$id
    // Draft-07 §8.3: beside `$ref` every other keyword is ignored, `$id` too.
    const ignored = parent.dialect === 'draft-07' && schema.$ref !== undefined
    if (typeof id === 'string' && !ignored) {
      const url = resolve(id, parent.base, pointer)
      const fragment = decodeFragment(url.hash, pointer)
      url.hash = ''
      if (fragment !== '') {
        if (parent.dialect !== 'draft-07') {
          throw new SchemaError('$id with a fragment; use $anchor', pointer)
        }
        name(parent.anchors, fragment, schema, pointer)
      } else {
        const dialect = dialectOf(schema, parent.dialect, pointer)
        resource =
          schema === parent.root
            ? { ...parent, base: url.href }
            : makeResource(url.href, schema, dialect)
        if (this.#byBase.has(url.href)) {
          throw new SchemaError(`two schemas have the $id ${JSON.stringify(id)}`, pointer)
        }
        this.#byBase.set(url.href, resource)
        // The address without an $id keeps working, so that both name one resource.
        if (schema === this.#root.root) this.#byBase.set(ROOT_BASE, resource)
      }
    } else if (schema.$schema !== undefined && pointer !== '') {
      throw new SchemaError('$schema below the root needs an $id beside it', pointer)
    }
    if (resource.dialect === '2020-12') {
      if (typeof schema.$anchor === 'string')
        name(resource.anchors, schema.$anchor, schema, pointer)
      if (typeof schema.$dynamicAnchor === 'string') {
        name(resource.dynamicAnchors, schema.$dynamicAnchor, schema, pointer)
      }
    }
    return resource
  }
}

export function isSchema(value: Json | undefined): value is JsonObject | boolean {
  return typeof value === 'boolean' || isJsonObject(value)
}

function makeResource(base: string, root: Json, dialect: Dialect): Resource {
  return { base, root, dialect, anchors: new Map(), dynamicAnchors: new Map() }
}

function name(names: Map<string, Json>, key: string, schema: JsonObject, pointer: string): void {
  if (names.has(key))
    throw new SchemaError(`two schemas have the anchor ${JSON.stringify(key)}`, pointer)
  names.set(key, schema)
}

function dialectOf(schema: JsonObject, inherited: Dialect, pointer: string): Dialect {
  const uri = schema.$schema
  if (uri === undefined) return inherited
  const dialect = typeof uri === 'string' ? DIALECTS[uri.replace(/#$/, '')] : undefined
  if (dialect === undefined) {
    throw new SchemaError(
      `$schema ${JSON.stringify(uri)} is not supported; use JSON Schema 2020-12 or draft-07`,
      pointer,
    )
  }
  return dialect
}

function resolve(reference: string, base: string, pointer: string): URL {
  try {
    return new URL(reference, base)
  } catch {
    throw new SchemaError(`${JSON.stringify(reference)} is no URI reference`, pointer)
  }
}

function decodeFragment(hash: string, pointer: string): string {
  try {
    return decodeURIComponent(hash.replace(/^#/, ''))
  } catch {
    throw new SchemaError(`the fragment ${JSON.stringify(hash)} is not valid`, pointer)
  }
}
