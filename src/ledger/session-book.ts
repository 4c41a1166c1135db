/** One thing that happened in a session. */
export interface SessionAction {
  /** Seconds since the epoch. */
  readonly at: number
  /** A token was issued, was spent at its MCP server, or something was refused. */
  readonly outcome: 'issued' | 'spent' | 'refused'
  /** The MCP server's resource URI. */
  readonly server?: string | undefined
  readonly method?: string | undefined
  readonly name?: string | undefined
  readonly task?: string | undefined
  readonly jti?: string | undefined
  /** Why, when refused: a `ReasonCode`. */
  readonly reason?: string | undefined
  readonly address?: string | undefined
  /** Argument values; only where configured. Left out when the action would be over 16 KiB. */
  readonly arguments?: unknown
  /** `broker`, or the id of the verifier or gateway that says so. */
  readonly by: string
}

/** What a process learnt about one session since it last said so. Counts are differences. */
export interface SessionUpdate {
  /** The `sid` of tokens. */
  readonly id: string
  readonly workload: string
  readonly principal: string
  /** Outermost first; empty when the workload acts for itself. */
  readonly actors: readonly string[]
  /** Thumbprint of the sender's key; of a certificate with `x5t#S256:` before it. */
  readonly key: string
  /** Seconds since the epoch: when the earliest and the latest of this happened. */
  readonly firstAt: number
  readonly lastAt: number
  readonly issued: number
  readonly spent: number
  readonly refused: number
  /** When the last token issued expires, seconds; 0 when none was. */
  readonly tokensUntil: number
  /** How the workload proved who it is; known to brokers. */
  readonly identity?: SessionIdentity | undefined
  /** Newest first, at most 20. */
  readonly actions: readonly SessionAction[]
}

export interface SessionIdentity {
  readonly kind: string
  /** Trust domain, or the issuer's alias. */
  readonly issuer: string
  readonly attributes: Readonly<Record<string, string | readonly string[]>>
  /** Seconds since the epoch: when the proof ends. */
  readonly endsAt: number
}

/** A session as it stands. */
export interface Session extends Omit<SessionUpdate, 'actions' | 'firstAt' | 'lastAt'> {
  readonly firstSeen: number
  readonly lastSeen: number
  /** Of the last action that had one. */
  readonly address: string | undefined
  readonly task: string | undefined
  /** The last action; `undefined` when none is kept. */
  readonly lastAction: SessionAction | undefined
  /** The MCP servers it was last at or got tokens for, newest first, at most 8. */
  readonly servers: readonly string[]
}

/**
 * Which sessions there are and what they last did. For brokers; all that share a store share it.
 *
 * Every implementation keeps these promises:
 *
 * - `apply` resolves when all of it is kept. Of the same `source` and `sequence`, each session's
 *   update counts once, however often it is applied and by whichever process, so a batch whose
 *   answer was lost can be sent again. Sequences of a source only go up.
 * - Counts are sums over all sources; first and last seen are the extremes.
 * - A session is kept for `keepSeconds` (30 days) after it was last seen; its newest 50 actions are.
 * - When the store cannot be asked, every call rejects with a `Refusal` `ledger_unavailable`. Some of a
 *   batch may have been kept: apply it again.
 *
 * Ids and sources are 1 to 256 printable ASCII characters without spaces, other texts at most 2,048
 * characters, an identity 16 KiB; a batch has one update of a session, and no time is more than a day
 * ahead. Anything else is a `TypeError`, and nothing of the batch is kept.
 */
export interface SessionBook {
  apply(source: string, sequence: number, updates: readonly SessionUpdate[]): Promise<void>

  get(id: string): Promise<{ session: Session; actions: readonly SessionAction[] } | undefined>

  /**
   * By descending `lastSeen` and then descending id, at most `limit` (1 to 1000). `after` is the last
   * one of the page before; `since` leaves out what was last seen earlier.
   */
  list(options: {
    readonly after?: { readonly lastSeen: number; readonly id: string } | undefined
    readonly since?: number | undefined
    readonly limit: number
  }): Promise<readonly Session[]>
}
