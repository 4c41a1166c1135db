import type { Revocation } from './target.ts'

/** The clocks of two brokers may each be this far from a holder's (`freshness.ts`), to either side. */
const CLOCKS_DIFFER_SECONDS = 2 * 2

/**
 * Whether a holder that has heard these heartbeats holds the revocation: a heartbeat is delivered
 * only after everything that was published before it. A broker's own heartbeats are put after what
 * it published by its own clock; those of others only once no difference of clocks can explain it.
 *
 * @param heard the time of the last good heartbeat of each origin, seconds since the epoch
 */
export function holds(
  { at, origin }: Pick<Revocation, 'at' | 'origin'>,
  heard: Readonly<Record<string, number>>,
): boolean {
  return Object.entries(heard).some(([name, heardAt]) =>
    name === origin ? heardAt > at : heardAt > at + CLOCKS_DIFFER_SECONDS,
  )
}
