/**
 * The ledger of one process that forgets everything when it ends; for development, tests, and a
 * verifier that is alone and may refuse a few fresh tokens after each start.
 *
 * What was spent before the start is unknown, so tokens issued before it are refused. `open` waits
 * for the second to end in which the ledger was made: see `firstIssueAfter`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { steadyClock } from '../lib/steady-clock.ts'
import { memoryFeed } from '../revocation/memory-feed.ts'
import {
  checkEpoch,
  checkId,
  checkIssuedAt,
  checkLimit,
  firstIssueAfter,
  keptUntil,
  unavailable,
} from './bounds.ts'
import type { Ledger } from './ledger.ts'
import { memoryDocuments } from './memory-documents.ts'
import { memorySessions } from './memory-sessions.ts'
import { sweeperOf } from './memory-sweep.ts'

export interface MemoryLedgerOptions {
  /** A broker's ledger carries feed, documents and sessions in its process. `verifier` by default. */
  readonly role?: 'broker' | 'verifier'
  /** How far the clock of whoever issues tokens may be ahead of this machine's; 0 by default. */
  readonly clockToleranceSeconds?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
}

interface Mark {
  readonly until: number
  readonly value: string
  readonly uses: number
}

export function memoryLedger(options: MemoryLedgerOptions = {}): Ledger {
  const clock = options.clock ?? steadyClock()
  const since = firstIssueAfter(clock(), options.clockToleranceSeconds ?? 0)
  const marks = new Map<string, Mark>()
  let open = true
  const sweep = sweeperOf(marks, (mark, now) => mark.until <= now)
  const isBroker = options.role === 'broker'
  const own = { clock, isOpen: () => open }

  function live(key: string, now: number): Mark | undefined {
    const mark = marks.get(key)
    return mark !== undefined && mark.until > now ? mark : undefined
  }

  function begin(expiresAt: number, issuedAt: number | undefined): { now: number; until: number } {
    const now = clock()
    checkIssuedAt(issuedAt)
    const until = keptUntil(expiresAt, now)
    if (!open) throw unavailable('the ledger is closed')
    checkEpoch(issuedAt, since)
    sweep(now)
    return { now, until }
  }

  return {
    kind: 'memory',
    feed: isBroker ? memoryFeed() : undefined,
    documents: isBroker ? memoryDocuments(own) : undefined,
    sessions: isBroker ? memorySessions(own) : undefined,

    async spend(id, expiresAt, issuedAt) {
      checkId(id)
      const { now, until } = begin(expiresAt, issuedAt)
      const key = `s${id}`
      if (live(key, now)) return false
      marks.set(key, { until, value: '', uses: 0 })
      return true
    },

    async use(id, limit, proof, expiresAt, issuedAt) {
      checkId(id)
      checkId(proof, 'proof')
      checkLimit(limit)
      const { now, until } = begin(expiresAt, issuedAt)
      const proofKey = `s${proof}`
      if (live(proofKey, now)) return false
      marks.set(proofKey, { until, value: '', uses: 0 })
      const key = `u${id}`
      const before = live(key, now)
      const uses = (before?.uses ?? 0) + 1
      if (uses > limit) return false
      marks.set(key, { until: Math.max(until, before?.until ?? 0), value: '', uses })
      return true
    },

    async isSpent(id) {
      checkId(id)
      if (!open) throw unavailable('the ledger is closed')
      return live(`s${id}`, clock()) !== undefined
    },

    async bind(id, value, expiresAt) {
      checkId(id)
      checkId(value, 'value')
      const { now, until } = begin(expiresAt, undefined)
      const key = `b${id}`
      const bound = live(key, now)
      if (bound) return bound.value
      marks.set(key, { until, value, uses: 0 })
      return value
    },

    honoursFrom: () => since,

    async open() {
      const waitSeconds = since - clock()
      if (waitSeconds > 0 && options.clock === undefined) await sleep(waitSeconds * 1000)
    },

    async close() {
      open = false
      marks.clear()
    },
  }
}
