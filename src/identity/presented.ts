/** What callers present, and what proving it gives: the words that the doors, the exchange and this folder share. */
import type { PresentedCertificate } from '../token/certificate.ts'
import type { User } from './user.ts'
import type { Workload } from './workload.ts'

export type { User } from './user.ts'

/** A token as it was presented, with the type its sender gave it (RFC 8693 §3). */
export interface PresentedToken {
  readonly token: string
  readonly tokenType: string
}

/** How the client authenticated itself, if it did; nothing in it has been believed yet. */
export type PresentedClient =
  | {
      /** `jwt-spiffe`, or a registered client's own key. */
      readonly method: 'spiffe_jwt' | 'private_key_jwt'
      readonly assertion: string
      readonly clientId: string | undefined
    }
  /** By the certificate of the connection; `client_id` must be the SPIFFE ID in it. */
  | { readonly method: 'spiffe_x509'; readonly clientId: string }

export type ProvenToken =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'user'; readonly user: User }

/** A client that has authenticated, and what must be spent so that its assertion counts once. */
export interface ProvenClient {
  readonly workload: Workload
  readonly spend:
    | { readonly id: string; readonly until: number; readonly earliest: number }
    | undefined
}

/** Turns evidence into workloads and users. Each may throw a `Refusal`, or reject with one. */
export interface Prover {
  /** A token of any trusted issuer; never one of our own. */
  proveToken(presented: PresentedToken, now: number): ProvenToken | Promise<ProvenToken>
  proveCertificate(certificate: PresentedCertificate, now: number): Workload
  proveClient(
    client: PresentedClient & { readonly assertion: string },
    now: number,
  ): ProvenClient | Promise<ProvenClient>
}
