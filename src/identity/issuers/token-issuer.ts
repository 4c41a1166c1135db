/** A configured issuer of tokens, with its keys and its rules. */
import { isAlgorithm } from '../../token/algorithm.ts'
import type { Jws } from '../../token/jws.ts'
import type { ProvenToken } from '../presented.ts'
import { type AttributePointers, attributeReader, type ReadAttributes } from './claim-attributes.ts'
import {
  CLOCK_SKEW_SECONDS,
  checkTimes,
  type TokenRules,
  type VerifiedToken,
  verifyToken,
} from './issued-token.ts'
import { type IssuerKeysOptions, openIssuerKeys } from './issuer-keys.ts'
import type { TokenKind } from './token-types.ts'

export interface TokenIssuerOptions extends IssuerKeysOptions {
  /** What `aud` must be: one of these. */
  readonly audiences: readonly string[]
  /** From `iat` to now; `iat` is required when it is set. */
  readonly maxAgeSeconds?: number
  /** Claims that policies may see, besides those of the kind of issuer. */
  readonly attributes?: AttributePointers
  /** How far ahead of ours its clock may run (`iat`, `nbf`); `exp` has no grace. */
  readonly clockSkewSeconds?: number
}

/** What the tokens of one kind of issuer prove. */
export interface TokenProfile {
  /** Everything besides what `verifyToken` checks; throws a `Refusal`. */
  prove(
    token: VerifiedToken,
    context: ProofContext,
  ): { readonly kind: TokenKind; readonly result: ProvenToken }
  /** Asked at every use, remembered tokens included; throws a `Refusal`, perhaps as a rejection. */
  confirm?(text: string, token: VerifiedToken): void | Promise<void>
  close?(): Promise<void>
}

export interface ProofContext {
  readonly readAttributes: ReadAttributes
  /** The alias of each issuer whose tokens prove workloads, by its issuer URL. */
  readonly workloadIssuers: ReadonlyMap<string, string>
}

/** A token that was verified here, to be asked about again. */
export interface Proof {
  readonly kind: TokenKind
  readonly result: ProvenToken
  readonly token: VerifiedToken
}

export interface TokenIssuer {
  readonly alias: string
  readonly issuer: string
  readonly proves: ProvenToken['kind']
  /**
   * Verifies a token that names this issuer. Answers at once while the keys are at hand.
   *
   * @throws {Refusal} `identity_invalid` or `trust_unavailable`; perhaps as a rejection
   */
  prove(
    jws: Jws,
    workloadIssuers: ProofContext['workloadIssuers'],
    now: number,
  ): Proof | Promise<Proof>
  /**
   * Whether a proof made before still holds: false when its key is not the issuer's any more.
   *
   * @throws {Refusal} `identity_invalid`, check `expiry` or `age`; `trust_unavailable`
   */
  holds(proof: Proof, now: number): boolean | Promise<boolean>
  /** What is asked at every use, when there is anything. */
  confirm(text: string, proof: Proof): void | Promise<void>
  close(): Promise<void>
}

/** Ids are `oidc:<alias>:<sub>` and `user:<alias>:<sub>`: the alias ends at the first colon. */
const ALIAS = /^[a-z0-9][a-z0-9_-]{0,63}$/

/**
 * @throws {TypeError} for options that no token could satisfy safely, before anything is opened
 * @throws {Error} naming a key file that cannot be read
 */
export async function openTokenIssuer(
  options: TokenIssuerOptions,
  proves: ProvenToken['kind'],
  profile: TokenProfile,
): Promise<TokenIssuer> {
  const { alias, issuer, algorithms, audiences, maxAgeSeconds } = options
  if (!ALIAS.test(alias)) throw new TypeError(`"${alias}" cannot be the alias of an issuer`)
  if (!issuer.startsWith('https://') || !URL.canParse(issuer)) {
    throw new TypeError(`${alias}: the issuer must be an https URL`)
  }
  if (algorithms.length === 0 || !algorithms.every(isAlgorithm)) {
    throw new TypeError(`${alias}: algorithms must name asymmetric ones, at least one`)
  }
  if (audiences.length === 0 || audiences.includes('')) {
    throw new TypeError(`${alias}: an audience is missing`)
  }
  if (maxAgeSeconds !== undefined && !(maxAgeSeconds > 0)) {
    throw new TypeError(`${alias}: maxAgeSeconds must be positive`)
  }
  const readAttributes = attributeReader(options.attributes ?? {})
  const keys = await openIssuerKeys(options)
  const clockSkewSeconds = options.clockSkewSeconds ?? CLOCK_SKEW_SECONDS
  const rules: TokenRules = { issuer, algorithms, keys, maxAgeSeconds, clockSkewSeconds }

  return {
    alias,
    issuer,
    proves,
    prove(jws, workloadIssuers, now) {
      const finish = (token: VerifiedToken): Proof => ({
        ...profile.prove(token, { readAttributes, workloadIssuers }),
        token,
      })
      const verified = verifyToken(jws, rules, now)
      return verified instanceof Promise ? verified.then(finish) : finish(verified)
    },
    holds({ token }, now) {
      checkTimes(token.times, rules, now)
      // A refreshed set keeps the keys it knew, so another object is another key.
      const found = keys.find(token.key.kid ?? undefined, token.key.algorithm)
      return found instanceof Promise ? found.then((key) => key === token.key) : found === token.key
    },
    confirm: (text, proof) => profile.confirm?.(text, proof.token),
    async close() {
      await keys.close()
      await profile.close?.()
    },
  }
}
