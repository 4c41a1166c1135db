/** Signs access tokens (RFC 9068) and delegation tokens. What they say has been decided and recorded before. */
import type { JsonObject } from '../lib/json.ts'
import { randomId } from '../lib/random-id.ts'
import type { TokenClaims } from '../token/claims.ts'
import { DELEGATION_TYP, type DelegationClaims } from '../token/delegation.ts'
import { encodeHeader, type SigningKey, signSegments } from '../token/jws.ts'

const headerSegments = new WeakMap<SigningKey, string>()

/** The compact access token. Header: `typ: at+jwt`, `alg` and `kid` of the key, nothing else. */
export function mintToken(claims: TokenClaims, key: SigningKey): string {
  let segment = headerSegments.get(key)
  if (segment === undefined) {
    segment = encodeHeader({ typ: 'at+jwt' }, key)
    headerSegments.set(key, segment)
  }
  return signSegments(segment, claims as unknown as JsonObject, key)
}

/** The compact delegation token. No MCP server takes it for an access token: its `typ` is another. */
export function mintDelegation(claims: DelegationClaims, key: SigningKey): string {
  const header = encodeHeader({ typ: DELEGATION_TYP }, key)
  return signSegments(header, claims as unknown as JsonObject, key)
}

/** A token's identity: 128 random bits. */
export function newJti(): string {
  return randomId()
}
