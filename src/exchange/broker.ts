import type { GrantedDetail } from '../action/mcp-action.ts'
import type { AuditSink } from '../audit/record.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Workload } from '../identity/workload.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Json } from '../lib/json.ts'
import type { Policies } from '../policy/engine.ts'
import type { Subject } from '../revocation/target.ts'
import type { SigningKey } from '../token/jws.ts'
import type { Nonces } from '../token/nonce.ts'

/** What a front door understood of a request for a token. Nothing in it has been believed yet. */
export interface ExchangeRequest {
  /** Which way the request came, for the audit: `token-exchange` or `jwt-bearer`. */
  readonly door: string
  /** The workload's proof of identity. */
  readonly subjectToken: string
  readonly subjectTokenType: string
  /** The MCP server's resource URI (RFC 8707). */
  readonly resource: string
  /** The parsed `authorization_details`; without them a session token is asked for. */
  readonly details: Json | undefined
  /** Every value of the `DPoP` header. */
  readonly proofHeaders: readonly string[]
  /** The HTTP method of the request. */
  readonly method: string
  readonly address: string | undefined
  /** Seconds since the epoch, read once when the request arrived. */
  readonly now: number
}

export interface Granted {
  readonly token: string
  readonly jti: string
  readonly expiresInSeconds: number
  readonly scope: string
  /** What was granted, without argument values (RFC 9396 §7); undefined for a session token. */
  readonly details: readonly GrantedDetail[] | undefined
}

/** The eight steps, in the order that is the design. */
export type Step =
  | 'prove'
  | 'spend'
  | 'check'
  | 'understand'
  | 'decide'
  | 'approve'
  | 'record'
  | 'mint'

/** Everything an exchange needs. One per process; the parts reload themselves. */
export interface Broker {
  /** The `iss` of every token. */
  readonly issuer: string
  /** The token endpoint's external URL, the `htu` of every proof; configured, never read from a request. */
  readonly tokenEndpoint: string
  /** When set, every proof must carry one of these nonces. */
  readonly nonces: Nonces | undefined
  readonly identity: { prove(token: string, now: number): Workload }
  readonly senderKeys: {
    check(workload: Workload, jkt: string, now: number): Promise<'first' | 'known' | 'second'>
  }
  readonly ledger: Pick<Ledger, 'spend'>
  readonly revocations: { check(subject: Subject, now: number): void }
  readonly catalogue: Catalogue
  readonly policies: Pick<Policies, 'decide'>
  readonly audit: AuditSink
  /** The key that signs now. */
  signingKey(now: number): SigningKey
  readonly lifetimes: { readonly actionSeconds: number; readonly sessionSeconds: number }
  /** Whether the audit keeps argument values; off unless configured. */
  readonly recordArguments: boolean
  /** Told when each step begins; for measurements and tests. */
  readonly onStep?: (step: Step) => void
}
