/**
 * What policies can talk about: the Cedar schema, made from the catalogue.
 *
 * Named as Cedar's MCP schema generator names things (an action per tool, called as the tool is, in a
 * namespace per server; arguments under `context.input`), with one principal and one resource type for
 * all servers, so that a policy can span them. The generator itself is not used at run time: it refuses
 * names with a hyphen and boolean schemas, which real servers have. A test holds the two together.
 */
import type { ActionType, NamespaceDefinition, SchemaJson } from '@cedar-policy/cedar-wasm/nodejs'
import type { Catalogue, PinnedDefinition, PinnedServer } from '../catalogue/catalogue.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { type CedarType, cedarType, type Member, record, type Shape, STRING } from './shape.ts'
import { shapeOfArguments } from './shape-of.ts'

export interface EntityId {
  readonly type: string
  readonly id: string
}

/** One thing that can be decided about on one server. */
export interface KnownAction {
  readonly uid: EntityId
  /** The group it belongs to, as `Action::"mcp:tools"`; spans all servers. */
  readonly group: EntityId
  readonly server: PinnedServer
  readonly definition: PinnedDefinition | undefined
  /** How its arguments look; `undefined` when `context` has no `input`. */
  readonly input: (Shape & { kind: 'record' }) | undefined
}

export interface Vocabulary {
  readonly schema: SchemaJson<string>
  /** Every action, by the server's resource URI and then by `actionId`. */
  readonly actions: ReadonlyMap<string, ReadonlyMap<string, KnownAction>>
  readonly servers: readonly string[]
}

export const SESSION_ACTION = 'mcp:session'
export const TASK_ACTION = 'mcp:task'
export const DELEGATION_ACTION = 'mcp:delegation'
const GROUPS = {
  tool: 'mcp:tools',
  prompt: 'mcp:prompts',
  resource: 'mcp:resources',
  resource_template: 'mcp:resources',
  task: 'mcp:tasks',
  session: 'mcp:sessions',
  delegation: 'mcp:delegations',
} as const

/** What an action is called inside its server's namespace. */
export function actionId(definition: PinnedDefinition): string {
  if (definition.kind === 'tool') return definition.name
  return definition.kind === 'prompt'
    ? `mcp:prompt:${definition.name}`
    : `mcp:resource:${definition.name}`
}

export function vocabularyOf(catalogue: Catalogue): Vocabulary {
  const actions = new Map<string, Map<string, KnownAction>>()
  const schema: Record<string, NamespaceDefinition<string>> = { '': COMMON }
  for (const server of catalogue.servers.values()) {
    const known = actionsOf(server)
    actions.set(server.resource, known)
    const described = [...known].map(([id, action]) => [id, describe(action)] as const)
    schema[server.name] = { entityTypes: {}, actions: Object.fromEntries(described) }
  }
  return { schema, actions, servers: [...catalogue.servers.keys()] }
}

function actionsOf(server: PinnedServer): Map<string, KnownAction> {
  const known = new Map<string, KnownAction>()
  const add = (
    id: string,
    group: keyof typeof GROUPS,
    definition: PinnedDefinition | undefined,
    input: KnownAction['input'],
  ) =>
    known.set(id, {
      uid: { type: `${server.name}::Action`, id },
      group: { type: 'Action', id: GROUPS[group] },
      server,
      definition,
      input,
    })
  add(SESSION_ACTION, 'session', undefined, undefined)
  add(DELEGATION_ACTION, 'delegation', undefined, undefined)
  add(TASK_ACTION, 'task', undefined, texts(['taskId']))
  for (const tool of server.tools.values()) {
    add(actionId(tool), 'tool', tool, shapeOfArguments(tool.definition.inputSchema as JsonObject))
  }
  for (const prompt of server.prompts.values()) {
    add(actionId(prompt), 'prompt', prompt, promptInput(prompt.definition))
  }
  const templates = server.resourceTemplates.map((template) => template.definition)
  for (const resource of [...server.resources.values(), ...templates]) {
    add(actionId(resource), resource.kind, resource, texts(['uri']))
  }
  return known
}

function texts(names: readonly string[]): Shape & { kind: 'record' } {
  return {
    kind: 'record',
    members: new Map(names.map((name) => [name, { shape: { kind: 'string' }, required: true }])),
  }
}

function promptInput(definition: JsonObject): Shape & { kind: 'record' } {
  const members = new Map<string, Member>()
  for (const each of Array.isArray(definition.arguments) ? definition.arguments : []) {
    if (!isJsonObject(each)) continue
    members.set(each.name as string, {
      shape: { kind: 'string' },
      required: each.required === true,
    })
  }
  return { kind: 'record', members }
}

const BOOLEAN: CedarType = { type: 'Boolean' }
const must = (type: CedarType) => ({ ...type, required: true })
const may = (type: CedarType) => ({ ...type, required: false })

/** What `context` holds for every action. `request.ts` fills it, member by member. */
const CONTEXT = {
  workload: must(
    record({
      id: must(STRING),
      kind: must(STRING),
      issuer: must(STRING),
      attributes: must(STRING),
    }),
  ),
  trustDomain: may(STRING),
  principal: must(STRING),
  user: may({ type: 'Entity', name: 'User' }),
  delegated: must(BOOLEAN),
  actors: must({ type: 'Set', element: STRING }),
  server: must(STRING),
  serverSpiffeId: may(STRING),
  task: may(STRING),
  time: must({ type: 'Extension', name: 'datetime' }),
  address: may({ type: 'Extension', name: 'ipaddr' }),
  binding: must(STRING),
}
const TOOL = record({
  kind: must(STRING),
  name: must(STRING),
  readOnly: must(BOOLEAN),
  destructive: must(BOOLEAN),
  idempotent: must(BOOLEAN),
  openWorld: must(BOOLEAN),
})
/** What is handed on: one element of a ceiling. */
const HANDED_ON = {
  delegate: must(STRING),
  methods: must({ type: 'Set', element: STRING }),
  names: must({ type: 'Set', element: STRING }),
  argumentsFixed: must(BOOLEAN),
}
const CONTINUATION = record({ responses: must(STRING), state: may(STRING) })

function describe(action: KnownAction): ActionType<string> {
  const attributes = {
    ...CONTEXT,
    ...(action.definition === undefined ? {} : { tool: must(TOOL) }),
    ...(action.uid.id === DELEGATION_ACTION ? HANDED_ON : {}),
    ...(action.input === undefined
      ? {}
      : { input: must(cedarType(action.input)), continuation: may(CONTINUATION) }),
  }
  return {
    memberOf: [{ type: action.group.type, id: action.group.id }],
    appliesTo: {
      principalTypes: ['Workload'],
      resourceTypes: ['McpServer'],
      context: record(attributes) as never,
    },
  }
}

/** Verified attributes: `principal.hasTag("team") && principal.getTag("team").contains("red")`. */
const TAGS: CedarType = { type: 'Set', element: STRING }

/** Types and groups that belong to no server. */
const COMMON: NamespaceDefinition<string> = {
  entityTypes: {
    Workload: { memberOfTypes: ['TrustDomain', 'Path', 'Issuer'], tags: TAGS },
    User: { shape: record({ id: must(STRING), issuer: must(STRING) }) as never, tags: TAGS },
    TrustDomain: {},
    Path: {},
    Issuer: {},
    McpServer: {},
  },
  actions: Object.fromEntries([...new Set(Object.values(GROUPS))].map((id) => [id, {}])),
}
