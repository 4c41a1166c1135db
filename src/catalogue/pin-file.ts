/** The file that holds what was pinned of one MCP server, and what its members may be. */
import { hashDefinition, hashJson } from '../action/hash.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'

export type DefinitionKind = 'tool' | 'prompt' | 'resource' | 'resource_template'

/** One pinned definition as written: its members, `hash`, and `argumentsOpen` when it is open. */
export type PinnedEntry = JsonObject

export interface PinFile {
  readonly version: 1
  /** What policies call the server: the namespace of its actions. */
  readonly name: string
  /** The server's resource URI, as tokens name it. */
  readonly resource: string
  /** The server's own SPIFFE ID, when it has one. */
  readonly spiffeId?: string
  /** When it was pinned, RFC 3339 in UTC. */
  readonly pinnedAt: string
  readonly tools: readonly PinnedEntry[]
  readonly prompts: readonly PinnedEntry[]
  readonly resources: readonly PinnedEntry[]
  readonly resourceTemplates: readonly PinnedEntry[]
  /** What the server offered and cannot be used, with the reason; nobody can call it. */
  readonly refused?: readonly JsonObject[]
}

interface Section {
  readonly kind: DefinitionKind
  readonly member: 'tools' | 'prompts' | 'resources' | 'resourceTemplates'
  /** The member that identifies a definition. */
  readonly key: 'name' | 'uri' | 'uriTemplate'
  readonly pinned: readonly string[]
}

/** What is pinned of each kind: the members that say what it does and takes. */
export const SECTIONS: readonly Section[] = [
  {
    kind: 'tool',
    member: 'tools',
    key: 'name',
    pinned: ['name', 'description', 'inputSchema', 'outputSchema', 'annotations'],
  },
  {
    kind: 'prompt',
    member: 'prompts',
    key: 'name',
    pinned: ['name', 'description', 'arguments'],
  },
  {
    kind: 'resource',
    member: 'resources',
    key: 'uri',
    pinned: ['uri', 'name', 'description', 'mimeType'],
  },
  {
    kind: 'resource_template',
    member: 'resourceTemplates',
    key: 'uriTemplate',
    pinned: ['uriTemplate', 'name', 'description', 'mimeType'],
  },
]

/** A policy namespace: an identifier that is no word of Cedar's own. */
export const NAME_FORM =
  /^(?!(?:true|false|if|then|else|in|is|like|has|__cedar|Action|Workload|McpServer|TrustDomain|Path)$)[A-Za-z][A-Za-z0-9_]{0,62}$/

/** Keeps of a definition what is pinned, and nothing else. */
export function pinnedMembers(kind: DefinitionKind, definition: JsonObject): JsonObject {
  const kept: { [member: string]: Json } = {}
  for (const member of sectionOf(kind).pinned) {
    const value = Object.hasOwn(definition, member) ? definition[member] : undefined
    if (value !== undefined) kept[member] = value
  }
  return kept
}

/** A tool's hash is the one that travels in tokens; the others only show that a file was altered. */
export function pinHash(kind: DefinitionKind, definition: JsonObject): string {
  return kind === 'tool' ? hashDefinition(definition) : hashJson(pinnedMembers(kind, definition))
}

export function sectionOf(kind: DefinitionKind): Section {
  return SECTIONS.find((section) => section.kind === kind) as Section
}

/** The entries of one section; an absent section is an empty one. @throws {Error} in words */
export function entriesOf(file: JsonObject, section: Section): JsonObject[] {
  const list = Object.hasOwn(file, section.member) ? file[section.member] : []
  if (!Array.isArray(list) || !list.every((each) => isJsonObject(each as Json))) {
    throw new Error(`${section.member} must be a list of definitions`)
  }
  return list as JsonObject[]
}
