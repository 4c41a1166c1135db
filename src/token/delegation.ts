/**
 * Delegation tokens: the broker's word that one agent may go on with another's work, within a ceiling.
 *
 * Only the broker reads them. They are signed with its own keys and are good at its token endpoint
 * alone, for one next agent, with one key of that agent; they are no access tokens (`typ`).
 */
import { type Ceiling, CeilingError, parseCeiling } from '../action/ceiling.ts'
import { encodeBase64url } from '../lib/base64url.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { type IdentityCheck, Refusal, refuse } from '../refusal.ts'
import { ACCESS_TOKEN_ALGORITHMS, sameAlgorithm } from './algorithm.ts'
import { isActor, isBinding, isJti, isLabel, isLinks, isName, isSeconds } from './claim-check.ts'
import type { Actor, Binding } from './claims.ts'
import {
  decodeHeader,
  decodeJsonSegment,
  decodeSegment,
  JwsError,
  splitJws,
  verifySignature,
} from './jws.ts'
import type { LocalKeySet } from './key-set.ts'

export const DELEGATION_TYP = 'writ-delegation+jwt'
/** What a delegation token is called in a token exchange (RFC 8693 §3). */
export const DELEGATION_TOKEN_TYPE = 'urn:writ:params:oauth:token-type:delegation'
export const MAX_DELEGATION_BYTES = 16 * 1024
export const MAX_DELEGATION_LIFETIME_SECONDS = 3600
/** More actors than this in a row are not read; what is offered is configured, and less. */
export const MAX_DELEGATION_DEPTH = 8

/** Times are seconds since the epoch. */
export interface DelegationClaims {
  readonly iss: string
  /** The broker itself. */
  readonly aud: string
  /** On whose behalf all of it is. */
  readonly sub: string
  /** The agent that delegates. */
  readonly client_id: string
  /** Everyone who acts so far, the one that delegates outermost (RFC 8693 §4.1). */
  readonly act: Actor
  /** Who may use this token (RFC 8693 §4.4): a workload id. */
  readonly may_act: { readonly sub: string }
  /** The key with which alone it may be used. */
  readonly cnf: Binding
  readonly authorization_details: Ceiling
  readonly txn?: string
  /** As in an access token: `jti`, `sid` and key of every step before. */
  readonly via: readonly string[]
  /** The session of the agent that delegates. */
  readonly sid: string
  readonly jti: string
  readonly iat: number
  readonly exp: number
}

/** Another process of the broker may be this far ahead. */
const CLOCK_SKEW_SECONDS = 5

/** How the header of each of them begins: the broker writes `typ` first. Whole bytes only. */
const BEGINNING = encodeBase64url(JSON.stringify({ typ: DELEGATION_TYP }).slice(0, 27))

/**
 * Whether a token is one that only the broker can have made, or a forgery of one. Believes nothing.
 * Another spelling of such a header is of a stranger, and whoever proves identities refuses its type.
 */
export function isDelegationToken(text: string): boolean {
  return text.startsWith(BEGINNING)
}

/**
 * @throws {Refusal} `identity_invalid`: form, typ, algorithm, key, signature, issuer, audience, claims
 *   or expiry
 */
export function verifyDelegation(
  text: string,
  options: { readonly issuer: string; readonly keys: LocalKeySet; readonly now: number },
): DelegationClaims {
  const { issuer, keys, now } = options
  const segments = refusing(() => splitJws(text, MAX_DELEGATION_BYTES))
  const { kid, alg } = readHeader(refusing(() => decodeHeader(segments.header)))
  const key = keys.find(kid, alg)
  if (key === undefined || !sameAlgorithm(alg, key.algorithm)) refuseToken('key')
  const signature = refusing(() => decodeSegment(segments.signature))
  if (!verifySignature(segments.signingInput, signature, key)) refuseToken('signature')

  const claims = readDelegation(refusing(() => decodeJsonSegment(segments.payload)))
  if (claims.iss !== issuer) refuseToken('issuer')
  if (claims.aud !== issuer) refuseToken('audience')
  const lifetimeSeconds = claims.exp - claims.iat
  if (!(lifetimeSeconds > 0 && lifetimeSeconds <= MAX_DELEGATION_LIFETIME_SECONDS)) {
    refuseToken('claims')
  }
  // Written so that a clock that is not a number refuses.
  if (!(claims.iat <= now + CLOCK_SKEW_SECONDS && now < claims.exp)) refuseToken('expiry')
  return claims
}

/** Exactly `typ`, `alg`, `kid`: the broker writes nothing else, so anything else is not from it. */
function readHeader(header: JsonObject): { kid: string; alg: string } {
  const { typ, alg, kid } = header
  if (typ !== DELEGATION_TYP) refuseToken('typ')
  if (!ACCESS_TOKEN_ALGORITHMS.some((name) => name === alg)) refuseToken('algorithm')
  if (typeof kid !== 'string' || Object.keys(header).length !== 3) refuseToken('form')
  return { kid, alg: alg as string }
}

function readDelegation(payload: JsonObject): DelegationClaims {
  const { iss, aud, sub, client_id, act, may_act, cnf, via, sid, jti, iat, exp, txn } = payload
  const correct =
    [iss, aud, sub, client_id].every(isName) &&
    isActor(act) &&
    (act as unknown as Actor).sub === client_id &&
    isJsonObject(may_act) &&
    isName(may_act.sub) &&
    Object.keys(may_act).length === 1 &&
    isBinding(cnf) &&
    isLinks(via) &&
    isLabel(sid) &&
    isJti(jti) &&
    isSeconds(iat) &&
    isSeconds(exp) &&
    (txn === undefined || isLabel(txn))
  if (!correct) refuseToken('claims')
  readCeiling(payload.authorization_details)
  return payload as unknown as DelegationClaims
}

function readCeiling(details: Json | undefined): Ceiling {
  try {
    return parseCeiling(details ?? null)
  } catch (error) {
    if (!(error instanceof CeilingError)) throw error
    throw new Refusal({ code: 'identity_invalid', check: 'claims' }, { cause: error })
  }
}

function refusing<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    throw new Refusal({ code: 'identity_invalid', check: error.check }, { cause: error })
  }
}

function refuseToken(check: IdentityCheck): never {
  refuse({ code: 'identity_invalid', check })
}
