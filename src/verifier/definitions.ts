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

/** @throws {Error} when the file cannot be read or holds no `tools` */
export async function readDefinitions(file: string): Promise<Map<string, KnownTool>> {
  const json = parseJson(await readFile(file), { maxBytes: MAX_FILE_BYTES })
  const tools = isJsonObject(json) ? json.tools : undefined
  if (!Array.isArray(tools)) throw new Error(`${file}: expected an object with a list "tools"`)
  return definitionsOf(tools.map((tool) => (isPinned(tool) ? tool.definition : tool)))
}

/** A pin file may keep a definition next to what else was pinned about it. */
function isPinned(tool: Json): tool is JsonObject & { definition: JsonObject } {
  return isJsonObject(tool) && isJsonObject(tool.definition as Json)
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
