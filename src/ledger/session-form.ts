/** What session updates look like: the strict reading of what a caller gives and of what was kept. */
import { FARTHEST_SECONDS } from '../lib/farthest.ts'
import { isJsonObject, type Json, type JsonObject, parseJson } from '../lib/json.ts'
import { checkId } from './bounds.ts'
import type { SessionAction, SessionUpdate } from './session-book.ts'

/** Actions in one update, and those kept of a session. */
const MAX_ACTIONS = 20
const MAX_TEXT = 2048
const MAX_ACTORS = 64
const MAX_IDENTITY_BYTES = 16 * 1024
const MAX_UPDATE_BYTES = 1024 * 1024
/** Argument values may be as deep as requests are, and are a few levels down here. */
export const MAX_DEPTH = 128
/** More than clocks can be apart: whoever says more has given milliseconds. */
const FARTHEST_AHEAD_SECONDS = 86_400

/**
 * A copy of the update, checked, that later changes of the caller's do not reach.
 *
 * @throws {TypeError} an update of another form
 */
export function checkedUpdate(update: SessionUpdate, now: number): SessionUpdate {
  let copy: Json
  try {
    copy = parseJson(JSON.stringify(update), { maxBytes: MAX_UPDATE_BYTES, maxDepth: MAX_DEPTH })
  } catch (error) {
    throw new TypeError('a session update must be strict JSON of at most 1 MiB', { cause: error })
  }
  if (!isJsonObject(copy)) throw new TypeError('a session update must be an object')
  checkId(copy.id as string, 'session id')
  const { firstAt, lastAt, identity, actions } = copy
  const wrong =
    ![copy.workload, copy.principal, copy.key].every(isText) ||
    !isTexts(copy.actors) ||
    ![copy.issued, copy.spent, copy.refused].every(isCount) ||
    !isTime(copy.tokensUntil) ||
    (identity !== undefined && !isIdentity(identity))
  if (wrong) throw new TypeError('a session update has members of another form')
  const times = isTime(firstAt) && isTime(lastAt) && firstAt <= lastAt
  if (!times || lastAt > now + FARTHEST_AHEAD_SECONDS) {
    throw new TypeError('firstAt and lastAt must be in seconds since the epoch, in this order')
  }
  if (!Array.isArray(actions) || actions.length > MAX_ACTIONS || !actions.every(isAction)) {
    throw new TypeError(`actions must be at most ${MAX_ACTIONS} actions`)
  }
  return copy as unknown as SessionUpdate
}

export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_TEXT
}

export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_ACTORS && value.every(isText)
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Seconds since the epoch. */
export function isTime(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value < FARTHEST_SECONDS
}

export function isIdentity(value: Json): boolean {
  if (!isJsonObject(value) || !isText(value.kind) || !isText(value.issuer)) return false
  const { attributes, endsAt } = value
  if (!isJsonObject(attributes) || !isTime(endsAt)) return false
  const known = Object.values(attributes).every((given) => isText(given) || isTexts(given))
  return known && Buffer.byteLength(JSON.stringify(value)) <= MAX_IDENTITY_BYTES
}

const OUTCOMES: readonly unknown[] = ['issued', 'spent', 'refused']
const WORDS = ['server', 'method', 'name', 'task', 'jti', 'reason', 'address'] as const

export function isAction(value: Json): value is JsonObject & SessionAction {
  return (
    isJsonObject(value) &&
    isTime(value.at) &&
    OUTCOMES.includes(value.outcome) &&
    isText(value.by) &&
    WORDS.every((word) => value[word] === undefined || isText(value[word]))
  )
}
