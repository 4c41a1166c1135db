/** What can be stopped. */
export type TargetKind = 'jti' | 'session' | 'agent' | 'principal'

export interface Target {
  readonly kind: TargetKind
  /** A token's `jti`, a session's `sid`, an agent's workload id, or a principal. */
  readonly value: string
  /** For agents: also every id beneath this path (`spiffe://a/b` stops `spiffe://a/b/c`, not `spiffe://a/b-c`). */
  readonly beneath?: boolean
}

/** Who and what a token or a request is about: every name under which it may have been stopped. */
export interface Subject {
  readonly jti?: string | undefined
  readonly session: string
  /** The workload that asks, and every actor before it. */
  readonly agents: readonly string[]
  readonly principal: string
}

export interface Revocation {
  readonly id: string
  readonly target: Target
  /** Seconds since the epoch. */
  readonly at: number
  /** Seconds since the epoch; without it the revocation has no end. */
  readonly until?: number
  readonly reason: string
  readonly by: string
}
