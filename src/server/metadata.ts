/** What the broker says about itself (RFC 8414). Only what works is advertised. */
import { MCP_CEILING_TYPE } from '../action/ceiling.ts'
import { MCP_ACTION_TYPE } from '../action/mcp-action.ts'
import { CLIENT_ALGORITHMS } from '../identity/client-assertion.ts'
import type { JsonObject } from '../lib/json.ts'
import { SIGNING_ALGORITHMS } from '../mint/key-file.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { PROOF_ALGORITHMS } from '../token/dpop.ts'
import { tokenUrlOf } from './mtls.ts'
import { type BrokerParts, CLIENT_SCOPES } from './parts.ts'
import { GRANTS } from './request.ts'

/**
 * `authorization_endpoint` and the response type `code` are here because MCP's SDKs and conformance
 * suite require them of every authorization server. The endpoint knows the type and lets no client
 * use it: it answers `unauthorized_client` (RFC 6749 §4.1.2.1), and `grant_types_supported` has no
 * authorization code. PKCE is named for clients that look for it before they go on.
 */
export function serverMetadata(
  parts: Pick<BrokerParts, 'broker' | 'mtls' | 'proxies'>,
): JsonObject {
  const { mtls, proxies = [] } = parts
  const { issuer } = parts.broker
  // A certificate has to be able to reach us.
  const certificates = mtls !== undefined || proxies.length > 0
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    introspection_endpoint: `${issuer}/introspect`,
    revocation_endpoint: `${issuer}/revoke`,
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    grant_types_supported: [...GRANTS.keys()],
    scopes_supported: [ACTION_SCOPE, SESSION_SCOPE, ...CLIENT_SCOPES],
    authorization_details_types_supported: [
      MCP_ACTION_TYPE,
      ...(parts.broker.delegation === undefined ? [] : [MCP_CEILING_TYPE]),
    ],
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    token_endpoint_auth_methods_supported: [
      'none',
      'private_key_jwt',
      'spiffe_jwt',
      ...(certificates ? ['spiffe_x509'] : []),
    ],
    token_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: ['private_key_jwt'],
    introspection_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    // Of whichever key signs at the time (RFC 9701 §7); rotation may change the algorithm.
    introspection_signing_alg_values_supported: SIGNING_ALGORITHMS,
    revocation_endpoint_auth_methods_supported: ['private_key_jwt'],
    revocation_endpoint_auth_signing_alg_values_supported: CLIENT_ALGORITHMS,
    ...(certificates ? { tls_client_certificate_bound_access_tokens: true } : {}),
    ...(mtls === undefined ? {} : { mtls_endpoint_aliases: { token_endpoint: tokenUrlOf(mtls) } }),
  }
}
