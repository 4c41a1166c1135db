/** What the broker says about itself (RFC 8414). Only what works is advertised. */
import { MCP_ACTION_TYPE } from '../action/mcp-action.ts'
import type { JsonObject } from '../lib/json.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { PROOF_ALGORITHMS } from '../token/dpop.ts'
import { CLIENT_SCOPES } from './parts.ts'
import { JWT_BEARER, TOKEN_EXCHANGE } from './request.ts'

/** Accepted in client assertions. */
export const CLIENT_ALGORITHMS = ['ES256', 'ES384', 'PS256', 'RS256', 'Ed25519', 'EdDSA'] as const

/**
 * `authorization_endpoint` and the response type `code` are here because MCP's SDKs and conformance
 * suite require them of every authorization server. The endpoint knows the type and lets no client
 * use it: it answers `unauthorized_client` (RFC 6749 §4.1.2.1), and `grant_types_supported` has no
 * authorization code. PKCE is named for clients that look for it before they go on.
 */
export function serverMetadata(issuer: string): JsonObject {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    grant_types_supported: [TOKEN_EXCHANGE, JWT_BEARER, 'client_credentials'],
    scopes_supported: [ACTION_SCOPE, SESSION_SCOPE, ...CLIENT_SCOPES],
    authorization_details_types_supported: [MCP_ACTION_TYPE],
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: ['private_key_jwt'],
    introspection_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    revocation_endpoint_auth_methods_supported: ['private_key_jwt'],
    revocation_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
  }
}
