/** What keeps a credential from being sent to a URL. */
export type UrlFault = 'user information' | 'not encrypted'

/**
 * Whether a credential, or what is believed for its sake, may travel to or from this URL: only over
 * `https:`, or `http:` that never leaves the machine, and never with a name or password in the URL.
 */
export function urlFault(url: URL): UrlFault | undefined {
  if (url.username !== '' || url.password !== '') return 'user information'
  if (url.protocol === 'https:') return undefined
  return url.protocol === 'http:' && isLoopback(url.hostname) ? undefined : 'not encrypted'
}

/**
 * `127.0.0.0/8`, `[::1]` and `localhost`. Not the names beneath `localhost`: whether they are
 * loopback is up to each resolver.
 *
 * @param hostname as `URL` gives it, which turns every spelling of an IPv4 address into one
 */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)
  )
}
