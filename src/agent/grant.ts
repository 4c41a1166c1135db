import type { ActionDemand } from '../action/demand.ts'
import { matchDetails } from '../action/mcp-action.ts'
import type { Json, JsonObject } from '../lib/json.ts'
import { Refusal } from '../refusal.ts'
import { DELEGATION_TYPE } from './caller.ts'
import type { WritError } from './error.ts'
import type { HeldToken } from './token-cache.ts'

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
/** RFC 6750 §2.1: anything else could not stand in a header. */
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

export interface Expected {
  /** The action that was asked for; undefined for a session token. */
  readonly asked: { readonly demand: ActionDemand; readonly resource: string } | undefined
  /** Seconds since the epoch, before the request was sent. */
  readonly askedAt: number
  /** Only token exchange has to say what it issued (RFC 8693 §2.2.1). */
  readonly exchanged: boolean
  readonly binding: 'dpop' | 'mtls'
  /** Whether a token that is bound to nothing is taken as well. */
  readonly bearer: boolean
}

/**
 * Reads the answer to a token request (RFC 6749 §5.1, RFC 8693 §2.2.1). Its token must be bound to
 * what was asked for, and grant what was asked for: a broker that mixes up two calls is found here.
 *
 * @param misconfigured makes the error from what is wrong with the answer
 * @throws {WritError}
 */
export function readGrant(
  answer: JsonObject | undefined,
  { asked, askedAt, exchanged, binding, bearer }: Expected,
  misconfigured: (what: string) => WritError,
): HeldToken {
  const { token, expiresAt } = readToken(answer, askedAt, misconfigured)
  const type = String(answer?.token_type).toLowerCase()
  const scheme = type === 'dpop' ? 'DPoP' : type === 'bearer' ? 'Bearer' : undefined
  const wanted = binding === 'mtls' ? 'Bearer' : 'DPoP'
  if (scheme === undefined || (scheme !== wanted && !bearer)) {
    throw misconfigured(
      `its token is not bound to ${binding === 'mtls' ? 'the certificate' : 'a key'} (token_type is not ${wanted})`,
    )
  }
  const issued = answer?.issued_token_type
  if (issued === undefined ? exchanged : issued !== ACCESS_TOKEN_TYPE) {
    throw misconfigured('what it issued is not an access token')
  }
  const server = answer?.server_spiffe_id
  if (server !== undefined && !(typeof server === 'string' && server.startsWith('spiffe://'))) {
    throw misconfigured('it names a server by something that is no SPIFFE ID (server_spiffe_id)')
  }
  const unbound = scheme !== wanted
  const uses =
    asked === undefined
      ? Number.POSITIVE_INFINITY
      : (usesOf(answer?.authorization_details, asked) ?? (unbound ? 1 : undefined))
  if (uses === undefined) throw misconfigured('it granted something else than what was asked for')
  return { token, scheme, serverSpiffeId: server, issuedAt: askedAt, expiresAt, uses }
}

/**
 * Reads the answer to a request for a delegation token.
 *
 * @throws {WritError}
 */
export function readDelegation(
  answer: JsonObject | undefined,
  askedAt: number,
  misconfigured: (what: string) => WritError,
): { token: string; expiresAt: number } {
  if (answer?.issued_token_type !== DELEGATION_TYPE) {
    throw misconfigured('what it issued is not a delegation token')
  }
  return readToken(answer, askedAt, misconfigured)
}

function readToken(
  answer: JsonObject | undefined,
  askedAt: number,
  misconfigured: (what: string) => WritError,
): { token: string; expiresAt: number } {
  const { access_token: token, expires_in: lifetime } = answer ?? {}
  if (typeof token !== 'string' || !TOKEN68.test(token)) {
    throw misconfigured('its answer has no token')
  }
  if (typeof lifetime !== 'number' || !(lifetime > 0)) {
    throw misconfigured('its answer does not say when the token ends (expires_in)')
  }
  return { token, expiresAt: askedAt + lifetime }
}

/**
 * How often the granted action may be done (RFC 9396 §7); undefined when it is not among the grants, or
 * is another in any part that the server will compare: then the token would only be burnt there.
 */
function usesOf(
  details: Json | undefined,
  { demand, resource }: NonNullable<Expected['asked']>,
): number | undefined {
  // One was asked for. Each would be compared, and more than one makes work for nothing.
  if (!Array.isArray(details) || details.length !== 1) return undefined
  try {
    return matchDetails(details, demand, resource, undefined).max_uses
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return undefined
  }
}
