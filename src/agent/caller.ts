/** The parameters of a token request that say who asks, and on whose behalf. */
import { createHash } from 'node:crypto'
import { decodeJsonSegment, splitJws } from '../token/jws.ts'
import { WritError } from './error.ts'
import type { SpiffeConnections } from './spiffe-connect.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

/** What a token on somebody's behalf may be (RFC 8693 §3, ID-JAG §4.3). */
const TOKEN_TYPES = {
  id_token: 'urn:ietf:params:oauth:token-type:id_token',
  access_token: 'urn:ietf:params:oauth:token-type:access_token',
  id_jag: 'urn:ietf:params:oauth:token-type:id-jag',
  jwt: 'urn:ietf:params:oauth:token-type:jwt',
  delegation: 'urn:writ:params:oauth:token-type:delegation',
} as const

export const DELEGATION_TYPE = TOKEN_TYPES.delegation

export interface OnBehalfOf {
  /** A user's token, or the delegation token that another agent handed on with the work. */
  readonly token: string
  readonly tokenType: keyof typeof TOKEN_TYPES
}

/** Who asks: the JWT that says so, or whom the certificate of the connection names. */
export type Caller = { readonly jwt: string } | { readonly spiffeId: string }

const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

/**
 * Without an identity of its own, the caller is who the certificate of the connection says.
 *
 * @throws {WritError} `identity_unavailable`
 */
export async function readCaller(
  identity: (() => string | Promise<string>) | undefined,
  spiffe: SpiffeConnections | undefined,
): Promise<Caller> {
  if (identity === undefined) return { spiffeId: await ofSvid(() => spiffe?.spiffeId()) }
  return { jwt: await readJwt('identity', identity, 'the text of a JWT-SVID or another JWT') }
}

export function formOf(
  caller: Caller,
  subject: OnBehalfOf | undefined,
  grant: 'token-exchange' | 'jwt-bearer' | undefined,
): Record<string, string> {
  if (subject !== undefined) {
    const on = {
      grant_type: TOKEN_EXCHANGE,
      subject_token: subject.token,
      subject_token_type: TOKEN_TYPES[subject.tokenType],
    }
    return 'jwt' in caller
      ? { ...on, actor_token: caller.jwt, actor_token_type: TOKEN_TYPES.jwt }
      : { ...on, client_id: caller.spiffeId }
  }
  // There is no token to exchange when the certificate alone says who this is (RFC 6749 §4.4).
  if (!('jwt' in caller)) return { grant_type: 'client_credentials', client_id: caller.spiffeId }
  if (grant === 'jwt-bearer') return { grant_type: JWT_BEARER, assertion: caller.jwt }
  return {
    grant_type: TOKEN_EXCHANGE,
    subject_token: caller.jwt,
    subject_token_type: TOKEN_TYPES.jwt,
  }
}

/** What keeps one workload's tokens apart from another's in a cache: a renewed JWT names the same one. */
export function workloadOf(caller: Caller): string {
  if (!('jwt' in caller)) return caller.spiffeId
  return hashOf(claimedBy(caller.jwt) ?? caller.jwt)
}

/** Whom a JWT names, unverified; undefined when it cannot be read here. */
function claimedBy(jwt: string): string | undefined {
  try {
    const { iss, sub } = decodeJsonSegment(splitJws(jwt).payload)
    return typeof sub === 'string' ? JSON.stringify([iss, sub]) : undefined
  } catch {
    return undefined
  }
}

/**
 * @returns undefined when the caller acts for itself
 * @throws {WritError} `identity_unavailable`
 */
export async function readSubject(
  ask: (() => OnBehalfOf | undefined | Promise<OnBehalfOf | undefined>) | undefined,
): Promise<OnBehalfOf | undefined> {
  if (ask === undefined) return undefined
  let given: OnBehalfOf | undefined
  try {
    given = await ask()
  } catch (cause) {
    throw unavailable('the onBehalfOf callback failed; see the cause', cause)
  }
  if (given === undefined) return undefined
  const token = await readJwt('onBehalfOf', () => given.token, 'a JWT as token')
  if (!Object.hasOwn(TOKEN_TYPES, given.tokenType)) {
    throw unavailable(
      `the onBehalfOf callback names no tokenType of ${Object.keys(TOKEN_TYPES).join(', ')}`,
    )
  }
  return { token, tokenType: given.tokenType }
}

/** What keeps one subject's tokens apart from another's in a cache, and is no credential. */
export function nameOf(subject: OnBehalfOf | undefined): string | undefined {
  if (subject === undefined) return undefined
  const { token, tokenType } = subject
  return hashOf(`${tokenType} ${token}`)
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

async function readJwt(
  callback: string,
  ask: () => string | Promise<string>,
  expected: string,
): Promise<string> {
  let text: unknown
  try {
    text = await ask()
  } catch (cause) {
    throw unavailable(
      `the ${callback} callback failed, so nobody can vouch for this workload; see the cause`,
      cause,
    )
  }
  // Read from a file, it usually ends in a newline.
  const token = typeof text === 'string' ? text.trim() : ''
  if (JWT.test(token)) return token
  throw unavailable(`the ${callback} callback did not return a JWT; it should return ${expected}`)
}

/**
 * Asks for something about this workload's X.509-SVID.
 *
 * @throws {WritError} `identity_unavailable`
 */
export async function ofSvid<T>(ask: () => T | Promise<T>): Promise<NonNullable<T>> {
  let answer: T
  try {
    answer = await ask()
  } catch (cause) {
    throw withoutSvid(cause)
  }
  return answer ?? fail()
}

export function withoutSvid(cause: unknown): WritError {
  return unavailable('this workload has no X.509-SVID to prove itself by now; see the cause', cause)
}

function fail(): never {
  throw unavailable('this workload has no X.509-SVID to prove itself by now')
}

function unavailable(message: string, cause?: unknown): WritError {
  return new WritError('identity_unavailable', message, { cause })
}
