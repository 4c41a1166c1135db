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

/** Connections that prove who is at their ends. */
export interface SpiffeConnections {
  /**
   * A `fetch` for https URLs that sends nothing before the other end has proved what it must. It rejects
   * with an error whose `code`, or that of one of its causes, is `peer_unproven` when the other end did
   * not, and begins with `identity_` or `api_` when this end cannot prove itself now.
   */
  fetchTo(peer: SpiffePeer): Fetch
  /** `x5t#S256` of the X.509-SVID that is shown (RFC 8705 §3.1). */
  thumbprint(): string | Promise<string>
  /** This workload's own SPIFFE ID. */
  spiffeId(): string | Promise<string>
}

/**
 * What an agent needs of SPIFFE. `mcp-writ/spiffe` makes one of a Workload API; this folder only
 * says what it must do, because it depends on no package that could.
 */
export interface SpiffeConnect extends SpiffeConnections {
  /**
   * The same, kept to the X.509-SVID of this moment: a token that is bound to it is of no use over any
   * other. Asked for at each call, so keep it cheap.
   */
  pinned(): SpiffeConnections | Promise<SpiffeConnections>
}

const MAX_CAUSES = 5

/** Which end of a connection could not prove itself, when that is what it failed of. */
export function whoFailed(error: unknown): 'other' | 'own' | undefined {
  let at: unknown = error
  for (let depth = 0; depth < MAX_CAUSES && at instanceof Error; depth++) {
    const { code } = at as { code?: unknown }
    if (code === 'peer_unproven') return 'other'
    if (typeof code === 'string' && /^(identity|api)_/.test(code)) return 'own'
    at = at.cause
  }
  return undefined
}
