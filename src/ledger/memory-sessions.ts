import { unavailable } from './bounds.ts'
import type { MemoryStoreOptions } from './memory-documents.ts'
import { MemoryIndex } from './memory-index.ts'
import { sweeperOf } from './memory-sweep.ts'
import type { Session, SessionBook } from './session-book.ts'
import { checkedBatch, checkSessionId, checkSessionList, KEEP_SECONDS } from './session-bounds.ts'
import { type ActionRow, KEPT_ACTIONS, merged } from './session-merge.ts'
import { parseAction, parseSession, sessionText } from './session-text.ts'

interface Entry {
  readonly text: string
  readonly lastSeen: number
  /** Newest first. */
  readonly rows: readonly ActionRow[]
}

/** Sessions in this process, gone with it. */
export function memorySessions({ clock, isOpen }: MemoryStoreOptions): SessionBook {
  const entries = new Map<string, Entry>()
  const index = new MemoryIndex()
  const isOver = ({ lastSeen }: Entry, now: number): boolean => lastSeen + KEEP_SECONDS <= now
  const sweep = sweeperOf(entries, isOver, drop)

  function drop(id: string, { lastSeen }: Entry): void {
    entries.delete(id)
    index.remove({ order: lastSeen, id })
  }

  function begin(): number {
    if (!isOpen()) throw unavailable('the ledger is closed')
    return clock()
  }

  function live(id: string, now: number): Entry | undefined {
    const entry = entries.get(id)
    return entry === undefined || isOver(entry, now) ? undefined : entry
  }

  return {
    async apply(source, sequence, updates) {
      const batch = checkedBatch(source, sequence, updates, clock())
      const now = begin()
      for (const { update, rows: fresh } of batch) {
        sweep(now)
        const { id } = update
        const before = live(id, now)
        const kept = before && parseSession(id, before.text)
        const next = merged(kept, update, source, sequence, now)
        if (next === undefined) continue
        const rows = [...fresh, ...(before?.rows ?? [])]
        rows.sort((a, b) => b.at - a.at || (a.key < b.key ? 1 : -1))
        const { lastSeen } = next.session
        const old = entries.get(id)
        if (old !== undefined) drop(id, old)
        entries.set(id, { text: sessionText(next), lastSeen, rows: rows.slice(0, KEPT_ACTIONS) })
        index.add({ order: lastSeen, id })
      }
    },

    async get(id) {
      checkSessionId(id)
      const entry = live(id, begin())
      if (entry === undefined) return undefined
      const actions = entry.rows.map(({ text }) => parseAction(text))
      return { session: parseSession(id, entry.text).session, actions }
    },

    async list(options) {
      checkSessionList(options)
      const now = begin()
      const { after, since = 0, limit } = options
      const found: Session[] = []
      const from = after && { order: after.lastSeen, id: after.id }
      for (const { order, id } of index.from(from)) {
        if (order < since || found.length === limit) break
        const entry = live(id, now)
        if (entry !== undefined) found.push(parseSession(id, entry.text).session)
      }
      return found
    },
  }
}
