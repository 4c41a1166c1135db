import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { BODY_TIMEOUT_MS, readObject } from './body.ts'
import { parseChallenges } from './challenge.ts'
import { quotable, WritError } from './error.ts'

const MAX_REFUSAL_BYTES = 16_384

/** What errors mean (RFC 6750 §3.1), for servers that say no more than the code. */
const WORDS: Readonly<Record<string, string>> = {
  invalid_token: 'the token was expired, revoked, already used, or made for another server',
  insufficient_scope: 'the token is not good for this message',
}

/** What to do, where the server's own words cannot say it. */
const ADVICE: Readonly<Record<string, string>> = {
  invalid_dpop_proof:
    "check this machine's clock, and that the URL is the one the server is known under",
  use_dpop_nonce:
    'the server asked for a nonce twice; check that all its processes share one nonce secret',
}

/**
 * An MCP server's 401 or 403, in words. Thrown and not passed on: SDK v1 would show the raw body and
 * SDK v2 would drop it, and either may start a sign-in that nobody is there to complete.
 */
export async function refusedCall(
  response: Response,
  url: URL,
  purpose: string,
): Promise<WritError> {
  const body = await readObject(response, MAX_REFUSAL_BYTES, BODY_TIMEOUT_MS)
  // Bearer stands first, for older clients; the challenge that was meant for this token is DPoP's.
  const challenges = parseChallenges(response.headers.get('www-authenticate'))
  const parameter = (name: string): string | undefined =>
    challenges.find((c) => c.scheme === 'dpop' && c.parameters.has(name))?.parameters.get(name) ??
    challenges.find((c) => c.parameters.has(name))?.parameters.get(name)
  const error = textOf(body?.error) ?? parameter('error')
  const description =
    textOf(body?.error_description) ??
    parameter('error_description') ??
    rpcMessage(body) ??
    WORDS[error ?? '']
  const said =
    error === undefined && description === undefined
      ? `HTTP ${response.status}`
      : [error, description]
          .filter((part) => part !== undefined)
          .map(quotable)
          .join(': ')
  const advice = error === undefined ? undefined : ADVICE[error]
  return new WritError(
    'server_refused',
    `the MCP server at ${url.origin} refused ${purpose}: ${said}${advice === undefined ? '' : `; ${advice}`}`,
    { status: response.status, error: error === undefined ? undefined : quotable(error) },
  )
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Some servers answer with a JSON-RPC error instead of an OAuth one. */
function rpcMessage(body: JsonObject | undefined): string | undefined {
  const error = body?.error
  return error !== undefined && isJsonObject(error) ? textOf(error.message) : undefined
}
