/**
 * An `mcp_action` element as a client asks for it: the action itself, with its arguments in full,
 * because policy and the person who approves have to see them.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import type { Action, ActionMethod, ContinuationInput, TaskMethod } from './action.ts'
import { hasOnlyText, isIdentifier, type MethodRule, ruleOf } from './demand.ts'
import { MCP_ACTION_TYPE } from './granted.ts'

const MEMBERS = new Set([
  'type',
  'locations',
  'actions',
  'identifier',
  'arguments',
  'input',
  'task',
])
const INPUT_MEMBERS = new Set(['inputResponses', 'requestState'])
/** What a task may be called. */
export const TASK_FORM = /^[\w.:@/-]{1,128}$/

/**
 * Reads the `authorization_details` of a token request (RFC 9396 §2): exactly one `mcp_action`.
 *
 * @throws {Refusal} `details_invalid`
 */
export function parseRequestedDetails(json: Json): { action: Action; element: JsonObject } {
  if (!Array.isArray(json)) invalid('authorization_details must be an array')
  if (json.length !== 1) invalid('authorization_details must have exactly one element')
  const element: Json | undefined = json[0]
  if (!isJsonObject(element)) invalid('an element must be an object')
  if (element.type !== MCP_ACTION_TYPE) invalid(`type must be ${MCP_ACTION_TYPE}`)
  onlyMembers(element, MEMBERS, 'an element has a member that requests do not know')

  const server = singleText(element.locations, 'locations')
  const method = singleText(element.actions, 'actions')
  const rule = ruleOf(method)
  if (rule?.token !== 'action') invalid('actions must name a method that takes an action token')
  const { identifier } = element
  if (!isIdentifier(identifier)) invalid('identifier must be a name of at most 2048 characters')
  const action: Action = {
    server,
    method: method as ActionMethod | TaskMethod,
    identifier,
    arguments: parseArguments(element, rule),
    input: parseInput(element, rule),
    task: parseTask(element),
  }
  return { action, element }
}

type ActionRule = MethodRule & { readonly token: 'action' }

function parseArguments(element: JsonObject, rule: ActionRule): JsonObject | undefined {
  const given = Object.hasOwn(element, 'arguments')
  if (rule.arguments === 'none') {
    if (given) invalid('this method takes no arguments')
    return undefined
  }
  if (!given) return {}
  const args = element.arguments
  if (!isJsonObject(args)) invalid('arguments must be an object')
  if (rule.arguments === 'text' && !hasOnlyText(args)) {
    invalid('arguments of a prompt must be strings')
  }
  return args
}

function parseInput(element: JsonObject, rule: ActionRule): ContinuationInput | undefined {
  if (!Object.hasOwn(element, 'input')) return undefined
  // A task token is good for whatever its task is told, so there is no input to bind it to.
  if (!rule.input || rule.task) invalid('this method continues no earlier round')
  const { input } = element
  if (!isJsonObject(input)) invalid('input must be an object')
  onlyMembers(input, INPUT_MEMBERS, 'input has a member that is not known')
  const { inputResponses, requestState } = input
  if (inputResponses === undefined && requestState === undefined) {
    invalid('input must have inputResponses or requestState')
  }
  if (inputResponses !== undefined && !isJsonObject(inputResponses)) {
    invalid('input.inputResponses must be an object')
  }
  if (requestState !== undefined && typeof requestState !== 'string') {
    invalid('input.requestState must be a string')
  }
  return input as ContinuationInput
}

function parseTask(element: JsonObject): string | undefined {
  if (!Object.hasOwn(element, 'task')) return undefined
  const { task } = element
  if (typeof task !== 'string' || !TASK_FORM.test(task)) {
    invalid('task must be 1 to 128 characters of A-Z a-z 0-9 _ . : @ / -')
  }
  return task
}

function singleText(value: Json | undefined, member: string): string {
  if (Array.isArray(value) && value.length === 1) {
    const text: Json = value[0]
    if (typeof text === 'string' && text !== '') return text
  }
  invalid(`${member} must be an array of one string`)
}

function onlyMembers(object: JsonObject, known: ReadonlySet<string>, detail: string): void {
  for (const member of Object.keys(object)) if (!known.has(member)) invalid(detail)
}

function invalid(detail: string): never {
  refuse({ code: 'details_invalid', detail })
}
