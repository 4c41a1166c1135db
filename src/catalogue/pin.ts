/** Writes down what a live MCP server offers, and says what has changed since. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { canonicalText } from '../action/hash.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from '../lib/json.ts'
import {
  type DefinitionKind,
  entriesOf,
  NAME_FORM,
  type PinFile,
  pinHash,
  pinnedMembers,
  SECTIONS,
} from './pin-file.ts'
import { vetDefinition } from './vet.ts'

const MAX_PAGES = 100
const MAX_DEFINITIONS = 2_000
const MAX_ANSWER_BYTES = 16 * 1024 * 1024

/**
 * Asks a server for everything it offers. Speaks both eras of the protocol.
 *
 * What cannot be used safely is left out and listed under `refused`, each with the reason.
 *
 * @throws {Error} when the server cannot be reached, or offers more than the bounds
 */
export async function pinServer(options: {
  readonly url: string
  /** What policies will call the server; made from what it calls itself when not given. */
  readonly name?: string
  readonly spiffeId?: string
  /** Our agent's, for a server that wants tokens. */
  readonly fetch?: typeof fetch
  readonly timeoutMs?: number
  readonly now?: number
}): Promise<PinFile> {
  const transport = new StreamableHTTPClientTransport(new URL(options.url), {
    fetch: bounded(options.fetch ?? fetch),
  })
  const client = new Client(
    { name: 'writ', version: '0.1.0' },
    { versionNegotiation: { mode: 'auto' }, listMaxPages: MAX_PAGES },
  )
  const request = { timeout: options.timeoutMs ?? 10_000 }
  try {
    await client.connect(transport, request)
    const offers = client.getServerCapabilities() ?? {}
    const offered: Record<DefinitionKind, readonly unknown[]> = {
      tool: offers.tools ? (await client.listTools(undefined, request)).tools : [],
      prompt: offers.prompts ? (await client.listPrompts(undefined, request)).prompts : [],
      resource: offers.resources ? (await client.listResources(undefined, request)).resources : [],
      resource_template: offers.resources
        ? (await client.listResourceTemplates(undefined, request)).resourceTemplates
        : [],
    }
    return makePin(offered, {
      name: options.name ?? nameFrom(client.getServerVersion()?.name, options.url),
      resource: options.url,
      spiffeId: options.spiffeId,
      pinnedAt: new Date((options.now ?? Date.now() / 1000) * 1000).toISOString(),
    })
  } finally {
    await client.close().catch(() => {})
  }
}

/**
 * A pin file out of definitions that are already in hand.
 *
 * @throws {Error} when there are too many, or they are no JSON
 */
export function makePin(
  offered: Partial<Record<DefinitionKind, readonly unknown[]>>,
  head: {
    readonly name: string
    readonly resource: string
    readonly spiffeId?: string | undefined
    readonly pinnedAt: string
  },
): PinFile {
  const refused: JsonObject[] = []
  const sections: Record<string, JsonObject[]> = {}
  for (const { kind, key, member } of SECTIONS) {
    const entries: JsonObject[] = []
    sections[member] = entries
    const list = offered[kind] ?? []
    if (list.length > MAX_DEFINITIONS) {
      throw new Error(`${head.resource} offers more than ${MAX_DEFINITIONS} ${member}`)
    }
    const known = new Set<string>()
    for (const each of list) {
      // Through text, so that what is hashed is what a strict reader of the file will see.
      const json = parseJson(JSON.stringify(each), { maxBytes: MAX_ANSWER_BYTES, maxDepth: 128 })
      const definition = pinnedMembers(kind, isJsonObject(json) ? json : {})
      const label = String(definition[key] ?? '')
      const why = known.has(label) ? 'is offered twice' : vetDefinition(kind, definition, false)
      known.add(label)
      if (why !== undefined) refused.push({ kind, name: label, why })
      else entries.push({ ...definition, hash: pinHash(kind, definition) })
    }
  }
  return {
    version: 1,
    name: head.name,
    resource: head.resource,
    ...(head.spiffeId === undefined ? {} : { spiffeId: head.spiffeId }),
    pinnedAt: head.pinnedAt,
    tools: sections.tools as JsonObject[],
    prompts: sections.prompts as JsonObject[],
    resources: sections.resources as JsonObject[],
    resourceTemplates: sections.resourceTemplates as JsonObject[],
    ...(refused.length === 0 ? {} : { refused }),
  }
}

export interface Difference {
  readonly change: 'added' | 'removed' | 'changed'
  readonly kind: DefinitionKind
  readonly name: string
  /** Which members differ, when it changed. */
  readonly members: readonly string[]
}

/** What is different in `after`. Order and decoration (titles, icons) make no difference. */
export function diffPins(before: PinFile | JsonObject, after: PinFile | JsonObject): Difference[] {
  const differences: Difference[] = []
  for (const section of SECTIONS) {
    const { kind, key, pinned } = section
    const old = new Map(
      entriesOf(before as JsonObject, section).map((each) => [String(each[key]), each]),
    )
    const now = new Map(
      entriesOf(after as JsonObject, section).map((each) => [String(each[key]), each]),
    )
    for (const [name, entry] of now) {
      const was = old.get(name)
      if (was === undefined) differences.push({ change: 'added', kind, name, members: [] })
      else {
        const members = [...pinned, 'argumentsOpen'].filter(
          (member) => !same(was[member], entry[member]),
        )
        if (members.length > 0) differences.push({ change: 'changed', kind, name, members })
      }
    }
    for (const name of old.keys()) {
      if (!now.has(name)) differences.push({ change: 'removed', kind, name, members: [] })
    }
  }
  return differences
}

function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return canonicalText(a) === canonicalText(b)
}

/** A `fetch` whose answers end with an error when together they grow past the bound. */
function bounded(send: typeof fetch): typeof fetch {
  let bytes = 0
  return async (...request) => {
    const response = await send(...request)
    if (response.body === null) return response
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.byteLength
        if (bytes > MAX_ANSWER_BYTES) {
          controller.error(new Error(`the server answers more than ${MAX_ANSWER_BYTES} bytes`))
        } else controller.enqueue(chunk)
      },
    })
    return new Response(response.body.pipeThrough(counted), response)
  }
}

/** An identifier out of what the server calls itself, or out of its host. */
function nameFrom(serverName: string | undefined, url: string): string {
  for (const candidate of [serverName, new URL(url).host, `server_${new URL(url).host}`]) {
    const name = (candidate ?? '')
      .replace(/[^A-Za-z0-9]+/g, '_')
      .replace(/^_+|_+$/g, '')
      .slice(0, 63)
    if (NAME_FORM.test(name)) return name
  }
  return 'server'
}
