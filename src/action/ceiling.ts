/**
 * `mcp_ceiling`: the most that somebody may do who acts under a delegation. A list of elements, of
 * which one must allow an action in every part. Names are names, byte for byte: nothing is a pattern,
 * so that whether one ceiling lies within another can be said without guessing.
 */
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type CeilingPart, refuse } from '../refusal.ts'
import type { Action } from './action.ts'
import { canonicalText } from './canonical.ts'
import { isIdentifier, ruleOf } from './demand.ts'
import { equalHash, hashArguments, isHash } from './hash.ts'
import { TASK_FORM } from './requested.ts'

export const MCP_CEILING_TYPE = 'mcp_ceiling'

/** All lists are sets: not empty, nothing twice. */
export interface CeilingElement {
  readonly type: typeof MCP_CEILING_TYPE
  /** Resource URIs of MCP servers. */
  readonly locations: readonly string[]
  /** Methods that take an action token. */
  readonly actions: readonly string[]
  /** `params.name`, `params.uri` or `params.taskId`, byte for byte. */
  readonly identifiers: readonly string[]
  /** Exactly these arguments; any, when it is absent. */
  readonly arguments_hash?: string
}

export type Ceiling = readonly CeilingElement[]

export const MAX_CEILING_ELEMENTS = 16
export const MAX_CEILING_LOCATIONS = 8
export const MAX_CEILING_IDENTIFIERS = 64
/** Of its canonical text, so that a token with it still fits where tokens go. */
export const MAX_CEILING_BYTES = 8 * 1024

const MAX_LOCATION_LENGTH = 2048
const MAX_METHODS = 8
const MEMBERS = new Set(['type', 'locations', 'actions', 'identifiers', 'arguments_hash'])

/** What is wrong with a ceiling. The message holds nothing of its values. */
export class CeilingError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CeilingError'
  }
}

/** @throws {CeilingError} saying which member is wrong */
export function parseCeiling(json: Json): Ceiling {
  if (!Array.isArray(json) || json.length === 0 || json.length > MAX_CEILING_ELEMENTS) {
    throw new CeilingError(`a ceiling must be an array of 1 to ${MAX_CEILING_ELEMENTS} elements`)
  }
  const ceiling = json.map(parseElement)
  if (Buffer.byteLength(canonicalText(json)) > MAX_CEILING_BYTES) {
    throw new CeilingError(`a ceiling must have at most ${MAX_CEILING_BYTES} bytes`)
  }
  return ceiling
}

function parseElement(element: Json): CeilingElement {
  if (!isJsonObject(element)) throw new CeilingError('an element must be an object')
  if (element.type !== MCP_CEILING_TYPE) throw new CeilingError(`type must be ${MCP_CEILING_TYPE}`)
  for (const member of Object.keys(element)) {
    if (!MEMBERS.has(member)) throw new CeilingError('an element has a member that is not known')
  }
  const locations = setOf(element, 'locations', MAX_CEILING_LOCATIONS, isLocation)
  const actions = setOf(element, 'actions', MAX_METHODS, isActionMethod)
  const identifiers = setOf(element, 'identifiers', MAX_CEILING_IDENTIFIERS, isLiteral)
  const parsed = { type: MCP_CEILING_TYPE, locations, actions, identifiers } as const
  if (!Object.hasOwn(element, 'arguments_hash')) return parsed
  const { arguments_hash } = element
  if (!isHash(arguments_hash)) throw new CeilingError('arguments_hash must be a hash')
  if (!actions.every(takesArguments)) {
    throw new CeilingError('arguments_hash must stand beside methods that take arguments only')
  }
  return { ...parsed, arguments_hash }
}

function setOf(
  element: JsonObject,
  member: string,
  most: number,
  isGood: (value: string) => boolean,
): readonly string[] {
  const list: Json | undefined = element[member]
  const good =
    Array.isArray(list) &&
    list.length > 0 &&
    list.length <= most &&
    list.every((each: Json) => typeof each === 'string' && isGood(each)) &&
    new Set(list).size === list.length
  if (!good) throw new CeilingError(`${member} must be an array of 1 to ${most} different names`)
  return list as readonly string[]
}

function isLocation(value: string): boolean {
  return value.length > 0 && value.length <= MAX_LOCATION_LENGTH
}

function isActionMethod(method: string): boolean {
  return ruleOf(method)?.token === 'action'
}

function takesArguments(method: string): boolean {
  const rule = ruleOf(method)
  return rule?.token === 'action' && rule.arguments !== 'none'
}

/** Who writes an asterisk means a pattern. It would be taken for a name, so it is refused at once. */
function isLiteral(value: string): boolean {
  return isIdentifier(value) && !value.includes('*')
}

/**
 * Reads a ceiling as a client asks for it (RFC 9396 §2): elements may say besides which `task` it is
 * all about, and must not differ in that.
 *
 * @throws {Refusal} details_invalid
 */
export function parseRequestedCeiling(json: Json): { ceiling: Ceiling; task: string | undefined } {
  const tasks = new Set<Json>()
  const elements = !Array.isArray(json)
    ? json
    : json.map((element: Json) => {
        if (!isJsonObject(element)) return element
        const { task, ...others } = element
        if (task !== undefined) tasks.add(task)
        return others
      })
  const [task] = tasks
  if (tasks.size > 1 || (task !== undefined && !isTask(task))) {
    refuse({ code: 'details_invalid', detail: 'task must be one label for all elements' })
  }
  try {
    return { ceiling: parseCeiling(elements), task }
  } catch (error) {
    if (!(error instanceof CeilingError)) throw error
    refuse({ code: 'details_invalid', detail: error.message }, error)
  }
}

function isTask(value: Json): value is string {
  return typeof value === 'string' && TASK_FORM.test(value)
}

/**
 * What of the action is more than the ceiling allows; `undefined` when one element allows all of it.
 * A later round of a call is the same call: what a person answered is not part of a ceiling.
 */
export function exceeds(ceiling: Ceiling, action: Action): CeilingPart | undefined {
  const here = ceiling.filter(({ locations }) => locations.includes(action.server))
  if (here.length === 0) return 'location'
  const able = here.filter(({ actions }) => actions.includes(action.method))
  if (able.length === 0) return 'method'
  const named = able.filter(({ identifiers }) => identifiers.includes(action.identifier))
  if (named.length === 0) return 'identifier'
  return named.some((element) => argumentsFit(element, action)) ? undefined : 'arguments'
}

function argumentsFit({ arguments_hash }: CeilingElement, action: Action): boolean {
  if (arguments_hash === undefined) return true
  // Methods without arguments have none to compare, so they are not the ones that were meant.
  return (
    action.arguments !== undefined && equalHash(arguments_hash, hashArguments(action.arguments))
  )
}

/** Whether anything at all may be done at a server: its session token is for that. */
export function reaches(ceiling: Ceiling, server: string): boolean {
  return ceiling.some(({ locations }) => locations.includes(server))
}

/**
 * Whether whatever `inner` allows, `outer` allows as well: each element lies within a single one. Two
 * outer elements that would do it together do not count; who wants that writes two inner ones.
 */
export function isWithin(inner: Ceiling, outer: Ceiling): boolean {
  return inner.every((each) => outer.some((other) => elementWithin(each, other)))
}

function elementWithin(inner: CeilingElement, outer: CeilingElement): boolean {
  if (outer.arguments_hash !== undefined && outer.arguments_hash !== inner.arguments_hash) {
    return false
  }
  return (['locations', 'actions', 'identifiers'] as const).every((member) =>
    inner[member].every((name) => outer[member].includes(name)),
  )
}
