/** The sessions of a report: their form on the wire, and what is believed of it. */
import type { SessionAction, SessionUpdate } from '../ledger/session-book.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { isJti, isLabel, isName } from '../token/claim-check.ts'
import type { Binding } from '../token/claims.ts'
import { sessionId } from '../token/session-id.ts'
import { MAX_UPDATE_ACTIONS } from './gathering.ts'

/** One session, as far as a verifier can know it. */
export type ReportedSession = Pick<
  SessionUpdate,
  'id' | 'workload' | 'principal' | 'actors' | 'key' | 'firstAt' | 'lastAt' | 'spent' | 'refused'
> & { readonly actions: readonly ReportedAction[] }

/** One outcome there. The server is the report's, and argument values are nobody's. */
export type ReportedAction = Omit<SessionAction, 'server' | 'arguments' | 'by'>

/** How far ahead of the broker's the clock of a verifier may be. */
export const MAX_AHEAD_SECONDS = 10
/** Nothing is kept for longer than the book keeps it, so nothing can be older. */
const MAX_AGE_SECONDS = 30 * 86_400
const MAX_ACTORS = 8
const MAX_COUNT = 1e12
const THUMBPRINT = /^(x5t#S256:)?([A-Za-z0-9_-]{43})$/
const REASON = /^[a-z_]{1,64}$/
const MAX_METHOD = 128
/** A name that was cut short for the record, and then some. */
const MAX_NAME = 1024
const MAX_ADDRESS = 128

/** Leaves out what a report does not say. */
export function reportedOf(update: SessionUpdate): ReportedSession {
  const { issued, tokensUntil, identity, actions, ...session } = update
  return {
    ...session,
    actions: actions.map(({ server, arguments: values, by, address, ...action }) => ({
      ...action,
      // Gates in applications say what the address is; one that is none is no reason to refuse a report.
      ...(address === undefined || address.length > MAX_ADDRESS ? {} : { address }),
    })),
  }
}

/**
 * As the book takes them; `undefined` unless every member of every session is as it should be.
 *
 * The id of a session is a hash of workload, principal and key, so a report cannot give a session that
 * the broker knows to others.
 */
export function readSessions(
  value: Json | undefined,
  about: { readonly resource: string; readonly by: string; readonly now: number },
): SessionUpdate[] | undefined {
  if (!Array.isArray(value)) return undefined
  const updates: SessionUpdate[] = []
  const ids = new Set<string>()
  for (const item of value as readonly Json[]) {
    if (!isJsonObject(item) || !isSession(item, about.now) || ids.has(item.id)) return undefined
    ids.add(item.id)
    const firstAt = Math.max(item.firstAt, about.now - MAX_AGE_SECONDS)
    updates.push({
      ...item,
      firstAt,
      lastAt: Math.max(item.lastAt, firstAt),
      issued: 0,
      tokensUntil: 0,
      actions: item.actions.map((action) => ({ ...action, server: about.resource, by: about.by })),
    })
  }
  return updates
}

const SESSION_MEMBERS = new Set(
  'id workload principal actors key firstAt lastAt spent refused actions'.split(' '),
)

function isSession(value: JsonObject, now: number): value is JsonObject & ReportedSession {
  const { id, workload, principal, actors, key, firstAt, lastAt, spent, refused, actions } = value
  if (Object.keys(value).some((name) => !SESSION_MEMBERS.has(name))) return false
  if (!isName(workload) || !isName(principal)) return false
  const binding = bindingOf(key)
  if (binding === undefined || id !== sessionId(workload, principal, binding)) return false
  if (!Array.isArray(actors) || actors.length > MAX_ACTORS || !actors.every(isName)) return false
  if (!isTime(firstAt, now) || !isTime(lastAt, now) || firstAt > lastAt) return false
  if (!isCount(spent) || !isCount(refused) || spent + refused === 0) return false
  if (!Array.isArray(actions) || actions.length > Math.min(MAX_UPDATE_ACTIONS, spent + refused)) {
    return false
  }
  let before = lastAt
  return actions.every((action: Json) => {
    if (!isJsonObject(action) || !isAction(action)) return false
    const inOrder = action.at <= before && action.at >= firstAt
    before = action.at
    return inOrder
  })
}

function isAction(value: JsonObject): value is JsonObject & ReportedAction {
  const { at, outcome, method, name, task, jti, reason, address, ...others } = value
  if (Object.keys(others).length > 0) return false
  if (typeof at !== 'number' || (outcome !== 'spent' && outcome !== 'refused')) return false
  if ((reason !== undefined) !== (outcome === 'refused')) return false
  return (
    (reason === undefined || (typeof reason === 'string' && REASON.test(reason))) &&
    isText(method, MAX_METHOD) &&
    isText(name, MAX_NAME) &&
    (task === undefined || isLabel(task)) &&
    (jti === undefined || isJti(jti)) &&
    isText(address, MAX_ADDRESS)
  )
}

function bindingOf(key: Json | undefined): Binding | undefined {
  const match = typeof key === 'string' ? THUMBPRINT.exec(key) : null
  if (match === null) return undefined
  const thumbprint = match[2]!
  return match[1] === undefined ? { jkt: thumbprint } : { 'x5t#S256': thumbprint }
}

function isText(value: Json | undefined, maxCharacters: number): boolean {
  return value === undefined || (typeof value === 'string' && value.length <= maxCharacters)
}

function isTime(value: Json | undefined, now: number): value is number {
  return typeof value === 'number' && value >= 0 && value <= now + MAX_AHEAD_SECONDS
}

/** Sums of counts must stay exact. */
function isCount(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_COUNT
}
