import type { JsonObject } from '../lib/json.ts'
import { unavailable } from './bounds.ts'
import {
  checkList,
  checkName,
  documentOf,
  type KeptDocument,
  keptDocument,
} from './document-bounds.ts'
import type { Document, DocumentOptions, Documents } from './documents.ts'
import { MemoryIndex } from './memory-index.ts'
import { sweeperOf } from './memory-sweep.ts'

interface Entry extends KeptDocument {
  readonly kind: string
}

export interface MemoryStoreOptions {
  /** Seconds since the epoch. */
  readonly clock: () => number
  readonly isOpen: () => boolean
}

/** Documents in this process, gone with it. Texts are kept, so nobody can change what another has read. */
export function memoryDocuments({ clock, isOpen }: MemoryStoreOptions): Documents {
  const entries = new Map<string, Entry>()
  const indexes = new Map<string, MemoryIndex>()
  const sweep = sweeperOf(entries, isOver, (key) => drop(key))

  function begin(): number {
    if (!isOpen()) throw unavailable('the ledger is closed')
    const now = clock()
    sweep(now)
    return now
  }

  /** The names of the lists it is in: a space cannot be in a kind or a group. */
  function listsOf({ kind, group }: Entry): string[] {
    return group === undefined ? [kind] : [kind, `${kind} ${group}`]
  }

  function drop(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    for (const list of listsOf(entry)) {
      const index = indexes.get(list)
      index?.remove(entry)
      if (index?.size === 0) indexes.delete(list)
    }
  }

  function live(key: string, now: number): Entry | undefined {
    const entry = entries.get(key)
    return entry === undefined || isOver(entry, now) ? undefined : entry
  }

  function write(
    kind: string,
    id: string,
    value: JsonObject,
    options: DocumentOptions | undefined,
    may: (there: Entry | undefined) => boolean,
  ): boolean {
    const entry = { kind, ...keptDocument(kind, id, value, options) }
    const now = begin()
    const key = `${kind} ${id}`
    if (!may(live(key, now))) return false
    drop(key)
    entries.set(key, entry)
    for (const list of listsOf(entry)) {
      const index = indexes.get(list) ?? new MemoryIndex()
      indexes.set(list, index)
      index.add(entry)
    }
    return true
  }

  function read(kind: string, id: string, removing: boolean): Document | undefined {
    checkName(kind, id)
    const key = `${kind} ${id}`
    const entry = live(key, begin())
    if (removing) drop(key)
    return entry && documentOf(entry)
  }

  return {
    async put(kind, id, value, options) {
      write(kind, id, value, options, () => true)
    },
    create: async (kind, id, value, options) =>
      write(kind, id, value, options, (there) => there === undefined),
    replace: async (kind, id, version, value, options) =>
      write(kind, id, value, options, (there) => there?.version === version),
    get: async (kind, id) => read(kind, id, false),
    take: async (kind, id) => read(kind, id, true),
    remove: async (kind, id) => read(kind, id, true) !== undefined,

    async list(kind, options) {
      checkList(kind, options)
      const now = begin()
      const { group, after, limit } = options
      const index = indexes.get(group === undefined ? kind : `${kind} ${group}`)
      const found: Document[] = []
      for (const { id } of index?.from(after) ?? []) {
        const entry = live(`${kind} ${id}`, now)
        if (entry !== undefined && found.push(documentOf(entry)) === limit) break
      }
      return found
    },
  }
}

function isOver({ expiresAt }: Entry, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now
}
