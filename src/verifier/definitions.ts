import { readFile } from 'node:fs/promises'
import type { ActionDemand } from '../action/demand.ts'
import { hashDefinition } from '../action/hash.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from '../lib/json.ts'
import { refuse } from '../refusal.ts'

/**
 * What a verifier is told about its own server's tools: a list as `tools/list` answers it, a pin
 * file (`writ catalogue pin`), or the explicit word `unchecked`.
 */
export type DefinitionsOption = readonly JsonObject[] | { readonly file: string } | 'unchecked'

/** What is known of each tool by its name, or `undefined` when definitions are not checked. */
export type Definitions = ReadonlyMap<string, KnownTool> | undefined

export interface KnownTool {
  readonly hash: string
  readonly inputSchema: JsonObject | undefined
}

const MAX_FILE_BYTES = 16 * 1024 * 1024

/** @throws {TypeError} on a tool without a name, or two of one name */
export function definitionsOf(tools: readonly unknown[]): Map<string, KnownTool> {
  const known = new Map<string, KnownTool>()
  for (const tool of tools) {
    const { name, inputSchema } = isJsonObject(tool as Json) ? (tool as JsonObject) : {}
    if (typeof name !== 'string') throw new TypeError('definitions: a tool has no name')
    if (known.has(name)) throw new TypeError(`definitions: two tools are named "${name}"`)
    known.set(name, {
      hash: hashDefinition(tool as JsonObject),
      inputSchema: isJsonObject(inputSchema) ? inputSchema : undefined,
    })
  }
  return known
}

/**
 * Reads a pin file (`writ catalogue pin`).
 *
 * @throws {Error} when it cannot be read, is another server's, or was altered after it was pinned
 */
export async function readDefinitions(
  file: string,
  resource: string,
): Promise<Map<string, KnownTool>> {
  const json = parseJson(await readFile(file), { maxBytes: MAX_FILE_BYTES })
  const pin = isJsonObject(json) ? json : {}
  if (!Array.isArray(pin.tools)) throw new Error(`${file}: expected an object with a list "tools"`)
  if (pin.resource !== undefined && pin.resource !== resource) {
    throw new Error(`${file}: pinned for another server than ${resource}`)
  }
  const known = definitionsOf(pin.tools)
  for (const { name, hash } of pin.tools as readonly { name: string; hash?: string }[]) {
    if (hash !== undefined && hash !== known.get(name)?.hash) {
      throw new Error(`${file}: the definition of "${name}" is not the one that was pinned`)
    }
  }
  return known
}

/**
 * The definition hash that the token for this demand has to name; `undefined` when nothing is to
 * be compared. Only tools have a definition a caller can have been misled by.
 *
 * @throws {Refusal} definition_unknown: a tool this server did not list is not one a person agreed to
 */
export function definitionHashFor(
  definitions: Definitions,
  demand: ActionDemand,
): string | undefined {
  if (definitions === undefined || demand.method !== 'tools/call') return undefined
  const known = definitions.get(demand.identifier)
  if (known === undefined) refuse({ code: 'definition_unknown', identifier: demand.identifier })
  return known.hash
}

/** The schema of the called tool's arguments, which says what `Mcp-Param-*` headers must repeat. */
export function inputSchemaOf(
  definitions: Definitions,
  demand: ActionDemand,
): JsonObject | undefined {
  return demand.method === 'tools/call'
    ? definitions?.get(demand.identifier)?.inputSchema
    : undefined
}
