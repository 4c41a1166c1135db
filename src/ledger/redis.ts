/**
 * The ledger that many processes share, in Redis or Valkey: one server, Sentinel, or Cluster.
 *
 * One key per spend, its hash tag from the id. A broker marks with one `SET … NX GET EXAT`; a
 * verifier, whose rights must not let it undo a mark, moves a prepared one into place with `RENAMENX`
 * (see `redis-acl.ts`). Both carry a request id, so that the answer to a command sent again tells
 * one's own mark from another's.
 *
 * A spend counts only where the epoch is known and stands: see `redis-epochs.ts` and `redis-link.ts`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { BoundedMap } from '../lib/bounded-map.ts'
import { randomId } from '../lib/random-id.ts'
import {
  CLOCK_TOLERANCE_SECONDS,
  checkId,
  checkIssuedAt,
  checkLimit,
  keptUntil,
  unavailable,
} from './bounds.ts'
import type { Ledger } from './ledger.ts'
import type { Command } from './redis-batch.ts'
import { COMMAND_TIMEOUT_MS } from './redis-connect.ts'
import { redisDocuments } from './redis-documents.ts'
import { redisFeed } from './redis-feed.ts'
import { checkPrefix, keyNames, shortHash } from './redis-keys.ts'
import { answerOf, redisPlaces } from './redis-places.ts'
import { redisSessions } from './redis-sessions.ts'
import type { Place } from './redis-topology.ts'

export type { Place } from './redis-topology.ts'

export interface RedisLedgerOptions extends Place {
  readonly role: 'broker' | 'verifier'
  /** The MCP server's resource URI; a verifier's spends are kept under it. */
  readonly resource?: string | undefined
  /** Replicas that must confirm every write with `WAIT`; 0 means that the AOF alone keeps them. */
  readonly replicas?: number | undefined
  /** The first part of every key; `writ`. */
  readonly prefix?: string | undefined
  /** For verifiers: how long epochs are relied on without a heartbeat; 2,000 ms. */
  readonly staleAfterMs?: number | undefined
  /** How far clocks of brokers and servers may be apart; 2 s. A new epoch begins so much later. */
  readonly clockToleranceSeconds?: number | undefined
  /** An answer later than this is a refusal; 200 ms. */
  readonly commandTimeoutMs?: number | undefined
  /** Seconds since the epoch. */
  readonly clock?: (() => number) | undefined
}

const USES_PER_CALL = 32

/** @throws {TypeError} options that contradict each other */
export function redisLedger(options: RedisLedgerOptions): Ledger {
  const { role, resource, replicas = 0, prefix = 'writ' } = options
  checkPrefix(prefix)
  if (role === 'verifier' && resource === undefined) {
    throw new TypeError('a verifier needs its resource')
  }
  if (!Number.isSafeInteger(replicas) || replicas < 0 || replicas > 16) {
    throw new TypeError('replicas must be a whole number from 0 to 16')
  }
  const clock = options.clock ?? (() => Date.now() / 1000)
  const clockToleranceSeconds = options.clockToleranceSeconds ?? CLOCK_TOLERANCE_SECONDS
  const commandTimeoutMs = options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS
  const staleAfterMs = options.staleAfterMs ?? 2000
  const names = keyNames(prefix, resource)
  const nextUse = new BoundedMap<string, number>(10_000)
  const places = redisPlaces({
    place: options,
    role,
    names,
    replicas,
    clock,
    clockToleranceSeconds,
    commandTimeoutMs,
    staleAfterMs,
  })
  const { topology, run, learn } = places
  const isBroker = role === 'broker'

  async function setOnce(
    key: string,
    tag: string,
    value: string,
    until: number,
    issuedAt?: number,
  ) {
    const command: Command = ['set', key, value, 'EXAT', until, 'NX', 'GET']
    const { replies } = await run(tag, issuedAt, [command])
    const there = answerOf(replies[0])
    return there === null ? value : String(there)
  }

  async function moveOnce(key: string, tag: string, until: number, issuedAt?: number) {
    const request = randomId()
    const draft = names.draft(tag, request)
    const { replies, again } = await run(tag, issuedAt, [
      ['set', draft, request, 'EXAT', until],
      ['renamenx', draft, key],
    ])
    answerOf(replies[0])
    if (answerOf(replies[1]) === 1) return true
    const clean: Command = ['unlink', draft]
    if (!again) {
      run(tag, undefined, [clean]).catch(() => undefined)
      return false
    }
    const own = await run(tag, undefined, [['get', key], clean])
    return answerOf(own.replies[0]) === request
  }

  async function spend(id: string, until: number, issuedAt?: number): Promise<boolean> {
    const tag = shortHash(id)
    if (role === 'verifier') return moveOnce(names.spent(tag), tag, until, issuedAt)
    const request = randomId()
    return (await setOnce(names.broker('p', tag), tag, request, until, issuedAt)) === request
  }

  const feed = redisFeed({
    topology,
    replicas,
    commandTimeoutMs,
    clock,
    learn,
    epochs: isBroker ? places.epochs : undefined,
    keys: {
      live: names.feed('live'),
      log: names.feed('log'),
      count: names.feed('count'),
      beats: names.feed('beats'),
    },
  })

  return {
    kind: 'redis',
    feed,
    documents: isBroker ? redisDocuments(names, places) : undefined,
    sessions: isBroker ? redisSessions(names, places, clock) : undefined,
    learn,

    async spend(id, expiresAt, issuedAt) {
      checkId(id)
      checkIssuedAt(issuedAt)
      return spend(id, keptUntil(expiresAt, clock()), issuedAt)
    },

    async use(id, limit, proof, expiresAt, issuedAt) {
      checkId(id)
      checkId(proof, 'proof')
      checkLimit(limit)
      checkIssuedAt(issuedAt)
      const until = keptUntil(expiresAt, clock())
      if (!(await spend(proof, until, issuedAt))) return false
      const tag = shortHash(id)
      const draft = names.draft(tag, randomId())
      // The draft can be moved once, so whatever the number of free slots, one is taken.
      for (let first = nextUse.get(id) ?? 1; first <= limit; first += USES_PER_CALL) {
        const slots = range(first, Math.min(limit, first + USES_PER_CALL - 1))
        const { replies } = await run(tag, issuedAt, [
          ['set', draft, '', 'EXAT', until],
          ...slots.map((slot): Command => ['renamenx', draft, names.use(tag, slot)]),
        ])
        const taken = replies.slice(1).findIndex(([, value]) => value === 1)
        if (taken >= 0) {
          nextUse.set(id, first + taken + 1)
          return true
        }
        if (answerOf(replies[1]) !== 0) throw unavailable('the store gave no count')
      }
      nextUse.set(id, limit + 1)
      run(tag, undefined, [['unlink', draft]]).catch(() => undefined)
      return false
    },

    async isSpent(id, of) {
      checkId(id)
      const tag = shortHash(id)
      const theirs = role === 'verifier' ? names : keyNames(prefix, of)
      const key = role === 'broker' && of === undefined ? names.broker('p', tag) : theirs.spent(tag)
      const { replies } = await run(tag, undefined, [['get', key]])
      return answerOf(replies[0]) !== null
    },

    async bind(id, value, expiresAt) {
      checkId(id)
      checkId(value, 'value')
      if (role === 'verifier') throw new TypeError('only a broker binds')
      const until = keptUntil(expiresAt, clock())
      const tag = shortHash(id)
      return setOnce(names.broker('b', tag), tag, value, until)
    },

    honoursFrom: (id) => places.placeOf(shortHash(id)).epoch.since,

    async open() {
      const waitSeconds = (await places.open()) - clock()
      if (waitSeconds > 0) await sleep(waitSeconds * 1000)
    },

    async close() {
      topology.close()
      await feed.close()
    },
  }
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
