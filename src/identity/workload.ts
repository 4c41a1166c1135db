import type { JsonObject } from '../lib/json.ts'

/** What was established about a caller; every member is verified, none is merely claimed. */
export interface WorkloadFacts {
  /** A SPIFFE ID, or `oidc:<issuer alias>:<sub>`. */
  readonly id: string
  readonly kind: 'spiffe' | 'oidc'
  /** The trust domain's name, or the alias of the issuer. */
  readonly issuer: string
  /** When the proof of identity ends, in seconds since the epoch. */
  readonly expiresAt: number
  /** A hash that names the credential in every spelling of it; never the credential. */
  readonly credential: string
  /** Further verified facts that policies may see. */
  readonly attributes: JsonObject
}

let make: ((facts: WorkloadFacts) => Workload) | undefined

/**
 * A verified caller.
 *
 * The unverified and the verified never share a type: there is no public constructor, a look-alike
 * object does not compile (`#proven`), and only this folder may call `proven` (a test holds that).
 */
export class Workload implements WorkloadFacts {
  readonly id: string
  readonly kind: 'spiffe' | 'oidc'
  readonly issuer: string
  readonly expiresAt: number
  readonly credential: string
  readonly attributes: JsonObject
  readonly #proven: true

  static {
    make = (facts) => new Workload(facts, SEAL)
  }

  private constructor(facts: WorkloadFacts, seal: symbol) {
    if (seal !== SEAL) throw new TypeError('a workload is made by proving an identity only')
    this.id = facts.id
    this.kind = facts.kind
    this.issuer = facts.issuer
    this.expiresAt = facts.expiresAt
    this.credential = facts.credential
    this.attributes = Object.freeze({ ...facts.attributes })
    this.#proven = true
    Object.freeze(this)
  }

  /** Whether `value` came out of a proof, and not out of a cast. */
  static isProven(value: unknown): value is Workload {
    return typeof value === 'object' && value !== null && #proven in value && value.#proven
  }
}

// `private` ends with compilation; the seal keeps JavaScript out as well.
const SEAL = Symbol('proven')

/** Makes a `Workload` out of facts that the caller, in this folder, has just verified. */
export function proven(facts: WorkloadFacts): Workload {
  if (make === undefined) throw new TypeError('the workload class did not load')
  return make(facts)
}
