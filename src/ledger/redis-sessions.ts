/**
 * Sessions in Redis: for each a string, its newest actions beside it in the same slot, and one list of
 * all by when they were last seen.
 *
 * What an update makes of a session is worked out here, from what was read, and written by a script if
 * nobody wrote in between; otherwise it is read and worked out again. So one piece of code decides for
 * all stores, and of what a source says again nothing counts twice.
 *
 * The list is written after the session, and only ever forwards. A batch is answered after both.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { unavailable } from './bounds.ts'
import type { Command } from './redis-batch.ts'
import { type KeyNames, SEEN_TAG, shortHash } from './redis-keys.ts'
import type { Places } from './redis-places.ts'
import { seenPage } from './redis-seen.ts'
import type { Session, SessionBook } from './session-book.ts'
import {
  type Checked,
  checkedBatch,
  checkSessionId,
  checkSessionList,
  KEEP_SECONDS,
} from './session-bounds.ts'
import { KEPT_ACTIONS, type KeptSession, merged } from './session-merge.ts'
import { parseAction, parseSession, sessionText } from './session-text.ts'

/** Session and actions; the version that must be there, the session, its end in ms, score and action in turn. */
const WRITE = `
  local before = redis.call('GET', KEYS[1])
  if (before and string.match(before, '^%S+') or '') ~= ARGV[1] then return 0 end
  redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
  if #ARGV > 3 then
    redis.call('ZADD', KEYS[2], unpack(ARGV, 4))
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -${KEPT_ACTIONS + 1})
  end
  redis.call('PEXPIREAT', KEYS[2], ARGV[3])
  return 1`

/** So many at a time, so that spends on the same connection do not wait for long. */
const AT_ONCE = 50
/** How long one's own update is tried again while others write the same session. */
const RETRY_WITHIN_MS = 2000

interface Found {
  readonly version: string
  readonly kept: KeptSession | undefined
}

export function redisSessions(
  names: KeyNames,
  places: Pick<Places, 'runOnce'>,
  clock: () => number,
): SessionBook {
  let turn: Promise<void> = Promise.resolve()

  async function read(id: string): Promise<Found> {
    const tag = shortHash(id)
    const [value] = await places.runOnce(tag, [['get', names.session(tag)]])
    return found(id, value)
  }

  /** Resolves when the update is counted, and answers when the session was last seen. */
  async function applyOne(
    { update, rows }: Checked,
    source: string,
    sequence: number,
  ): Promise<{ id: string; lastSeen: number }> {
    const { id } = update
    const tag = shortHash(id)
    const actions = rows.flatMap(({ at, key, text }) => [at, `${key} ${text}`])
    const giveUpAt = performance.now() + RETRY_WITHIN_MS
    for (let attempt = 0; performance.now() < giveUpAt; attempt++) {
      if (attempt > 0) await sleep(Math.random() * Math.min(2 ** attempt, 20))
      const { version, kept } = await read(id)
      const next = merged(kept, update, source, sequence, clock())
      if (next === undefined) return { id, lastSeen: kept?.session.lastSeen ?? 0 }
      const { lastSeen } = next.session
      const value = `${randomBytes(9).toString('base64url')} ${sessionText(next)}`
      const endsMs = Math.max(1, Math.floor((lastSeen + KEEP_SECONDS) * 1000))
      const keys = [names.session(tag), names.actions(tag)]
      const command: Command = ['eval', WRITE, 2, ...keys, version, value, endsMs, ...actions]
      const [written] = await places.runOnce(tag, [command])
      if (written === 1) return { id, lastSeen }
    }
    throw unavailable('too many wrote the session at once')
  }

  async function applyAll(source: string, sequence: number, batch: readonly Checked[]) {
    const over = clock() - KEEP_SECONDS
    for (let first = 0; first < batch.length; first += AT_ONCE) {
      const some = batch.slice(first, first + AT_ONCE)
      const applied = await Promise.all(some.map((one) => applyOne(one, source, sequence)))
      const scores = applied.flatMap(({ id, lastSeen }) => [lastSeen, id])
      await places.runOnce(SEEN_TAG, [
        ['zadd', names.seen(), 'GT', ...scores],
        ['zremrangebyscore', names.seen(), '-inf', over],
      ])
    }
  }

  /** Takes out of the list what is gone; and puts back what came again in the same moment. */
  async function unlist(ids: readonly string[]): Promise<void> {
    await places.runOnce(SEEN_TAG, [['zrem', names.seen(), ...ids]])
    for (const { kept } of await Promise.all(ids.map(read))) {
      if (kept === undefined) continue
      const { id, lastSeen } = kept.session
      await places.runOnce(SEEN_TAG, [['zadd', names.seen(), 'GT', lastSeen, id]])
    }
  }

  return {
    apply(source, sequence, updates) {
      let batch: Checked[]
      try {
        batch = checkedBatch(source, sequence, updates, clock())
      } catch (error) {
        return Promise.reject(error)
      }
      // One after another, so that this process never writes against itself. Those that wait behind
      // one that is refused are refused with it: each would wait as long for the same store.
      const own = turn.then(() => applyAll(source, sequence, batch))
      turn = own
      own.catch(() => {
        if (turn === own) turn = Promise.resolve()
      })
      return own
    },

    async get(id) {
      checkSessionId(id)
      const tag = shortHash(id)
      const [value, rows] = await places.runOnce(tag, [
        ['get', names.session(tag)],
        ['zrange', names.actions(tag), 0, -1, 'REV'],
      ])
      const { kept } = found(id, value)
      if (kept === undefined) return undefined
      if (!Array.isArray(rows)) throw unavailable('the store gave no actions')
      const actions = rows.map(String).map((row) => parseAction(row.slice(row.indexOf(' ') + 1)))
      return { session: kept.session, actions }
    },

    async list(options) {
      checkSessionList(options)
      const { since = 0, limit } = options
      const from = Math.max(since, clock() - KEEP_SECONDS)
      const sessions: Session[] = []
      let after = options.after
      for (;;) {
        const wanted = Math.min(AT_ONCE, limit - sessions.length)
        const page = await seenPage(names.seen(), places, after, from, wanted)
        const found = await Promise.all(page.map(({ id }) => read(id)))
        const gone: string[] = []
        for (const [index, { id, lastSeen }] of page.entries()) {
          const session = found[index]?.kept?.session
          // As listed: what moved up since then would lead the next page astray.
          if (session !== undefined) sessions.push({ ...session, lastSeen })
          else gone.push(id)
        }
        if (gone.length > 0) await unlist(gone)
        after = page.at(-1)
        if (page.length < wanted || sessions.length >= limit) return sessions
      }
    },
  }
}

/** @throws {Refusal} ledger_unavailable when the string is no session of this id */
function found(id: string, value: unknown): Found {
  if (value === null) return { version: '', kept: undefined }
  const text = String(value)
  const space = text.indexOf(' ')
  return { version: text.slice(0, space), kept: parseSession(id, text.slice(space + 1)) }
}
