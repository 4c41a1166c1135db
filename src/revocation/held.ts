import type { Revocation } from './target.ts'

/** The clocks of two brokers may each be this far from a holder's (`freshness.ts`), to either side. */
const CLOCKS_DIFFER_SECONDS = 2 * 2

type Heard = Readonly<Record<string, number>>

/** A list asks of each holder about many revocations, and a holder may have heard of many origins. */
const latest = new WeakMap<Heard, number>()

/**
 * Whether a holder that has heard these heartbeats holds the revocation: a heartbeat is delivered
 * only after everything that was published before it. A broker's own heartbeats are put after what
 * it published by its own clock; those of others only once no difference of clocks can explain it.
 *
 * @param heard the time of the last good heartbeat of each origin, seconds since the epoch; not to be
 *   changed afterwards
 */
export function holds({ at, origin }: Pick<Revocation, 'at' | 'origin'>, heard: Heard): boolean {
  const own = origin !== undefined && Object.hasOwn(heard, origin) ? heard[origin] : undefined
  if (own !== undefined && own > at) return true
  return latestOf(heard) > at + CLOCKS_DIFFER_SECONDS
}

function latestOf(heard: Heard): number {
  let found = latest.get(heard)
  if (found === undefined) {
    found = Math.max(...Object.values(heard))
    latest.set(heard, found)
  }
  return found
}
