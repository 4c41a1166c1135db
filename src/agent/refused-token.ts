import type { JsonObject } from '../lib/json.ts'
import { quotable, WritError } from './error.ts'

/** What OAuth errors of a token endpoint mean, for brokers that say no more than the code. */
const WORDS: Readonly<Record<string, string>> = {
  invalid_authorization_details: 'the action is unknown, does not fit its pin, or is not permitted',
  invalid_grant: 'policy does not permit this to this workload',
  access_denied: 'policy does not permit this to this workload',
  invalid_scope: 'policy does not permit this to this workload',
  unauthorized_client: 'this workload may not ask for tokens',
}

/** What to do, where the broker's own words are dull on purpose. */
const ADVICE: Readonly<Record<string, string>> = {
  invalid_request:
    "check that the identity is fresh, that its audience is the broker's issuer, and that the broker trusts its trust domain",
  invalid_target:
    'check that the URL is the resource this MCP server is registered under, and that policy lets this workload connect',
  invalid_dpop_proof: "check this machine's clock",
  use_dpop_nonce: 'check that all processes of the broker share one nonce secret',
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
  const description =
    typeof answer?.error_description === 'string'
      ? quotable(answer.error_description)
      : WORDS[error ?? '']
  const said =
    error === undefined ? `HTTP ${status}` : [error, description].filter(Boolean).join(': ')
  const advice = status >= 500 ? ADVICE.server_error : ADVICE[error ?? '']
  return new WritError(
    'token_refused',
    `the broker ${issuer} refused a token for ${purpose}: ${said}${advice === undefined ? '' : `; ${advice}`}`,
    { status, error },
  )
}
