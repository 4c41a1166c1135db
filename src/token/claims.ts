import type { JsonObject } from '../lib/json.ts'

/** The key a token is good for (RFC 9449 §6.1, RFC 8705 §3.1); a token names exactly one. */
export type Binding = { readonly jkt: string } | { readonly 'x5t#S256': string }

/** Who acts for `sub`, outermost first (RFC 8693 §4.1). */
export interface Actor {
  readonly sub: string
  readonly iss?: string
  readonly sub_profile?: string
  readonly act?: Actor
}

export const ACTION_SCOPE = 'mcp:action'
export const SESSION_SCOPE = 'mcp:session'

/** The claims of every access token Writ signs (RFC 9068 §2.2). Times are seconds since the epoch. */
export interface TokenClaims {
  readonly iss: string
  /** One string: the MCP server's resource URI. */
  readonly aud: string
  readonly sub: string
  readonly client_id: string
  readonly act?: Actor
  readonly jti: string
  readonly iat: number
  readonly exp: number
  /** Hash of workload, principal and sender key. */
  readonly sid: string
  readonly txn?: string
  /**
   * What this token hangs on besides itself: the `jti` of every delegation token, and the `sid` and
   * the key of every session before it. Revoking one of them stops this token as well.
   */
  readonly via?: readonly string[]
  /** `mcp:action` or `mcp:session`. */
  readonly scope: string
  readonly authorization_details?: readonly JsonObject[]
  readonly cnf: Binding
}
