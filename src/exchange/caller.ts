/** Who asks for a token, once it is proved. */
import type { ProvenClient, User } from '../identity/presented.ts'
import type { Workload } from '../identity/workload.ts'
import type { Actor } from '../token/claims.ts'
import type { DelegationClaims } from '../token/delegation.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import type { KeyCandidate } from './key-candidates.ts'

/** On whose behalf; undefined when the request has no such token. */
export type Subject =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'user'; readonly user: User }
  | { readonly kind: 'delegation'; readonly delegation: DelegationClaims }

/** A key that may hold the token, and the session that it would be of. */
export type SessionKey = KeyCandidate & { readonly session: string }

/** Who asks, as far as it is proved; nothing else of the request is believed. */
export interface Caller {
  readonly workload: Workload
  readonly principal: string
  readonly subject: Subject | undefined
  /** Who acts, the workload outermost; undefined when it acts for itself. */
  readonly act: Actor | undefined
  /** The ids in `act`, outermost first. */
  readonly actors: readonly string[]
  /** Every delegation and session before this one. */
  readonly via: readonly string[]
  /** Keys that were proved and that the subject allows, the preferred one first. Never none. */
  readonly keys: readonly [SessionKey, ...SessionKey[]]
  /** All keys that were proved, whether or not the subject allows them to hold the token. */
  readonly provedKeys: readonly KeyCandidate[]
  /** To be spent before anything is minted. */
  readonly proof: VerifiedProof | undefined
  readonly spend: ProvenClient['spend']
  /** Proofs that whoever copies them can show too; the keys they come with are watched. */
  readonly bearers: readonly Workload[]
  /** Seconds since the epoch; when the first of the proofs ends, and so every token that comes of it. */
  readonly endsAt: number
}
