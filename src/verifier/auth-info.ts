import type { TokenClaims } from '../token/claims.ts'
import { actors } from './subject.ts'

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
    /** On whose behalf: a user (`user:<issuer alias>:<sub>`), or the workload itself. */
    sub: string
    /** The workload that asked for the token and holds its key; `clientId` says the same. */
    client_id: string
    /**
     * Who acts for `sub`, outermost first: the caller, then whoever handed the work to it. Empty when
     * the caller acts for itself. Decide by `sub` and the first; the others are history (RFC 8693 §4.1).
     */
    actors: string[]
    /** The verified claims; `txn` is the task. */
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
    extra: { sub: claims.sub, client_id: claims.client_id, actors: actors(claims.act), claims },
  }
}
