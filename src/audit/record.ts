/**
 * One line of the audit log: what was asked, by whom, and what was answered.
 * It never holds a token, a proof or a key; argument values only where configured.
 */
export interface AuditRecord {
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string
  /** Which way the request came: `token-exchange`, `introspection`, `verifier`, `admin` … */
  readonly door: string
  /** `delegation` when it is about a delegation token, and not about an access token. */
  readonly kind?: 'delegation'
  readonly outcome: 'issued' | 'refused' | 'allowed' | 'event'
  /** A `ReasonCode` when refused; an event's name when an event. */
  readonly reason?: string
  /** The reason's evidence, for people. */
  readonly evidence?: Readonly<Record<string, unknown>>
  readonly workload?: string
  readonly principal?: string
  /** Outermost actor first. */
  readonly actors?: readonly string[]
  /** Every session (`sid`), key and delegation (`jti`) that this hangs on, earliest first. */
  readonly links?: readonly string[]
  /** Who may act next, when a delegation token was asked for: a workload id. */
  readonly delegate?: string
  /** What the delegation allows at most. */
  readonly ceiling?: unknown
  readonly session?: string
  readonly task?: string
  readonly server?: string
  readonly method?: string
  readonly name?: string
  readonly argumentsHash?: string
  readonly definitionHash?: string
  readonly inputHash?: string
  readonly arguments?: unknown
  readonly decision?: 'permit' | 'deny' | 'ask'
  readonly policies?: readonly string[]
  readonly policyVersion?: string
  readonly jti?: string
  /** Thumbprint of the sender's key; of a certificate with `x5t#S256:` before it. */
  readonly key?: string
  readonly address?: string
  /** On the admin side: who asked, `person:…`, `client:…` or `local:…`. */
  readonly by?: string
  /** Seconds since the epoch, when a token was issued. */
  readonly expiresAt?: number
}

/** Where outcomes go. Resolves when the record is durable; a rejection means the answer must be no. */
export interface AuditSink {
  record(record: AuditRecord): Promise<void>
}

/** Anybody can cause a refusal, and so decides how long the records of refusals are. */
const MAX_TEXT = 512

/** A text of a caller's choosing, no longer than a record should be. */
export function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

/** A reason as a record tells it. */
export function told(reason: { readonly code: string }): Pick<AuditRecord, 'reason' | 'evidence'> {
  const { code, ...evidence } = reason
  const short = Object.entries(evidence).map(([name, value]: [string, unknown]) => [
    name,
    typeof value === 'string' ? cut(value) : value,
  ])
  return { reason: code, evidence: Object.fromEntries(short) }
}
