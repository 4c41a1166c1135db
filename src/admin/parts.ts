import type { AuditSink } from '../audit/record.ts'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { Bundles } from '../identity/bundles/bundles.ts'
import type { Documents } from '../ledger/documents.ts'
import type { SessionBook } from '../ledger/session-book.ts'
import type { SigningKeys } from '../mint/keys.ts'
import type { Policies } from '../policy/engine.ts'
import type { History } from '../revocation/history.ts'
import type { Revocation } from '../revocation/target.ts'
import type { Holders } from '../sessions/holders.ts'
import type { SignIn } from '../sign-in/admin.ts'

/** What the admin API is made of. */
export interface AdminParts {
  /** The admin listener as callers reach it, without a path. */
  readonly url: string
  readonly signIn: Pick<SignIn, 'authenticate' | 'touch' | 'people'>
  readonly sessions: SessionBook
  readonly history: Pick<History, 'revoke' | 'undo' | 'get' | 'list'>
  readonly holders: Pick<Holders, 'list'>
  /** What this process holds of the feed. */
  readonly revocations: { readonly fresh: boolean; list(): readonly Revocation[] }
  readonly policies: Pick<Policies, 'version' | 'decide' | 'served'>
  /** Read when policies are checked; what serves comes from `policies`. */
  readonly policyDirectory: string
  catalogue(): Catalogue
  readonly trust: {
    readonly bundles: Pick<Bundles, 'health'>
    readonly issuers: readonly TrustedIssuer[]
  }
  readonly keys: Pick<SigningKeys, 'states' | 'jwks'>
  readonly audit: AuditSink
  /** Where this broker's own audit files are. */
  readonly auditDirectory: string
  /** The checks behind `/readyz`. */
  health(): Promise<Readiness>
  /** Keeps what was answered to requests that may be sent twice. */
  readonly documents: Documents
  /** Seconds since the epoch. */
  readonly clock?: () => number
  readonly log?: Log
  /** Aborted when the broker begins to stop: event streams end. */
  readonly closing?: AbortSignal
}

export interface TrustedIssuer {
  readonly alias: string
  readonly url: string
  readonly vouchesFor: 'workloads' | 'users'
}

export interface Readiness {
  readonly ready: boolean
  readonly checks: Readonly<Record<string, 'ok' | 'failing'>>
}

/** The part of a pino logger that is used. */
export interface Log {
  error(fields: object, message: string): void
}
