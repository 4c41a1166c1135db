/** The type a sender gives its token (RFC 8693 §3), against what the token is. */
import { refuse } from '../../refusal.ts'

/** What a token is by its own content. A workload's token is a `jwt` and nothing narrower. */
export type TokenKind = 'jwt' | 'id_token' | 'access_token' | 'id_jag'

const DECLARED: ReadonlyMap<string, TokenKind> = new Map([
  ['urn:ietf:params:oauth:token-type:jwt', 'jwt'],
  ['urn:ietf:params:oauth:token-type:id_token', 'id_token'],
  ['urn:ietf:params:oauth:token-type:access_token', 'access_token'],
  ['urn:ietf:params:oauth:token-type:id-jag', 'id_jag'],
])

/**
 * Every token here is a JWT, so `jwt` is true of each; any other type must be exactly right. The
 * declared type never chooses how a token is verified.
 *
 * @throws {Refusal} `identity_invalid`, check `token_type`
 */
export function checkDeclaredType(declared: string, kind: TokenKind): void {
  const named = DECLARED.get(declared)
  if (named !== kind && named !== 'jwt') refuse({ code: 'identity_invalid', check: 'token_type' })
}
