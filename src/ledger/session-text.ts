/** A kept session as text and back, strictly: a store that holds something else is not believed. */
import { isJsonObject, type Json, type JsonObject, parseJson } from '../lib/json.ts'
import { unavailable } from './bounds.ts'
import type { Session, SessionAction } from './session-book.ts'
import {
  isAction,
  isCount,
  isIdentity,
  isText,
  isTexts,
  isTime,
  MAX_DEPTH,
} from './session-form.ts'
import type { KeptSession } from './session-merge.ts'

const LIMITS = { maxBytes: 256 * 1024, maxDepth: MAX_DEPTH }

export function sessionText(kept: KeptSession): string {
  return JSON.stringify(kept)
}

/** @throws {Refusal} ledger_unavailable */
export function parseSession(id: string, text: string): KeptSession {
  const kept = strictly(text)
  const { session, times, sources } = kept
  if (!isJsonObject(session) || session.id !== id || !isSession(session)) throw notKept()
  if (!isJsonObject(times) || !isTimes(times, session.servers)) throw notKept()
  if (!Array.isArray(sources) || !sources.every(isSource)) throw notKept()
  const { address, task, lastAction } = session
  // `undefined` where nothing is kept, as from any other store.
  return {
    session: { ...session, address, task, lastAction } as unknown as Session,
    times: times as unknown as KeptSession['times'],
    sources,
  }
}

/** @throws {Refusal} ledger_unavailable */
export function parseAction(text: string): SessionAction {
  const action = strictly(text)
  if (!isAction(action)) throw notKept()
  return action
}

function strictly(text: string): JsonObject {
  try {
    const value = parseJson(text, LIMITS)
    if (isJsonObject(value)) return value
  } catch (error) {
    throw notKept(error)
  }
  throw notKept()
}

function notKept(cause?: unknown): Error {
  return unavailable('what the store holds is no session', cause)
}

function isSession(value: JsonObject): boolean {
  const { address, task, lastAction, identity } = value
  return (
    [value.workload, value.principal, value.key].every(isText) &&
    isTexts(value.actors) &&
    isTexts(value.servers) &&
    [value.issued, value.spent, value.refused].every(isCount) &&
    [value.firstSeen, value.lastSeen, value.tokensUntil].every(isTime) &&
    (address === undefined || isText(address)) &&
    (task === undefined || isText(task)) &&
    (lastAction === undefined || isAction(lastAction)) &&
    (identity === undefined || isIdentity(identity))
  )
}

function isTimes(value: JsonObject, servers: Json | undefined): boolean {
  const { identity, address, task } = value
  return (
    [identity, address, task].every(isTime) &&
    Array.isArray(value.servers) &&
    value.servers.every(isTime) &&
    value.servers.length === (servers as Json[]).length
  )
}

function isSource(value: Json): value is [string, number, number] {
  if (!Array.isArray(value) || value.length !== 3) return false
  return isText(value[0]) && isCount(value[1]) && isTime(value[2])
}
