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
  if (url.username !== '' || url.password !== '') {
    throw new WritError('url_refused', `${what} at ${url.host} has a user name or password in it`)
  }
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new WritError(
      'url_refused',
      `${what} ${url.origin} is not encrypted; use https (http is accepted on loopback only)`,
    )
  }
  return url
}

function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    // `new URL` has already turned every other spelling of an IPv4 address into this one.
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  )
}

/** The `htu` of a proof: the URL without query and fragment (RFC 9449 §4.2). */
export function proofUrl(url: URL): string {
  return `${url.origin}${url.pathname}`
}
