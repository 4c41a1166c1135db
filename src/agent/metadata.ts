import { discard, readObject } from './body.ts'
import { callBroker, misconfigured } from './broker-call.ts'
import type { Fetch } from './fetch.ts'
import { credentialUrl } from './url.ts'

const MAX_METADATA_BYTES = 262_144

/**
 * Finds the broker's token endpoint in its metadata (RFC 8414 §3).
 *
 * @param issuer exactly as the broker is configured; its URL has been checked
 * @throws {WritError} `broker_unreachable`, `broker_misconfigured`, `redirect_refused`, `url_refused`
 */
export async function findTokenEndpoint(issuer: string, fetch: Fetch): Promise<URL> {
  const { pathname } = new URL(issuer)
  const path = pathname === '/' ? '' : pathname
  const url = new URL(`/.well-known/oauth-authorization-server${path}`, issuer)
  const response = await callBroker(fetch, url, { headers: { accept: 'application/json' } })
  if (response.status !== 200) {
    await discard(response)
    throw misconfigured(issuer, `its metadata at ${url.href} answered ${response.status}`)
  }
  const metadata = await readObject(response, MAX_METADATA_BYTES)
  // RFC 8414 §3.3: identical, so that no other issuer's metadata can stand in for it.
  if (metadata?.issuer !== issuer) {
    throw misconfigured(
      issuer,
      `its metadata at ${url.href} does not name it as issuer; give the issuer exactly as the broker is configured`,
    )
  }
  if (typeof metadata.token_endpoint !== 'string') {
    throw misconfigured(issuer, `its metadata at ${url.href} names no token endpoint`)
  }
  return credentialUrl(metadata.token_endpoint, "the broker's token endpoint")
}
