import { urlFault } from '../lib/credential-url.ts'
import { WritError } from './error.ts'

/**
 * A URL that a credential may be sent to: https, or http on loopback; no user name or password in it.
 *
 * @throws {WritError} `url_refused`
 */
export function credentialUrl(input: string | URL, what: string): URL {
  let url: URL
  try {
    url = new URL(input)
  } catch {
    throw new WritError('url_refused', `${what} is no absolute URL`)
  }
  const fault = urlFault(url)
  if (fault === 'user information') {
    throw new WritError('url_refused', `${what} at ${url.host} has a user name or password in it`)
  }
  if (fault !== undefined) {
    throw new WritError(
      'url_refused',
      `${what} ${url.origin} is not encrypted; use https (http is accepted on loopback only)`,
    )
  }
  return url
}

/** The `htu` of a proof: the URL without query and fragment (RFC 9449 §4.2). */
export function proofUrl(url: URL): string {
  return `${url.origin}${url.pathname}`
}
