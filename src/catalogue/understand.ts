/** Step 4 of the exchange: a known server, a known tool, arguments that its pinned schema accepts. */
import type { Action } from '../action/action.ts'
import type { JsonObject } from '../lib/json.ts'
import { type Reason, refuse } from '../refusal.ts'
import {
  type ArgumentCheck,
  compileArguments,
  compilePromptArguments,
  LIMIT_MS,
  TooCostly,
} from './arguments.ts'
import type { Catalogue, PinnedDefinition, PinnedServer } from './catalogue.ts'

export interface Understood {
  readonly server: PinnedServer
  /** What was pinned; `undefined` for tasks, whose ids no catalogue can know. */
  readonly definition: PinnedDefinition | undefined
  /** What the token carries: a tool's hash. Verifiers know no definitions of the other kinds. */
  readonly definitionHash: string | undefined
}

/**
 * Finds what an action is about and checks its arguments.
 *
 * @throws {Refusal} server_unknown, action_unknown, arguments_invalid, arguments_too_costly
 */
export function understand(catalogue: Catalogue, action: Action): Understood {
  const server = catalogue.servers.get(action.server)
  if (server === undefined) refuse({ code: 'server_unknown', server: action.server })
  const definition = find(server, action)
  if (definition === undefined) return { server, definition, definitionHash: undefined }
  if (definition.kind === 'tool' || definition.kind === 'prompt') {
    checkArguments(definition, action.arguments ?? {})
  } else if (action.arguments !== undefined && Object.keys(action.arguments).length > 0) {
    refuse({ code: 'arguments_invalid', path: '', detail: 'a resource takes no arguments' })
  }
  return {
    server,
    definition,
    definitionHash: definition.kind === 'tool' ? definition.hash : undefined,
  }
}

function find(server: PinnedServer, action: Action): PinnedDefinition | undefined {
  switch (action.method) {
    case 'tools/call':
      return server.tools.get(action.identifier) ?? refuse(unknown(action))
    case 'prompts/get':
      return server.prompts.get(action.identifier) ?? refuse(unknown(action))
    case 'resources/read':
      return (
        server.resources.get(action.identifier) ??
        theTemplate(server, action) ??
        refuse(unknown(action))
      )
    case 'tasks/get':
    case 'tasks/update':
    case 'tasks/cancel':
    case 'tasks/result':
      return undefined
    default:
      // A method that nobody has thought about here has no definition that could allow it.
      return refuse(unknown(action))
  }
}

/**
 * The one template that names a URI. Where two do, a policy about one of them would say nothing of
 * the other, and a forbid would be passed by: such a URI is refused.
 */
function theTemplate(server: PinnedServer, action: Action): PinnedDefinition | undefined {
  const named = server.resourceTemplates.filter((each) => each.matches(action.identifier))
  return named.length === 1 ? named[0]?.definition : undefined
}

function unknown(action: Action): Reason {
  return { code: 'action_unknown', method: action.method, identifier: action.identifier }
}

/** Compiled once per definition; definitions live as long as their catalogue. */
const compiled = new WeakMap<PinnedDefinition, ArgumentCheck>()

function checkArguments(definition: PinnedDefinition, args: JsonObject): void {
  let check = compiled.get(definition)
  if (check === undefined) {
    check =
      definition.kind === 'tool'
        ? compileArguments(
            definition.definition.inputSchema as JsonObject,
            definition.argumentsOpen,
          )
        : compilePromptArguments(definition.definition)
    compiled.set(definition, check)
  }
  let failure: ReturnType<ArgumentCheck['check']>
  try {
    failure = check.check(args)
  } catch (error) {
    if (!(error instanceof TooCostly)) throw error
    refuse({ code: 'arguments_too_costly', limitMs: LIMIT_MS }, error)
  }
  if (failure !== undefined) {
    refuse({ code: 'arguments_invalid', path: failure.path, detail: failure.detail })
  }
}
