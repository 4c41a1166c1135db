/**
 * Outcomes on their way to the book: counted for each session as they happen, taken in batches later.
 *
 * `note` is called on hot paths, so it only adds and remembers; whatever costs more is done when a
 * batch is taken. What it holds is bounded. Details go first, and counts stay.
 */
import type { AuditRecord } from '../audit/record.ts'
import type { SessionAction, SessionIdentity, SessionUpdate } from '../ledger/session-book.ts'

/** How many actions one update tells of. */
export const MAX_UPDATE_ACTIONS = 20
/** Of all sessions together, while nobody takes them. */
const MAX_ACTIONS = 20_000
const MAX_SESSIONS = 100_000
/** Argument values may be a megabyte; in the book they are there to be looked at. */
const MAX_ARGUMENTS_BYTES = 2048

/** What a record leaves open. */
export interface Noted {
  /** The record's session; what is not known to belong to one is not noted. */
  readonly session: string
  /** Of the session: see `SessionUpdate.key`. */
  readonly key: string
  /** Seconds since the epoch. */
  readonly at: number
  readonly identity?: SessionIdentity | undefined
}

interface Gathered {
  readonly workload: string
  readonly principal: string
  readonly actors: readonly string[]
  readonly key: string
  firstAt: number
  lastAt: number
  issued: number
  spent: number
  refused: number
  tokensUntil: number
  identity: SessionIdentity | undefined
  /** The newest last. */
  readonly actions: SessionAction[]
}

export interface Taking {
  /** Seconds since the epoch; a clock that was set back must not leave times in the future. */
  readonly now: number
  readonly maxSessions?: number
  /** Of the updates as JSON. */
  readonly maxBytes?: number
}

export class Gathering {
  readonly #by: string
  readonly #maxSessions: number
  readonly #maxActions: number
  readonly #sessions = new Map<string, Gathered>()
  #actions = 0
  #lost = 0

  /** @param by who says so, in each action */
  constructor(by: string, limits: { maxSessions?: number; maxActions?: number } = {}) {
    this.#by = by
    this.#maxSessions = limits.maxSessions ?? MAX_SESSIONS
    this.#maxActions = limits.maxActions ?? MAX_ACTIONS
  }

  /** How many sessions have something to tell. */
  get size(): number {
    return this.#sessions.size
  }

  /** Outcomes of sessions that there was no room for; in no count. */
  get lost(): number {
    return this.#lost
  }

  /** Counts what was issued, allowed or refused. Records that lack a member of a session are passed over. */
  note(record: AuditRecord, noted: Noted): void {
    const { outcome } = record
    if (outcome === 'event') return
    const { session, at } = noted
    let gathered = this.#sessions.get(session)
    if (gathered === undefined) {
      const { workload, principal } = record
      if (workload === undefined || principal === undefined) return
      if (this.#sessions.size >= this.#maxSessions) {
        this.#lost++
        return
      }
      gathered = {
        workload,
        principal,
        actors: record.actors ?? [],
        key: noted.key,
        firstAt: at,
        lastAt: at,
        issued: 0,
        spent: 0,
        refused: 0,
        tokensUntil: 0,
        identity: undefined,
        actions: [],
      }
      this.#sessions.set(session, gathered)
    }
    if (at < gathered.firstAt) gathered.firstAt = at
    if (at > gathered.lastAt) gathered.lastAt = at
    if (noted.identity !== undefined) gathered.identity = noted.identity
    if (outcome === 'refused') gathered.refused++
    else if (outcome === 'allowed') gathered.spent++
    else {
      gathered.issued++
      gathered.tokensUntil = Math.max(gathered.tokensUntil, record.expiresAt ?? 0)
    }
    this.#remember(gathered, record, at)
  }

  #remember({ actions }: Gathered, record: AuditRecord, at: number): void {
    const full = this.#actions >= this.#maxActions
    if (actions.length >= MAX_UPDATE_ACTIONS || (full && actions.length > 0)) actions.shift()
    else if (full) return
    else this.#actions++
    actions.push({
      at,
      outcome: record.outcome === 'allowed' ? 'spent' : (record.outcome as 'issued' | 'refused'),
      server: record.server,
      method: record.method,
      name: record.name,
      task: record.task,
      jti: record.jti,
      reason: record.outcome === 'refused' ? record.reason : undefined,
      address: record.address,
      arguments: record.arguments,
      by: this.#by,
    })
  }

  /** Those that have waited longest; they are the caller's from then on. */
  take({ now, maxSessions = Infinity, maxBytes }: Taking): SessionUpdate[] {
    const taken: SessionUpdate[] = []
    let bytes = 0
    for (const [id, gathered] of this.#sessions) {
      if (taken.length === maxSessions) break
      const update =
        maxBytes === undefined
          ? updateOf(id, gathered, now)
          : withinBytes(updateOf(id, gathered, now), maxBytes)
      if (maxBytes !== undefined) {
        bytes += jsonBytes(update)
        if (bytes > maxBytes && taken.length > 0) break
      }
      taken.push(update)
      this.#sessions.delete(id)
      this.#actions -= gathered.actions.length
    }
    return taken
  }
}

function updateOf(id: string, gathered: Gathered, now: number): SessionUpdate {
  const { firstAt, lastAt, identity, actions, ...rest } = gathered
  return {
    id,
    ...rest,
    firstAt: Math.min(firstAt, now),
    lastAt: Math.min(lastAt, now),
    ...(identity === undefined ? {} : { identity }),
    actions: actions
      .map((action) => told(action, now))
      .reverse()
      // A clock that was set back in between has turned them around.
      .sort((a, b) => b.at - a.at),
  }
}

/** As it may be said: without members that are not there, and in text that every reader accepts. */
function told(action: SessionAction, now: number): SessionAction {
  const members: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(action)) {
    if (value === undefined) continue
    // A text that was cut short may end in half a character.
    members[name] = typeof value === 'string' ? value.toWellFormed() : value
  }
  members.at = Math.min(action.at, now)
  if (action.arguments !== undefined && jsonBytes(action.arguments) > MAX_ARGUMENTS_BYTES) {
    delete members.arguments
  }
  return members as unknown as SessionAction
}

/** Details go until it fits. */
function withinBytes(update: SessionUpdate, maxBytes: number): SessionUpdate {
  let fitting = update
  while (fitting.actions.length > 0 && jsonBytes(fitting) > maxBytes) {
    fitting = { ...fitting, actions: fitting.actions.slice(0, fitting.actions.length >> 1) }
  }
  return fitting
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
