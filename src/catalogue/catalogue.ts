/**
 * What each MCP server was seen to offer when somebody looked, and nothing that it says since.
 *
 * Every hash is made again when a file is loaded: an edited definition that keeps its old hash would
 * be decided about as one thing and called as another.
 */
import { readFile } from 'node:fs/promises'
import { hashJson } from '../action/hash.ts'
import { isJsonObject, JsonError, type JsonObject, parseJson } from '../lib/json.ts'
import {
  type DefinitionKind,
  entriesOf,
  NAME_FORM,
  type PinFile,
  pinHash,
  pinnedMembers,
  SECTIONS,
} from './pin-file.ts'
import { compileTemplate, type TemplateMatch } from './uri-template.ts'
import { vetDefinition } from './vet.ts'

export type { DefinitionKind, PinFile } from './pin-file.ts'

/** What a server claims about an action (MCP `ToolAnnotations`); claims raise requirements, never lower them. */
export interface Hints {
  readonly readOnly: boolean
  readonly destructive: boolean
  readonly idempotent: boolean
  readonly openWorld: boolean
}

export interface PinnedDefinition {
  readonly kind: DefinitionKind
  /** A tool's or prompt's name, a resource's URI, a template's text. */
  readonly name: string
  readonly hash: string
  /** The pinned members only. */
  readonly definition: JsonObject
  /** Whether arguments that the schema does not declare may be sent. */
  readonly argumentsOpen: boolean
  readonly annotations: Hints
}

export interface PinnedServer {
  /** What policies call the server: the namespace of its actions. */
  readonly name: string
  readonly resource: string
  readonly spiffeId: string | undefined
  readonly pinnedAt: string
  readonly tools: ReadonlyMap<string, PinnedDefinition>
  readonly prompts: ReadonlyMap<string, PinnedDefinition>
  /** By URI. */
  readonly resources: ReadonlyMap<string, PinnedDefinition>
  readonly resourceTemplates: readonly { definition: PinnedDefinition; matches: TemplateMatch }[]
}

export interface Catalogue {
  /** By resource URI. */
  readonly servers: ReadonlyMap<string, PinnedServer>
  /** Changes whenever anything that decisions depend on does. */
  readonly version: string
}

const MAX_FILE_BYTES = 16 * 1024 * 1024
const MEMBERS = ['version', 'name', 'resource', 'spiffeId', 'pinnedAt', 'refused']

/**
 * Loads the pinned definitions of every configured server.
 *
 * @throws {Error} that lists every problem of every file, each with what to do
 */
export async function loadCatalogue(
  servers: readonly { readonly resource: string; readonly file: string }[],
): Promise<Catalogue> {
  const problems: string[] = []
  const byResource = new Map<string, PinnedServer>()
  const names = new Set<string>()
  for (const { resource, file } of servers) {
    const say = (problem: string) => problems.push(`${file}: ${problem}`)
    const parsed = await readPinFile(file, say)
    if (parsed === undefined) continue
    const server = parseServer(parsed, say)
    if (server === undefined) continue
    if (server.resource !== resource) {
      say(
        `is pinned for ${server.resource} but configured for ${resource}; pin ${resource}, or correct the configuration`,
      )
    } else if (byResource.has(resource)) say(`${resource} is configured twice; remove one`)
    else if (names.has(server.name)) {
      say(`another server is called "${server.name}" too; change "name" in one of the files`)
    } else {
      byResource.set(resource, server)
      names.add(server.name)
    }
  }
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return { servers: byResource, version: versionOf([...byResource.values()]) }
}

/** A catalogue of servers that are already known; for tests and tools that make pins themselves. */
export function catalogueOf(files: readonly (PinFile | JsonObject)[]): Catalogue {
  const problems: string[] = []
  const servers = files.map((file) =>
    parseServer(file as JsonObject, (problem) => problems.push(problem)),
  )
  if (problems.length > 0) throw new Error(problems.join('\n'))
  const known = servers.filter((server) => server !== undefined)
  return {
    servers: new Map(known.map((server) => [server.resource, server])),
    version: versionOf(known),
  }
}

async function readPinFile(
  file: string,
  say: (problem: string) => void,
): Promise<JsonObject | undefined> {
  try {
    const json = parseJson(await readFile(file), { maxBytes: MAX_FILE_BYTES, maxDepth: 128 })
    if (isJsonObject(json)) return json
    say('is no JSON object; make it with `writ catalogue pin`')
  } catch (error) {
    const why =
      error instanceof JsonError ? `is not strict JSON: ${error.message}` : 'cannot be read'
    say(`${why}; make it with \`writ catalogue pin\``)
  }
  return undefined
}

function parseServer(file: JsonObject, say: (problem: string) => void): PinnedServer | undefined {
  const { name, resource, spiffeId, pinnedAt } = file
  if (file.version !== 1) say('version must be 1; pin the server again')
  if (typeof name !== 'string' || !NAME_FORM.test(name)) {
    say('name must be an identifier, as in "notes"; policies use it')
    return undefined
  }
  if (typeof resource !== 'string' || !URL.canParse(resource)) {
    say('resource must be the URI of the server')
    return undefined
  }
  if (
    spiffeId !== undefined &&
    (typeof spiffeId !== 'string' || !spiffeId.startsWith('spiffe://'))
  ) {
    say('spiffeId must be a SPIFFE ID')
  }
  for (const member of Object.keys(file)) {
    if (!MEMBERS.includes(member) && !SECTIONS.some((section) => section.member === member)) {
      say(`${JSON.stringify(member)} is not a member of a pin file; remove it`)
    }
  }
  const found = {
    tool: new Map(),
    prompt: new Map(),
    resource: new Map(),
    resource_template: new Map(),
  } as Record<DefinitionKind, Map<string, PinnedDefinition>>
  for (const section of SECTIONS) {
    for (const entry of listed(file, section, say)) {
      const definition = parseEntry(section.kind, section.key, entry, say)
      if (definition === undefined) continue
      const known = found[section.kind]
      if (known.has(definition.name)) say(`${shown(definition)} is there twice; remove one`)
      known.set(definition.name, definition)
    }
  }
  return {
    name,
    resource,
    spiffeId: spiffeId as string | undefined,
    pinnedAt: typeof pinnedAt === 'string' ? pinnedAt : '',
    tools: found.tool,
    prompts: found.prompt,
    resources: found.resource,
    resourceTemplates: templatesOf(found.resource_template),
  }
}

function listed(
  file: JsonObject,
  section: (typeof SECTIONS)[number],
  say: (problem: string) => void,
): readonly JsonObject[] {
  try {
    return entriesOf(file, section)
  } catch (error) {
    say(`${(error as Error).message}; pin the server again`)
    return []
  }
}

function parseEntry(
  kind: DefinitionKind,
  key: string,
  entry: JsonObject,
  say: (problem: string) => void,
): PinnedDefinition | undefined {
  const definition = pinnedMembers(kind, entry)
  const { hash, argumentsOpen, ...others } = entry
  const label = `${kind.replace('_', ' ')} ${JSON.stringify(entry[key] ?? null)}`
  const unknown = Object.keys(others).find((member) => !Object.hasOwn(definition, member))
  if (unknown !== undefined) {
    say(`${label}: ${JSON.stringify(unknown)} is not pinned; remove it`)
    return undefined
  }
  if (argumentsOpen !== undefined && typeof argumentsOpen !== 'boolean') {
    say(`${label}: argumentsOpen must be true or false`)
    return undefined
  }
  const open = argumentsOpen === true
  const why = vetDefinition(kind, definition, open)
  if (why !== undefined) {
    say(`${label}: ${why}; correct the server and pin it again, or remove it from the file`)
    return undefined
  }
  if (hash !== pinHash(kind, definition)) {
    say(
      `${label}: its hash does not fit, so it was changed after it was pinned; look at the change and pin the server again`,
    )
    return undefined
  }
  const name = definition[key] as string
  return { kind, name, hash, definition, argumentsOpen: open, annotations: hintsOf(definition) }
}

function templatesOf(
  known: ReadonlyMap<string, PinnedDefinition>,
): PinnedServer['resourceTemplates'] {
  return [...known.values()].map((definition) => ({
    definition,
    matches: compileTemplate(definition.name),
  }))
}

/** Absent hints mean the careful thing: not read-only, destructive, not idempotent, open (MCP, server/tools). */
function hintsOf(definition: JsonObject): Hints {
  const given = isJsonObject(definition.annotations) ? definition.annotations : {}
  const readOnly = given.readOnlyHint === true || definition.inputSchema === undefined
  return {
    readOnly,
    destructive: !readOnly && given.destructiveHint !== false,
    idempotent: given.idempotentHint === true,
    openWorld: given.openWorldHint !== false,
  }
}

function versionOf(servers: readonly PinnedServer[]): string {
  const described = servers.map((server) => ({
    name: server.name,
    resource: server.resource,
    spiffeId: server.spiffeId ?? null,
    definitions: [
      ...server.tools.values(),
      ...server.prompts.values(),
      ...server.resources.values(),
      ...server.resourceTemplates.map((template) => template.definition),
    ].map((each) => [each.kind, each.name, each.hash, each.argumentsOpen]),
  }))
  return hashJson(described.sort((a, b) => (a.resource < b.resource ? -1 : 1)))
}

function shown(definition: PinnedDefinition): string {
  return `${definition.kind.replace('_', ' ')} ${JSON.stringify(definition.name)}`
}
