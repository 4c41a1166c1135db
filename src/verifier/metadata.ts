import { MCP_ACTION_TYPE } from '../action/mcp-action.ts'
import type { JsonObject } from '../lib/json.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { PROOF_ALGORITHMS } from '../token/dpop.ts'

export const WELL_KNOWN = '/.well-known/oauth-protected-resource'

/** Where this server's metadata is, and what it says. */
export interface Metadata {
  /** The path-inserted well-known path (RFC 9728 §3.1); goes into every challenge. */
  readonly path: string
  readonly url: string
  /** Also answered at the root, which older clients try (MCP authorization, "AS discovery"). */
  readonly rootPath: string
  readonly document: JsonObject
}

/** Protected resource metadata (RFC 9728 §2), the one thing this server says without a token. */
export function metadataOf(resource: string, issuer: string, certificates: boolean): Metadata {
  const { origin, pathname } = new URL(resource)
  const path = pathname === '/' ? WELL_KNOWN : `${WELL_KNOWN}${pathname}`
  return {
    path,
    url: `${origin}${path}`,
    rootPath: WELL_KNOWN,
    document: {
      resource,
      authorization_servers: [issuer],
      scopes_supported: [ACTION_SCOPE, SESSION_SCOPE],
      bearer_methods_supported: ['header'],
      authorization_details_types_supported: [MCP_ACTION_TYPE],
      dpop_signing_alg_values_supported: [...PROOF_ALGORITHMS],
      dpop_bound_access_tokens_required: !certificates,
      tls_client_certificate_bound_access_tokens: certificates,
    },
  }
}
