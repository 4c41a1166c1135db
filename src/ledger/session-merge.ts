/**
 * What one update makes of a session: the same in every store, and whatever the order in which the
 * updates of different sources come.
 */
import type { Session, SessionAction, SessionUpdate } from './session-book.ts'

/** A session as a store keeps it. */
export interface KeptSession {
  readonly session: Session
  /** When what is shown was so, in seconds: what is older never replaces what is newer. */
  readonly times: {
    readonly identity: number
    readonly address: number
    readonly task: number
    readonly servers: readonly number[]
  }
  /** The last update of each source, and when it came. */
  readonly sources: readonly (readonly [source: string, sequence: number, at: number])[]
}

/** One action as it is kept: lists go by descending time, then descending key. */
export interface ActionRow {
  readonly at: number
  readonly key: string
  readonly text: string
}

export const KEPT_ACTIONS = 50
const KEPT_SERVERS = 8
/** So many sources are remembered always; further ones until they have been silent for an hour. */
const KEPT_SOURCES = 16
const MOST_SOURCES = 256
const SILENT_SECONDS = 3600
const MAX_ACTION_BYTES = 16 * 1024
/** In lists, where a page holds a thousand. */
const MAX_SHOWN_ACTION_BYTES = 2048

/** `undefined` when this update has been counted before. */
export function merged(
  kept: KeptSession | undefined,
  update: SessionUpdate,
  source: string,
  sequence: number,
  now: number,
): KeptSession | undefined {
  const last = kept?.sources.find(([name]) => name === source)
  if (last !== undefined && last[1] >= sequence) return undefined
  const before = kept?.session
  const { actions, identity, firstAt, lastAt } = update
  // Only brokers issue and see identities: nobody else's word on who this is replaces theirs.
  const who = before === undefined || update.issued > 0 || identity !== undefined ? update : before
  const identityIsNew = identity !== undefined && lastAt >= (kept?.times.identity ?? 0)
  const shownIdentity = identityIsNew ? identity : before?.identity
  const address = newest(actions, 'address', before?.address, kept?.times.address)
  const task = newest(actions, 'task', before?.task, kept?.times.task)
  const servers = lastServers(kept, actions)
  return {
    session: {
      id: update.id,
      workload: who.workload,
      principal: who.principal,
      actors: who.actors,
      key: who.key,
      firstSeen: Math.min(firstAt, before?.firstSeen ?? firstAt),
      lastSeen: Math.max(lastAt, before?.lastSeen ?? lastAt),
      issued: update.issued + (before?.issued ?? 0),
      spent: update.spent + (before?.spent ?? 0),
      refused: update.refused + (before?.refused ?? 0),
      tokensUntil: Math.max(update.tokensUntil, before?.tokensUntil ?? 0),
      ...(shownIdentity === undefined ? {} : { identity: shownIdentity }),
      address: address.value,
      task: task.value,
      lastAction: lastAction(before?.lastAction, actions),
      servers: servers.map(([server]) => server),
    },
    times: {
      identity: identityIsNew ? lastAt : (kept?.times.identity ?? 0),
      address: address.at,
      task: task.at,
      servers: servers.map(([, at]) => at),
    },
    sources: lastSources(kept, source, sequence, now),
  }
}

/** @throws {TypeError} an action that is too large even without its arguments */
export function actionRows(update: SessionUpdate, source: string, sequence: number): ActionRow[] {
  return update.actions.map((action, index) => {
    const text = JSON.stringify(fitted(action, MAX_ACTION_BYTES))
    if (Buffer.byteLength(text) > MAX_ACTION_BYTES) {
      throw new TypeError('an action is at most 16 KiB')
    }
    // Of one time, the first in its update is the newest; sent again, it has the same key.
    const place = String(99 - index).padStart(2, '0')
    return { at: action.at, key: `${String(sequence).padStart(16, '0')}${place}${source}`, text }
  })
}

/** Without its arguments when it would be larger: that it happened is what counts. */
function fitted(action: SessionAction, maxBytes: number): SessionAction {
  if (Buffer.byteLength(JSON.stringify(action)) <= maxBytes) return action
  const { arguments: _, ...rest } = action
  return rest
}

function lastAction(
  before: SessionAction | undefined,
  actions: readonly SessionAction[],
): SessionAction | undefined {
  let last: SessionAction | undefined
  for (const action of actions) if (last === undefined || action.at > last.at) last = action
  if (last === undefined || (before !== undefined && before.at > last.at)) return before
  return fitted(last, MAX_SHOWN_ACTION_BYTES)
}

function newest(
  actions: readonly SessionAction[],
  member: 'address' | 'task',
  before: string | undefined,
  beforeAt = 0,
): { value: string | undefined; at: number } {
  let value = before
  let at = beforeAt
  for (const action of actions) {
    if (action[member] === undefined || action.at < at) continue
    if (action.at === at && value !== undefined) continue
    value = action[member]
    at = action.at
  }
  return { value, at }
}

function lastServers(
  kept: KeptSession | undefined,
  actions: readonly SessionAction[],
): (readonly [server: string, at: number])[] {
  const times = new Map(
    kept?.session.servers.map((server, index) => [server, kept.times.servers[index] ?? 0]),
  )
  for (const action of actions) {
    const { server, at } = action
    if (server === undefined || isOnlyAsked(action)) continue
    times.set(server, Math.max(at, times.get(server) ?? 0))
  }
  return [...times].sort(([, a], [, b]) => b - a).slice(0, KEPT_SERVERS)
}

/**
 * It got no token for that server, which may not even exist: whoever asks for enough of them must not
 * push out where it really was.
 */
function isOnlyAsked({ outcome, by }: SessionAction): boolean {
  return outcome === 'refused' && by === 'broker'
}

function lastSources(
  kept: KeptSession | undefined,
  source: string,
  sequence: number,
  now: number,
): KeptSession['sources'] {
  const others = kept?.sources.filter(([name]) => name !== source) ?? []
  return [[source, sequence, now] as const, ...others].filter(
    ([, , at], index) =>
      index < KEPT_SOURCES || (index < MOST_SOURCES && at > now - SILENT_SECONDS),
  )
}
