import { BoundedMap } from '../lib/bounded-map.ts'
import { refuse } from '../refusal.ts'
import type { Workload } from './workload.ts'

/** Remembers `value` under `id` if nothing is there yet, and answers what is there. */
export interface Binds {
  bind(id: string, value: string, expiresAt: number): Promise<string>
}

export interface SenderKeysOptions {
  readonly ledger: Binds
  /**
   * `record`: a second key is answered with `second`, for the audit. SPIRE hands one cached SVID to
   * every process of a workload, so honest processes do present one SVID with several keys.
   * `refuse`: it is refused. For platforms where each process has an SVID of its own.
   */
  readonly onSecondKey: 'record' | 'refuse'
}

export interface SenderKeys {
  /**
   * Ties an SVID to the keys that use it. `first`: this key was the first here; `known`: seen
   * before; `second`: another key than the first, answered once per key, then `known`.
   *
   * @param jkt RFC 7638 thumbprint of the sender's key
   * @throws {Refusal} `identity_key_changed` for a second key under `refuse`; whatever the ledger
   *   throws when it cannot be asked
   */
  check(workload: Workload, jkt: string, now: number): Promise<'first' | 'known' | 'second'>
}

interface Seen {
  readonly first: string
  readonly expiresAt: number
  readonly others: Set<string>
}

const MAX_SEEN = 10_000
/** Beyond this many keys of one SVID, each use is answered with `second`: it is an event by itself. */
const MAX_OTHERS = 64

/**
 * An SVID is a bearer credential; the key that used it first is the best hint of who holds it. The
 * store decides which key was first, once; after that, memory answers without a round trip.
 */
export function createSenderKeys({ ledger, onSecondKey }: SenderKeysOptions): SenderKeys {
  const seen = new BoundedMap<string, Seen>(MAX_SEEN)

  return {
    async check(workload, jkt, now) {
      const known = seen.get(workload.credential)
      if (known !== undefined && known.expiresAt > now) return compare(known, jkt)
      const { credential, expiresAt } = workload
      const first = await ledger.bind(`k:${credential}`, jkt, expiresAt)
      // Another request may have asked at the same time; its list of keys must not be lost.
      const current = seen.get(credential) ?? { first, expiresAt, others: new Set<string>() }
      seen.set(credential, current)
      return first === jkt ? 'first' : compare(current, jkt)
    },
  }

  function compare(known: Seen, jkt: string): 'known' | 'second' {
    if (jkt === known.first) return 'known'
    if (onSecondKey === 'refuse') refuse({ code: 'identity_key_changed' })
    if (known.others.has(jkt)) return 'known'
    if (known.others.size < MAX_OTHERS) known.others.add(jkt)
    return 'second'
  }
}
