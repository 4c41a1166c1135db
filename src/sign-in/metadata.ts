import { PROOF_ALGORITHMS } from '../token/dpop.ts'
import { DEVICE_GRANT, PATHS, ROLE_SCOPES } from './clients.ts'
import type { Site } from './options.ts'

/** RFC 8414; only what works. */
export function metadataOf({ url }: Site): Readonly<Record<string, unknown>> {
  return {
    issuer: url,
    authorization_endpoint: `${url}${PATHS.authorization}`,
    token_endpoint: `${url}${PATHS.token}`,
    device_authorization_endpoint: `${url}${PATHS.deviceAuthorization}`,
    revocation_endpoint: `${url}${PATHS.revocation}`,
    scopes_supported: ROLE_SCOPES,
    response_types_supported: ['code'],
    grant_types_supported: ['authorization_code', DEVICE_GRANT, 'refresh_token'],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    code_challenge_methods_supported: ['S256'],
    dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
  }
}
