/**
 * How often somebody may try. Counted in memory, for each process by itself: it keeps one address from
 * guessing or filling the store, it is no protection on which anything else relies.
 */
import { BoundedMap } from '../lib/bounded-map.ts'
import { networkOf } from '../lib/network.ts'
import { refuseAdmin } from './admin-refusal.ts'

/** What is counted: how many in how many seconds, for each address and for all together. */
const LIMITS = {
  /** Sign-ins begun. */
  start: { each: 60, all: 1000, seconds: 600 },
  /** Pages that keep something: of oidc-provider, two or three for each sign-in. */
  page: { each: 240, all: 4000, seconds: 600 },
  /** Steps of passkey ceremonies. */
  ceremony: { each: 120, all: 2000, seconds: 600 },
  /** Device codes asked for. */
  device: { each: 30, all: 300, seconds: 600 },
  /** User codes that nobody was given: of 20^8 there are a handful at a time. */
  user_code: { each: 20, all: 500, seconds: 600 },
  /** Polls and refreshes. */
  token: { each: 300, all: 3000, seconds: 60 },
} as const

export type Limited = keyof typeof LIMITS

export interface Limits {
  /** Counts one try. @throws {AdminRefusal} too_many_requests when there were too many before */
  count(what: Limited, address: string | undefined): void
  /** Counts nothing. @throws {AdminRefusal} too_many_requests */
  check(what: Limited, address: string | undefined): void
  /** Counts one that failed, for `check`. */
  note(what: Limited, address: string | undefined): void
}

const MAX_ADDRESSES = 20_000

export function createLimits(clock: () => number): Limits {
  const windows = new BoundedMap<string, { from: number; count: number }>(MAX_ADDRESSES)

  function windowOf(name: string, seconds: number) {
    const now = clock()
    const there = windows.get(name)
    if (there !== undefined && now < there.from + seconds) return there
    const fresh = { from: now, count: 0 }
    windows.set(name, fresh)
    return fresh
  }

  function namesOf(what: Limited, address: string | undefined) {
    const { each, all } = LIMITS[what]
    return [[`${what} ${networkOf(address)}`, each] as const, [what, all] as const]
  }

  function check(what: Limited, address: string | undefined): void {
    const { seconds } = LIMITS[what]
    for (const [name, limit] of namesOf(what, address)) {
      const { from, count } = windowOf(name, seconds)
      if (count < limit) continue
      const retryAfterSeconds = Math.max(1, Math.ceil(from + seconds - clock()))
      refuseAdmin({ code: 'too_many_requests', retryAfterSeconds })
    }
  }

  function note(what: Limited, address: string | undefined): void {
    for (const [name] of namesOf(what, address)) windowOf(name, LIMITS[what].seconds).count += 1
  }

  return {
    check,
    note,
    count(what, address) {
      check(what, address)
      note(what, address)
    },
  }
}
