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
import { Refusal } from '../refusal.ts'
import type { Epoch } from '../revocation/feed.ts'
import {
  CLOCK_TOLERANCE_SECONDS,
  checkEpoch,
  checkId,
  checkIssuedAt,
  checkLimit,
  keptUntil,
  unavailable,
} from './bounds.ts'
import type { Ledger } from './ledger.ts'
import type { Command, Reply } from './redis-batch.ts'
import { COMMAND_TIMEOUT_MS } from './redis-connect.ts'
import { standingEpoch } from './redis-epochs.ts'
import { redisFeed } from './redis-feed.ts'
import { checkPrefix, keyNames, requestId, shortHash, slotOf } from './redis-keys.ts'
import { type Link, LinkLost } from './redis-link.ts'
import { type Place, topologyOf } from './redis-topology.ts'

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

/** How long one's own command is tried again after the connection was lost. */
const RETRY_WITHIN_MS = 150
const USES_PER_CALL = 32
const REFRESH_EVERY = 4

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
  const epochOptions = { names, clock, clockToleranceSeconds }
  let learned = new Map<string, Epoch>()
  let learnedMs = Number.NEGATIVE_INFINITY
  let asked = 0

  const topology = topologyOf(options, {
    replicas,
    commandTimeoutMs,
    clock,
    closed: () => undefined,
    opened(link) {
      if (role === 'verifier') link.epoch = learned.get(link.server?.runId ?? '')
      else stand(link).catch(() => undefined)
    },
  })

  async function stand(link: Link): Promise<Epoch> {
    const epoch = await standingEpoch(link, topology, epochOptions)
    link.epoch = epoch
    return epoch
  }

  /** Of every server that can be asked: what the others keep is refused until they can. */
  async function epochs(): Promise<readonly Epoch[]> {
    if (++asked % REFRESH_EVERY === 0) await topology.refresh()
    const found = await Promise.allSettled(topology.links().map(stand))
    const standing = found.filter((result) => result.status === 'fulfilled')
    if (standing.length > 0) return standing.map(({ value }) => value)
    throw (found[0] as PromiseRejectedResult | undefined)?.reason ?? unavailable('no server')
  }

  function learn(epochs: readonly Epoch[]): void {
    if (role === 'broker') return
    learned = new Map(epochs.map((epoch) => [epoch.server, epoch]))
    learnedMs = performance.now()
    for (const link of topology.links()) link.epoch = learned.get(link.server?.runId ?? '')
  }

  /** Where the tag's marks are, and the epoch they are made in. */
  function placeOf(tag: string): { link: Link; epoch: Epoch } {
    const link = topology.linkOf(topology.kind === 'cluster' ? slotOf(tag) : 0)
    if (link?.server === undefined) throw unavailable(link?.problem ?? 'no server is known')
    const stale = role === 'verifier' && performance.now() - learnedMs > staleAfterMs
    if (link.epoch === undefined || stale) throw unavailable('the epoch of the store is not known')
    return { link, epoch: link.epoch }
  }

  /** Runs the commands, once more when the connection was lost before their answer came. */
  async function run(tag: string, issuedAt: number | undefined, commands: readonly Command[]) {
    const { link, epoch } = placeOf(tag)
    checkEpoch(issuedAt, epoch.since)
    try {
      return { replies: await link.run(epoch, commands), again: false }
    } catch (error) {
      if (!(error instanceof LinkLost)) throw error
      const deadline = performance.now() + RETRY_WITHIN_MS
      while (performance.now() < deadline) {
        await sleep(10)
        const place = tryPlaceOf(tag)
        // What was lost since then is unknown to the caller, who asked about the epoch before.
        if (place === undefined || place.epoch.since > epoch.since) continue
        const replies = await place.link.run(place.epoch, commands).catch((late: unknown) => {
          throw late instanceof LinkLost ? unavailable('the connection was lost', late) : late
        })
        return { replies, again: true }
      }
      throw unavailable('the connection was lost', error)
    }
  }

  function tryPlaceOf(tag: string): ReturnType<typeof placeOf> | undefined {
    try {
      return placeOf(tag)
    } catch {
      return undefined
    }
  }

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
    const request = requestId()
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
    const request = requestId()
    return (await setOnce(names.broker('p', tag), tag, request, until, issuedAt)) === request
  }

  const feed = redisFeed({
    topology,
    replicas,
    commandTimeoutMs,
    learn,
    epochs: role === 'broker' ? epochs : undefined,
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
    documents: undefined,
    sessions: undefined,
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
      const draft = names.draft(tag, requestId())
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

    honoursFrom: (id) => placeOf(shortHash(id)).epoch.since,

    async open() {
      await topology.open()
      if (role === 'verifier') return
      const standing = await Promise.all(topology.links().map(standPatiently))
      const waitSeconds = Math.max(...standing.map(({ since }) => since)) - clock()
      if (waitSeconds > 0) await sleep(waitSeconds * 1000)
    },

    async close() {
      topology.close()
      await feed.close()
    },
  }

  async function standPatiently(link: Link): Promise<Epoch> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await stand(link)
      } catch (error) {
        // Another broker that starts at the same moment may have begun the epoch.
        if (attempt === 5) throw error
        await sleep(20 * attempt)
      }
    }
  }
}

/** @throws {Refusal} ledger_unavailable when the command failed */
function answerOf(reply: Reply | undefined): unknown {
  const [error, value] = reply ?? [new Error('no reply'), undefined]
  if (error === null) return value
  throw error instanceof Refusal ? error : unavailable(`the store refused: ${error.message}`, error)
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
