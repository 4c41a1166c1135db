import { BoundedMap } from '../lib/bounded-map.ts'
import { refuse } from '../refusal.ts'

/** Sessions of the older protocol era that are remembered at once; the least recently used go first. */
const MAX_SESSIONS = 10_000

/**
 * Ties the older era's `Mcp-Session-Id` to the session (`sid`) it was handed to.
 *
 * A session id is a handle and proves nothing: whoever learns it could otherwise speak in
 * another's session. The gate sees the id in the server's answer to `initialize` and remembers for
 * which `sid` it was made. An id that is presented by anyone else, or that is not remembered, is
 * answered like one that does not exist, on which a client starts a new session (MCP 2025-11-25,
 * "Session Management"). So forgetting is safe.
 *
 * Why in this process and not in the ledger: the session itself lives in this process too. The SDKs
 * keep its transport in memory, so behind a balancer such a server needs sticky routing anyway.
 */
export class LegacySessions {
  readonly #owners = new BoundedMap<string, string>(MAX_SESSIONS)

  /** The first owner stays: a server that hands out one id twice gives nobody a second's session. */
  remember(id: string, sid: string): void {
    if (this.#owners.get(id) === undefined) this.#owners.set(id, sid)
  }

  /** @throws {Refusal} session_mismatch */
  check(presented: readonly string[], sid: string): void {
    if (presented.length === 0) return
    const [id] = presented
    if (presented.length > 1 || id === undefined || this.#owners.get(id) !== sid) {
      refuse({ code: 'session_mismatch' })
    }
  }
}
