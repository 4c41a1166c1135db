/** The two clients of sign-in, both our own and neither with a secret, and the addresses they use. */
import { ROLES } from './admin.ts'
import type { Site } from './options.ts'

export const CONSOLE_CLIENT = 'writ-console'
export const CLI_CLIENT = 'writ-cli'
/** Of a browser on its way through the provider's pages. */
export const PROVIDER_COOKIE = '__Host-writ_provider'
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
export const ROLE_SCOPES: readonly string[] = ROLES.map((role) => `writ:${role}`)

/** Where oidc-provider answers; nothing else of it is open. */
export const PATHS = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  deviceAuthorization: '/oauth/device_authorization',
  revocation: '/oauth/revoke',
  device: '/sign-in/device',
  interaction: '/sign-in/with-passkey',
  callback: '/sign-in/callback',
} as const

/** Its code is traded for a token on this server alone (`console-flow.ts`). */
export function consoleClient(site: Site) {
  return {
    client_id: CONSOLE_CLIENT,
    application_type: 'web',
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [`${site.url}${PATHS.callback}`],
  } as const
}

export function cliClient() {
  return {
    client_id: CLI_CLIENT,
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    grant_types: [DEVICE_GRANT, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    dpop_bound_access_tokens: true,
  } as const
}
