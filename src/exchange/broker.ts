import type { CeilingElement } from '../action/ceiling.ts'
import type { GrantedDetail } from '../action/mcp-action.ts'
import type { AuditRecord, AuditSink } from '../audit/record.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { PresentedClient, PresentedToken, Prover } from '../identity/presented.ts'
import type { Workload } from '../identity/workload.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { SessionIdentity } from '../ledger/session-book.ts'
import type { Json } from '../lib/json.ts'
import type { Policies } from '../policy/engine.ts'
import type { Subject } from '../revocation/target.ts'
import type { PresentedCertificate } from '../token/certificate.ts'
import type { SigningKey } from '../token/jws.ts'
import type { LocalKeySet } from '../token/key-set.ts'
import type { Nonces } from '../token/nonce.ts'

/** What a front door understood of a request for a token. Nothing in it has been believed yet. */
export interface ExchangeRequest {
  /** Which way the request came, for the audit: `token-exchange` or `jwt-bearer`. */
  readonly door: string
  /** The external URL of the token endpoint it came to, the `htu` of its proof; configured. */
  readonly endpoint: string
  /** On whose behalf: `subject_token`, or the assertion of `jwt-bearer`. */
  readonly subject: PresentedToken | undefined
  /** Who acts: `actor_token`. */
  readonly actor: PresentedToken | undefined
  readonly client: PresentedClient | undefined
  /** Of the connection itself, or passed on by a trusted proxy (RFC 9440). */
  readonly certificate: PresentedCertificate | undefined
  /** The MCP server's resource URI (RFC 8707); undefined when a delegation token is asked for. */
  readonly resource: string | undefined
  /** The parsed `authorization_details`; without them a session token is asked for. */
  readonly details: Json | undefined
  /** Asks for a delegation token: who may act next, and the thumbprint of its key. */
  readonly delegateTo: { readonly workload: string; readonly jkt: string } | undefined
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
  /** None for a delegation token. */
  readonly scope: string | undefined
  /** How it is to be presented; `N_A` for a delegation token (RFC 8693 §2.2.1). */
  readonly tokenType: 'DPoP' | 'Bearer' | 'N_A'
  readonly issuedTokenType: string
  /** The SPIFFE ID the MCP server must prove before it is sent the token. */
  readonly serverSpiffeId: string | undefined
  /** What was granted, without argument values (RFC 9396 §7); undefined for a session token. */
  readonly details: readonly GrantedDetail[] | readonly CeilingElement[] | undefined
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

/** How agents hand work on. */
export interface Delegation {
  /** The broker's own keys, with which its delegation tokens are checked. */
  keys(now: number): LocalKeySet
  /** The longest life of a delegation token; at most 3600. */
  readonly lifetimeSeconds: number
  /** How many actors there may be in a row, the one that asks included; at most 8. */
  readonly maxDepth: number
}

/** Everything an exchange needs. One per process; the parts reload themselves. */
export interface Broker {
  /** The `iss` of every token. */
  readonly issuer: string
  /** The token endpoint's external URL, the `htu` of every proof; configured, never read from a request. */
  readonly tokenEndpoint: string
  /** When set, every proof must carry one of these nonces. */
  readonly nonces: Nonces | undefined
  readonly prover: Prover
  readonly senderKeys: {
    /** @param key `jkt`, or `x5t#S256:` and the thumbprint of a certificate */
    check(workload: Workload, key: string, now: number): Promise<'first' | 'known' | 'second'>
  }
  readonly ledger: Pick<Ledger, 'spend'>
  readonly revocations: { check(subject: Subject, now: number): void }
  readonly catalogue: Catalogue
  readonly policies: Pick<Policies, 'decide'>
  readonly audit: AuditSink
  /** Counts what was recorded for the book of sessions; must not wait. What it throws changes no answer. */
  readonly sessions?: { note(record: AuditRecord, identity?: SessionIdentity): void }
  /** The key that signs now. */
  signingKey(now: number): SigningKey
  readonly lifetimes: { readonly actionSeconds: number; readonly sessionSeconds: number }
  /** Without it, no delegation token is issued or accepted. */
  readonly delegation?: Delegation
  /** The URL of each trusted issuer by its alias, for `act.iss`; of a trust domain it is known anyway. */
  readonly issuerUrls?: ReadonlyMap<string, string>
  /** Whether the audit keeps argument values; off unless configured. */
  readonly recordArguments: boolean
  /** Told when each step begins; for measurements and tests. */
  readonly onStep?: (step: Step) => void
}
