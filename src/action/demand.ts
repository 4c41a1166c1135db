/**
 * What a message demands: an action token made for it alone, a session token, or nothing we give.
 *
 * The table is the whole decision. A method that is not in it is refused, so a method that a future
 * revision adds does nothing until somebody has thought about it.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import type { ActionMethod, ContinuationInput, TaskMethod } from './action.ts'
import type { Message } from './message.ts'

export interface ActionDemand {
  readonly token: 'action'
  readonly method: ActionMethod | TaskMethod
  /** `params.name`, `params.uri` or `params.taskId`, byte for byte. */
  readonly identifier: string
  /** `{}` when the message has none; `undefined` for methods that take none. */
  readonly arguments: JsonObject | undefined
  /** Present exactly when the message continues an earlier round. */
  readonly input: ContinuationInput | undefined
}

export interface SessionDemand {
  readonly token: 'session'
  /** A JSON-RPC method, `response`, or the HTTP method of a request without a message. */
  readonly method: string
  /** Whether the answer stays open, and so must end when the token does. */
  readonly stream: boolean
}

export type Demand = ActionDemand | SessionDemand

/** How one method is treated. */
export type MethodRule =
  | {
      readonly token: 'action'
      /** The member of `params` that names what is acted on. */
      readonly identifier: 'name' | 'uri' | 'taskId'
      readonly arguments: 'json' | 'text' | 'none'
      /** Whether `inputResponses` and `requestState` may continue an earlier round. */
      readonly input: boolean
      /** Bound to a task's id, several uses, instead of to one request. */
      readonly task: boolean
    }
  | { readonly token: 'session'; readonly stream: boolean }

const SESSION: MethodRule = { token: 'session', stream: false }
const STREAM: MethodRule = { token: 'session', stream: true }

function task(input: boolean): MethodRule {
  return { token: 'action', identifier: 'taskId', arguments: 'none', input, task: true }
}

/** Every method of revisions 2025-11-25 and 2026-07-28 that is served; `notifications/*` besides. */
export const METHODS: Readonly<Record<string, MethodRule>> = Object.freeze({
  'tools/call': {
    token: 'action',
    identifier: 'name',
    arguments: 'json',
    input: true,
    task: false,
  },
  'prompts/get': {
    token: 'action',
    identifier: 'name',
    arguments: 'text',
    input: true,
    task: false,
  },
  'resources/read': {
    token: 'action',
    identifier: 'uri',
    arguments: 'none',
    input: true,
    task: false,
  },
  'tasks/get': task(false),
  'tasks/update': task(true),
  'tasks/cancel': task(false),
  'tasks/result': task(false),
  'server/discover': SESSION,
  initialize: SESSION,
  ping: SESSION,
  'tools/list': SESSION,
  'prompts/list': SESSION,
  'resources/list': SESSION,
  'resources/templates/list': SESSION,
  'tasks/list': SESSION,
  'completion/complete': SESSION,
  'logging/setLevel': SESSION,
  'subscriptions/listen': STREAM,
  'resources/subscribe': STREAM,
  'resources/unsubscribe': SESSION,
} satisfies Record<string, MethodRule>)

/** The methods one task token is good for. */
export const TASK_METHODS: readonly TaskMethod[] = [
  'tasks/get',
  'tasks/update',
  'tasks/cancel',
  'tasks/result',
]

const NOTIFICATION_FORM = /^notifications(\/[A-Za-z_]+)+$/
/** Longer names and URIs exist nowhere, and would not fit a token in a header. */
export const MAX_IDENTIFIER_LENGTH = 2048

/** @throws {Refusal} `method_unknown`, or `message_malformed` when the message does not fit its method */
export function demandOf(message: Message): Demand {
  const { method, kind, params } = message
  if (method === undefined) return { token: 'session', method: 'response', stream: false }
  if (NOTIFICATION_FORM.test(method)) {
    if (kind !== 'notification') malformed('a notification must not have an id')
    return { token: 'session', method, stream: false }
  }
  const rule = ruleOf(method)
  if (rule === undefined) refuse({ code: 'method_unknown', method })
  if (kind !== 'request') malformed(`${method} must be a request`)
  if (rule.token === 'session') return { token: 'session', method, stream: rule.stream }

  const given = params ?? {}
  onlyBoundMembers(given, rule)
  const identifier = member(given, rule.identifier)
  if (!isIdentifier(identifier)) malformed(`params.${rule.identifier} must be a name`)
  return {
    token: 'action',
    method: method as ActionMethod | TaskMethod,
    identifier,
    arguments:
      rule.arguments === 'none' ? undefined : parseArguments(given, rule.arguments === 'text'),
    input: parseInput(given),
  }
}

/** The older era's stream (GET) and end of session (DELETE), which carry no message. */
export function demandOfHttp(method: 'GET' | 'DELETE'): SessionDemand {
  return { token: 'session', method, stream: method === 'GET' }
}

/** The rule of a method; `undefined` for what is refused. Notifications have no rule of their own. */
export function ruleOf(method: string): MethodRule | undefined {
  return Object.hasOwn(METHODS, method) ? METHODS[method] : undefined
}

export function isTaskMethod(method: string): method is TaskMethod {
  return (TASK_METHODS as readonly string[]).includes(method)
}

export function isIdentifier(value: Json | undefined): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_IDENTIFIER_LENGTH
}

/**
 * What is not bound must not be there: a member that no hash covers could change what runs under a
 * token made for something else. `_meta` describes the request and is never part of it; `task`, with
 * which the older era turns a call into a task, is refused here like any other.
 */
function onlyBoundMembers(params: JsonObject, rule: MethodRule & { token: 'action' }): void {
  for (const name of Object.keys(params)) {
    const bound =
      name === rule.identifier ||
      (name === 'arguments' && rule.arguments !== 'none') ||
      ((name === 'inputResponses' || name === 'requestState') && rule.input) ||
      name === '_meta'
    if (!bound) malformed('params has a member that no token can be bound to')
  }
}

/** @throws {Refusal} `message_malformed` */
function parseArguments(params: JsonObject, textOnly: boolean): JsonObject {
  const args = member(params, 'arguments')
  if (args === undefined) return {}
  if (!isJsonObject(args)) malformed('params.arguments must be an object')
  if (textOnly && !hasOnlyText(args)) malformed('arguments of a prompt must be strings')
  return args
}

/** Prompts take strings only. */
export function hasOnlyText(args: JsonObject): boolean {
  return Object.values(args).every((value) => typeof value === 'string')
}

function parseInput(params: JsonObject): ContinuationInput | undefined {
  const inputResponses = member(params, 'inputResponses')
  const requestState = member(params, 'requestState')
  if (inputResponses === undefined && requestState === undefined) return undefined
  if (inputResponses !== undefined && !isJsonObject(inputResponses)) {
    malformed('params.inputResponses must be an object')
  }
  if (requestState !== undefined && typeof requestState !== 'string') {
    malformed('params.requestState must be a string')
  }
  return {
    ...(inputResponses !== undefined && { inputResponses }),
    ...(requestState !== undefined && { requestState }),
  }
}

function member(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined
}

function malformed(detail: string): never {
  refuse({ code: 'message_malformed', detail })
}
