import { urlFault } from '../lib/credential-url.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

function secureUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url === undefined || urlFault(url) !== undefined ? undefined : url
}

/**
 * An issuer is compared byte for byte everywhere, so it has one spelling: an origin without a path
 * or trailing slash, in lower case, without a default port (RFC 8414 §2).
 */
export function isIssuer(text: string): boolean {
  return secureUrl(text)?.origin === text
}

/** A resource has one spelling too: what a URL parser would write, no fragment (RFC 8707 §2). */
export function isResource(text: string): boolean {
  const url = secureUrl(text)
  if (url === undefined || text.includes('#')) return false
  return url.href === text || (url.pathname === '/' && `${text}/` === url.href)
}

/** `host:port`, the host an IP address or a name, IPv6 in brackets. */
export function parseAddress(text: string): Address | undefined {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})$/.exec(text)
  const port = Number(parts?.[2])
  if (parts === null || port > 65_535) return undefined
  return { host: parts[1]!.replace(/^\[|\]$/g, ''), port }
}

/** An absolute https URL without user or fragment. */
export function isHttpsUrl(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || text.includes('#')) return false
  return url.username === '' && url.password === ''
}

/** Whether an address of a listener can be reached from this machine only. */
export function listensLocally(address: string): boolean {
  const host = parseAddress(address)?.host
  return host === 'localhost' || host === '::1' || host?.startsWith('127.') === true
}
