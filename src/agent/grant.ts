import { isJsonObject, type Json, type JsonObject } from '../lib/json.ts'
import type { WritError } from './error.ts'
import type { HeldToken } from './token-cache.ts'

const ACCESS_TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'
/** RFC 6750 §2.1: anything else could not stand in a header. */
const TOKEN68 = /^[A-Za-z0-9\-._~+/]+=*$/

/**
 * Reads the answer to a token request (RFC 8693 §2.2.1). Its token must be bound to a key, and for
 * what was asked for: a broker that mixes up two calls is found here.
 *
 * @param asked the `mcp_action` that was asked for; undefined for a session token
 * @param askedAt seconds since the epoch, before the request was sent
 * @param misconfigured makes the error from what is wrong with the answer
 * @throws {WritError}
 */
export function readGrant(
  answer: JsonObject | undefined,
  { asked, askedAt }: { asked: JsonObject | undefined; askedAt: number },
  misconfigured: (what: string) => WritError,
): HeldToken {
  const { access_token: token, token_type: type, expires_in: lifetime } = answer ?? {}
  if (typeof token !== 'string' || !TOKEN68.test(token)) {
    throw misconfigured('its answer has no token')
  }
  if (typeof type !== 'string' || type.toLowerCase() !== 'dpop') {
    throw misconfigured('its token is not bound to a key (token_type is not DPoP)')
  }
  if (answer?.issued_token_type !== ACCESS_TOKEN_TYPE) {
    throw misconfigured('what it issued is not an access token')
  }
  if (typeof lifetime !== 'number' || lifetime <= 0) {
    throw misconfigured('its answer does not say when the token ends (expires_in)')
  }
  const uses = asked === undefined ? Infinity : usesOf(answer.authorization_details, asked)
  if (uses === undefined) throw misconfigured('it granted something else than what was asked for')
  return { token, issuedAt: askedAt, expiresAt: askedAt + lifetime, uses }
}

/** How often the granted action may be done (RFC 9396 §7); undefined when it is not among the grants. */
function usesOf(details: Json | undefined, asked: JsonObject): number | undefined {
  if (!Array.isArray(details)) return undefined
  const granted = (details as readonly Json[])
    .filter(isJsonObject)
    .find((detail) => detail.type === asked.type && detail.identifier === asked.identifier)
  if (granted === undefined) return undefined
  return typeof granted.max_uses === 'number' && granted.max_uses > 1 ? granted.max_uses : 1
}
