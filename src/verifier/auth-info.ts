import type { TokenClaims } from '../token/claims.ts'

/** What both official SDKs hand to a tool about its caller (`req.auth`, `ctx.http.authInfo`). */
export interface AuthInfo {
  /**
   * Names the token, and is not it: `urn:writ:jti:` and the token's id. The token was bound to its
   * sender's key and is spent, and a server must never pass a client's token on, so there is
   * nothing a tool could do with the text but leak it.
   */
  token: string
  clientId: string
  scopes: string[]
  /** Seconds since the epoch. */
  expiresAt: number
  resource: URL
  resourceMetadataUrl: string
  extra: {
    /** The verified claims: `sub` is the principal, `act` who acts for it, `txn` the task. */
    claims: TokenClaims
    [name: string]: unknown
  }
}

export function authInfoOf(
  claims: TokenClaims,
  server: { readonly resource: string; readonly metadataUrl: string },
): AuthInfo {
  return {
    token: `urn:writ:jti:${claims.jti}`,
    clientId: claims.client_id,
    scopes: claims.scope.split(' '),
    expiresAt: claims.exp,
    resource: new URL(server.resource),
    resourceMetadataUrl: server.metadataUrl,
    extra: { claims },
  }
}
