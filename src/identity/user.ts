import type { JsonObject } from '../lib/json.ts'
import type { Actor, Binding } from '../token/claims.ts'

/** What a user's token established; every member is verified, none is merely claimed. */
export interface UserFacts {
  /** `user:<issuer alias>:<sub>`. */
  readonly id: string
  /** The alias of the issuer. */
  readonly issuer: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
  /** A hash that names the credential; never the credential. */
  readonly credential: string
  readonly attributes: JsonObject
  /** The key the token is bound to, when it says so. */
  readonly cnf: Binding | undefined
  /** Who may act for the user (RFC 8693 §4.4): a workload id. */
  readonly mayAct: string | undefined
  /** Who acts for the user already, outermost first (RFC 8693 §4.1). */
  readonly act: Actor | undefined
  /** The client the token was issued to (ID-JAG); it must be the workload that acts. */
  readonly clientId: string | undefined
  /** The resources the token is limited to; undefined when it is not. */
  readonly resources: readonly string[] | undefined
  /** The scopes the token is limited to (ID-JAG); undefined when it is not. */
  readonly scopes: readonly string[] | undefined
}

let make: ((facts: UserFacts) => User) | undefined

/**
 * A person, or whoever else a trusted issuer's token speaks for.
 *
 * As with `Workload`, only this folder can make one: no public constructor, and a look-alike object
 * does not compile.
 */
export class User implements UserFacts {
  readonly id: string
  readonly issuer: string
  readonly expiresAt: number
  readonly credential: string
  readonly attributes: JsonObject
  readonly cnf: Binding | undefined
  readonly mayAct: string | undefined
  readonly act: Actor | undefined
  readonly clientId: string | undefined
  readonly resources: readonly string[] | undefined
  readonly scopes: readonly string[] | undefined
  readonly #proven: true

  static {
    make = (facts) => new User(facts, SEAL)
  }

  private constructor(facts: UserFacts, seal: symbol) {
    if (seal !== SEAL) throw new TypeError('a user is made by proving an identity only')
    this.id = facts.id
    this.issuer = facts.issuer
    this.expiresAt = facts.expiresAt
    this.credential = facts.credential
    this.attributes = Object.freeze({ ...facts.attributes })
    this.cnf = facts.cnf && Object.freeze({ ...facts.cnf })
    this.mayAct = facts.mayAct
    this.act = facts.act && frozenActor(facts.act)
    this.clientId = facts.clientId
    this.resources = facts.resources && Object.freeze([...facts.resources])
    this.scopes = facts.scopes && Object.freeze([...facts.scopes])
    this.#proven = true
    Object.freeze(this)
  }

  /** Whether `value` came out of a proof, and not out of a cast. */
  static isProven(value: unknown): value is User {
    return typeof value === 'object' && value !== null && #proven in value && value.#proven
  }
}

// `private` ends with compilation; the seal keeps JavaScript out as well.
const SEAL = Symbol('proven')

/** Makes a `User` out of facts that the caller, in this folder, has just verified. */
export function provenUser(facts: UserFacts): User {
  if (make === undefined) throw new TypeError('the user class did not load')
  return make(facts)
}

function frozenActor({ act, ...actor }: Actor): Actor {
  return Object.freeze(act === undefined ? actor : { ...actor, act: frozenActor(act) })
}
