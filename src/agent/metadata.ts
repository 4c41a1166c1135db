import { isJsonObject } from '../lib/json.ts'
import { callBroker, misconfigured } from './broker-call.ts'
import type { Fetch } from './fetch.ts'
import { credentialUrl } from './url.ts'

/**
 * Finds the broker's token endpoint in its metadata (RFC 8414 §3).
 *
 * Who answers need not prove anything here, even where the token endpoint must: it can only send the
 * agent to an endpoint, which then has to.
 *
 * @param issuer exactly as the broker is configured; its URL has been checked
 * @param connection `mutual`: the endpoint must take certificates (RFC 8705 §5); `proven`: it must be
 * one that can prove itself, where there is one
 * @throws {WritError} `broker_unreachable`, `broker_misconfigured`, `redirect_refused`, `url_refused`
 */
export async function findTokenEndpoint(
  issuer: string,
  fetch: Fetch,
  { mutual, proven }: { readonly mutual: boolean; readonly proven: boolean },
): Promise<URL> {
  // RFC 8414 §3.1: without the slash at its end.
  const path = new URL(issuer).pathname.replace(/\/$/, '')
  const url = new URL(`/.well-known/oauth-authorization-server${path}`, issuer)
  const { response, answer: metadata } = await callBroker(fetch, url, {
    headers: { accept: 'application/json' },
  })
  if (response.status !== 200) {
    throw misconfigured(issuer, `its metadata at ${url.href} answered ${response.status}`)
  }
  // RFC 8414 §3.3: identical, so that no other issuer's metadata can stand in for it.
  if (metadata?.issuer !== issuer) {
    throw misconfigured(
      issuer,
      `its metadata at ${url.href} does not name it as issuer; give the issuer exactly as the broker is configured`,
    )
  }
  const { token_endpoint: common, mtls_endpoint_aliases: aliases } = metadata
  const alias =
    proven && aliases !== undefined && isJsonObject(aliases) ? aliases.token_endpoint : undefined
  const endpoint = alias ?? (mutual ? undefined : common)
  if (typeof endpoint !== 'string') {
    const kind = mutual ? ' for certificates (mtls_endpoint_aliases)' : ''
    throw misconfigured(issuer, `its metadata at ${url.href} names no token endpoint${kind}`)
  }
  const found = credentialUrl(endpoint, "the broker's token endpoint")
  if (proven && found.protocol !== 'https:') {
    throw misconfigured(
      issuer,
      'certificates are shown over https only, and its token endpoint is not',
    )
  }
  return found
}
