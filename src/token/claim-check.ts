/** Reads the claims of an access token (RFC 9068 §2.2): every one of the right type, or none. */
import { decodeBase64url } from '../lib/base64url.ts'
import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { ACTION_SCOPE, SESSION_SCOPE, type TokenClaims } from './claims.ts'

/** Goes into a ledger id, which has 256 characters. */
const MAX_JTI_CHARACTERS = 128
const MAX_NAME_CHARACTERS = 2048
const MAX_LABEL_CHARACTERS = 256
const MAX_ACTORS = 8
/** Three for each hand-over, and there are no more hand-overs than actors. */
const MAX_LINKS = 3 * MAX_ACTORS
const SHA256_BYTES = 32

/**
 * Claims Writ does not know are ignored (RFC 7519 §4); those it knows are never guessed at.
 *
 * @throws {Refusal} `token_invalid` with check `claims`, or `token_unbound` when there is no `cnf`
 */
export function readClaims(payload: JsonObject): {
  claims: TokenClaims
  kind: 'action' | 'session'
} {
  const { cnf, scope, authorization_details: details } = payload
  const named =
    isName(payload.iss) && isName(payload.aud) && isName(payload.sub) && isName(payload.client_id)
  if (!named || !isJti(payload.jti) || !isLabel(payload.sid)) refuseClaims()
  if (!isSeconds(payload.iat) || !isSeconds(payload.exp)) refuseClaims()
  if (payload.nbf !== undefined && !isSeconds(payload.nbf)) refuseClaims()
  if (payload.txn !== undefined && !isLabel(payload.txn)) refuseClaims()
  if (payload.act !== undefined && !isActor(payload.act)) refuseClaims()
  if (payload.via !== undefined && !isLinks(payload.via)) refuseClaims()

  // A token that anyone may carry is not one of ours (RFC 9449 §6, RFC 8705 §3).
  if (cnf === undefined) refuse({ code: 'token_unbound' })
  if (!isBinding(cnf)) refuseClaims()

  // The two kinds exclude each other: a session token that grants an action would be good for it
  // again and again, and an action token without one would grant nothing.
  const kind = scope === ACTION_SCOPE ? 'action' : scope === SESSION_SCOPE ? 'session' : undefined
  if (kind === undefined) refuseClaims()
  if (kind === 'action' ? !isDetails(details) : details !== undefined) refuseClaims()
  return { claims: payload as unknown as TokenClaims, kind }
}

export function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_NAME_CHARACTERS
}

export function isLabel(value: Json | undefined): value is string {
  return isName(value) && value.length <= MAX_LABEL_CHARACTERS
}

/** Visible ASCII, because it becomes part of keys in stores. */
export function isJti(value: Json | undefined): value is string {
  return isName(value) && value.length <= MAX_JTI_CHARACTERS && /^[\x21-\x7e]+$/.test(value)
}

export function isSeconds(value: Json | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** RFC 8693 §4.1. */
export function isActor(value: Json | undefined, actorsLeft = MAX_ACTORS): boolean {
  if (actorsLeft === 0 || !isJsonObject(value) || !isName(value.sub)) return false
  if (value.iss !== undefined && !isName(value.iss)) return false
  if (value.sub_profile !== undefined && !isName(value.sub_profile)) return false
  return value.act === undefined || isActor(value.act, actorsLeft - 1)
}

/** A link that cannot be read could be one that was revoked. */
export function isLinks(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_LINKS && value.every(isLabel)
}

/** RFC 9396 §2: objects, each with a type. */
function isDetails(value: Json | undefined): boolean {
  if (!Array.isArray(value) || value.length === 0) return false
  return value.every((element) => isJsonObject(element) && isName(element.type))
}

/** Exactly one key, named by its SHA-256 (RFC 7800 §3.1). */
export function isBinding(cnf: Json | undefined): boolean {
  if (!isJsonObject(cnf) || Object.keys(cnf).length !== 1) return false
  const thumbprint = cnf.jkt ?? cnf['x5t#S256']
  return typeof thumbprint === 'string' && decodeBase64url(thumbprint)?.length === SHA256_BYTES
}

function refuseClaims(): never {
  refuse({ code: 'token_invalid', check: 'claims' })
}
