/**
 * Documents in Redis. All of a kind, and the lists of them, are in one slot, so that one script changes
 * a document and its places in lists together, and a list is never without a document that exists.
 *
 * A document is a string: a line that says what it is (version, order, end, id, group), and its text.
 * A list is a sorted set of equal scores, whose members go by their bytes: the order as 16 hexadecimal
 * digits that sort as it does, then the id. So a page goes on exactly behind any last one.
 *
 * No command is sent twice: what was created may have been taken in between, and would come back.
 */
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
import { ANY, PAGE, REMOVE, WRITE } from './redis-document-scripts.ts'
import type { KeyNames } from './redis-keys.ts'
import type { Places } from './redis-places.ts'

/** Documents looked at by one script: a reply is at most 2 MiB, and spends wait for no longer. */
const LOOKED_AT = 32
const HEAD = /^(\S+) (\S+) (\S*) (\S+) (\S*)\n/

export function redisDocuments(names: KeyNames, places: Pick<Places, 'runOnce'>): Documents {
  async function ask(kind: string, ...command: [string, ...(string | number)[]]) {
    return (await places.runOnce(kind, [command]))[0]
  }

  async function write(
    kind: string,
    id: string,
    value: JsonObject,
    options: DocumentOptions | undefined,
    expected: string,
  ): Promise<boolean> {
    const kept = keptDocument(kind, id, value, options)
    const { expiresAt, group = '' } = kept
    // Redis takes no time before 1970; what ended then is as gone as what ended a moment ago.
    const endsMs = expiresAt === undefined ? '' : Math.max(1, Math.floor(expiresAt * 1000))
    const member = sortKey(kept.order) + id
    const args = [expected, stored(kept), member, endsMs, group]
    const written = await ask(kind, 'eval', WRITE, 4, ...keysOf(kind, id), ...args)
    return written === 1
  }

  function keysOf(kind: string, id: string): string[] {
    const lists = [names.documents(kind, 'all'), names.documents(kind, 'ends')]
    return [names.document(kind, id), ...lists, names.documents(kind, '')]
  }

  async function take(kind: string, id: string): Promise<Document | undefined> {
    checkName(kind, id)
    return parse(id, await ask(kind, 'eval', REMOVE, 4, ...keysOf(kind, id)))
  }

  return {
    async put(kind, id, value, options) {
      await write(kind, id, value, options, ANY)
    },
    create: (kind, id, value, options) => write(kind, id, value, options, ''),
    async replace(kind, id, version, value, options) {
      if (!/^[\w-]{1,64}$/.test(version)) {
        keptDocument(kind, id, value, options)
        return false
      }
      return write(kind, id, value, options, version)
    },
    async get(kind, id) {
      checkName(kind, id)
      return parse(id, await ask(kind, 'get', names.document(kind, id)))
    },
    take,
    remove: async (kind, id) => (await take(kind, id)) !== undefined,

    async list(kind, options) {
      checkList(kind, options)
      const { group, after, limit } = options
      const list = names.documents(kind, group === undefined ? 'all' : `g:${group}`)
      const found: Document[] = []
      let from = after === undefined ? '+' : `(${sortKey(after.order + 0)}${after.id}`
      for (;;) {
        const looked = Math.min(LOOKED_AT, limit - found.length)
        const keys = [list, names.document(kind, '')]
        const page = await ask(kind, 'eval', PAGE, 2, ...keys, from, looked, group ?? '')
        if (!Array.isArray(page)) throw unavailable('the store gave no page')
        const members = page.filter((_, index) => index % 2 === 0).map(String)
        for (const [index, member] of members.entries()) {
          const document = parse(member.slice(SORT_KEY_LENGTH), page[2 * index + 1])
          if (document !== undefined) found.push(document)
        }
        if (members.length < looked || found.length >= limit) return found
        from = `(${members.at(-1)}`
      }
    },
  }
}

function stored({ version, order, expiresAt, id, group, text }: KeptDocument): string {
  return `${version} ${sortKey(order)} ${expiresAt ?? ''} ${id} ${group ?? ''}\n${text}`
}

/** @throws {Refusal} ledger_unavailable when the string is no document of this id */
function parse(id: string, value: unknown): Document | undefined {
  if (value === null) return undefined
  const head = HEAD.exec(String(value))
  const [line = '', version = '', place = '', expiresAt = '', of, group = ''] = head ?? []
  const ends = expiresAt === '' ? undefined : Number(expiresAt)
  if (head === null || of !== id || Number.isNaN(ends) || !SORT_KEY.test(place)) {
    throw unavailable('what the store holds is no document')
  }
  return documentOf({
    id,
    text: String(value).slice(line.length),
    version,
    order: orderOf(place),
    group: group === '' ? undefined : group,
    expiresAt: ends,
  })
}

const SORT_KEY_LENGTH = 16
const SORT_KEY = /^[0-9a-f]{16}$/
const SIGN = 1n << 63n
const ALL = (1n << 64n) - 1n
const double = new DataView(new ArrayBuffer(8))

/**
 * A double as 16 digits that sort as the numbers do. As unsigned integers, doubles that are not negative
 * sort as they should, and negative ones the other way round and behind them (IEEE 754 §3.4).
 */
export function sortKey(order: number): string {
  double.setFloat64(0, order)
  const bits = double.getBigUint64(0)
  return (bits & SIGN ? bits ^ ALL : bits | SIGN).toString(16).padStart(16, '0')
}

export function orderOf(key: string): number {
  const bits = BigInt(`0x${key}`)
  double.setBigUint64(0, bits & SIGN ? bits ^ SIGN : bits ^ ALL)
  return double.getFloat64(0)
}
