import type { Fetch } from './fetch.ts'

/** Who must be at the other end of a connection, and whether this end shows its certificate. */
export interface SpiffePeer {
  /**
   * The SPIFFE ID that the other end must prove by a certificate of its own trust domain's bundle.
   * Without one, the other end is checked as for any https URL.
   */
  readonly spiffeId: string | undefined
  /** Whether this workload proves itself as well, by its X.509-SVID. */
  readonly mutual: boolean
}

/**
 * What an agent needs of SPIFFE. `mcp-writ/spiffe` makes one of a Workload API; this folder only
 * says what it must do, because it depends on no package that could.
 */
export interface SpiffeConnect {
  /**
   * A `fetch` for https URLs. It is asked for before each request and must use connections that were
   * made with the X.509-SVID which is current then, never one of an earlier SVID. Nothing is sent
   * before the other end has proved what it must.
   *
   * It rejects with an error whose `code`, or that of one of its causes, is `peer_unproven` when the
   * other end did not.
   */
  fetchTo(peer: SpiffePeer): Fetch
  /** `x5t#S256` of the current X.509-SVID (RFC 8705 §3.1). Asked for at each call, so keep it cheap. */
  thumbprint(): string | Promise<string>
  /** This workload's own SPIFFE ID. */
  spiffeId(): string | Promise<string>
}

const MAX_CAUSES = 5

/** Whether a connection failed because the other end did not prove to be who it must be. */
export function isUnproven(error: unknown): boolean {
  let at: unknown = error
  for (let depth = 0; depth < MAX_CAUSES && at instanceof Error; depth++) {
    if ((at as { code?: unknown }).code === 'peer_unproven') return true
    at = at.cause
  }
  return false
}
