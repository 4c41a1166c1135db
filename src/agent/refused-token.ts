import type { JsonObject } from '../lib/json.ts'
import { quotable, WritError } from './error.ts'

/** What to do about each OAuth error a token endpoint may answer with. */
const ADVICE: Readonly<Record<string, string>> = {
  invalid_request:
    "the broker did not accept the request, or not this workload's identity; check that the identity is fresh, that its audience is the broker's issuer, and that the broker trusts its trust domain",
  invalid_target:
    'the broker does not know this MCP server; check that the URL is the resource it is registered under',
  invalid_authorization_details:
    'the broker does not know this action, or its arguments do not fit the pinned definition, or policy does not permit it',
  invalid_grant: 'policy does not permit this to this workload',
  access_denied: 'policy does not permit this to this workload',
  unauthorized_client: 'this workload may not ask for tokens',
  invalid_scope: 'policy does not permit this to this workload',
  invalid_dpop_proof: "the broker did not accept the proof of the key; check this machine's clock",
  use_dpop_nonce:
    'the broker asked for a nonce twice; check that all its processes share one nonce secret',
  temporarily_unavailable: 'something the broker depends on is not working; try again later',
  server_error: 'something the broker depends on is not working; try again later',
}

/**
 * The broker's no, in words.
 *
 * @param answer the parsed JSON answer, if it was any
 */
export function refusedToken(
  status: number,
  answer: JsonObject | undefined,
  { issuer, purpose }: { issuer: string; purpose: string },
): WritError {
  const error = typeof answer?.error === 'string' ? quotable(answer.error) : undefined
  const description = answer?.error_description
  const said =
    error === undefined
      ? `HTTP ${status}`
      : typeof description === 'string'
        ? `${error} (${quotable(description)})`
        : error
  const advice =
    status >= 500 ? ADVICE.server_error : error === undefined ? undefined : ADVICE[error]
  return new WritError(
    'token_refused',
    `the broker ${issuer} refused a token for ${purpose}: ${said}${advice === undefined ? '' : `; ${advice}`}`,
    { status, error },
  )
}
