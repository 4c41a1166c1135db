/**
 * The names of everything Writ keeps in Redis. See the table in this folder's README: the prefixes
 * are what the access rules in `redis-acl.ts` are made of.
 */
import { hash } from 'node:crypto'

/** The feed's keys share one hash tag, because its scripts touch them together. */
export const FEED_TAG = 'feed'
/** One list of all sessions, for all brokers. */
export const SEEN_TAG = 'sessions'

export interface KeyNames {
  /** A broker's spends and bindings. */
  readonly broker: (kind: 'p' | 'b', tag: string) => string
  /** A resource's spends; a verifier may create these and never change one. */
  readonly spent: (tag: string) => string
  readonly use: (tag: string, slot: number) => string
  /** Where a verifier prepares a mark before it is moved into place. */
  readonly draft: (tag: string, name: string) => string
  readonly guard: (tag: string) => string
  /** A document of the kind; those of a kind share one hash tag, with the lists of them. */
  readonly document: (kind: string, id: string) => string
  /** A list of documents: of all, those that end, or a group's; what they begin with. */
  readonly documents: (kind: string, list: '' | 'all' | 'ends' | `g:${string}`) => string
  readonly session: (tag: string) => string
  readonly actions: (tag: string) => string
  /** Sessions by when they were last seen. */
  readonly seen: () => string
  readonly feed: (part: 'live' | 'log' | 'count' | 'beats') => string
}

export function keyNames(prefix: string, resource: string | undefined): KeyNames {
  const area = resource === undefined ? '-' : shortHash(resource)
  return {
    broker: (kind, tag) => `${prefix}:${kind}:{${tag}}`,
    spent: (tag) => `${prefix}:s:${area}:{${tag}}`,
    use: (tag, slot) => `${prefix}:u:${area}:{${tag}}:${slot}`,
    draft: (tag, name) => `${prefix}:t:${area}:{${tag}}:${name}`,
    guard: (tag) => `${prefix}:g:{${tag}}`,
    document: (kind, id) => `${prefix}:d:{${kind}}:v:${id}`,
    documents: (kind, list) => `${prefix}:d:{${kind}}:${list}`,
    session: (tag) => `${prefix}:n:{${tag}}`,
    actions: (tag) => `${prefix}:n:{${tag}}:a`,
    seen: () => `${prefix}:n:{${SEEN_TAG}}:seen`,
    feed: (part) => `${prefix}:f:{${FEED_TAG}}:${part}`,
  }
}

/** @throws {TypeError} a prefix that would widen an access rule or move a hash tag */
export function checkPrefix(prefix: string): void {
  if (!/^[\w.-]{1,32}$/.test(prefix)) {
    throw new TypeError('prefix must be 1 to 32 letters, digits, dots, dashes or underscores')
  }
}

/** 128 bits: an id of any form as a short name that cannot be chosen. */
export function shortHash(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22)
}

/** The Cluster slot of a hash tag: CRC-16/XMODEM mod 16384 (Redis Cluster specification). */
export function slotOf(tag: string): number {
  let crc = 0
  for (let index = 0; index < tag.length; index++) {
    crc ^= tag.charCodeAt(index) << 8
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
    }
  }
  return crc & 16_383
}
