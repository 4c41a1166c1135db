/** URLs as proofs and configurations name them: RFC 3986, never the forgiving reading of browsers. */
import { urlFault } from '../lib/credential-url.ts'

interface Parts {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: string
  readonly path: string
}

/** RFC 3986 appendix B for a hierarchical http(s) URI, without user information, in ASCII only. */
const HTTP_URI =
  /^(https?):\/\/(\[[0-9a-f:.]+\]|(?:[a-z0-9\-._~!$&'()*+,;=]|%[0-9a-f]{2})+)(?::([0-9]{0,5}))?(\/(?:[a-z0-9\-._~!$&'()*+,;=:@/]|%[0-9a-f]{2})*)?(?:\?(?:[a-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-f]{2})*)?(?:#(?:[a-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9a-f]{2})*)?$/i

const DEFAULT_PORTS = { http: '80', https: '443' }
const MAX_URI_CHARACTERS = 4096

/**
 * The URI without query and fragment, after syntax-based and scheme-based normalisation (RFC 3986
 * §6.2.2, §6.2.3), which is how RFC 9449 §4.3 compares `htu`. `undefined` unless it is an absolute
 * http(s) URI.
 */
export function normaliseTarget(uri: string): string | undefined {
  const parts = split(uri)
  if (parts === undefined) return undefined
  const { scheme, host, port, path } = parts
  const authority = port === '' || port === DEFAULT_PORTS[scheme] ? host : `${host}:${port}`
  return `${scheme}://${authority}${path}`
}

/**
 * Checks a URL from the configuration that this process will talk to.
 *
 * @throws {TypeError} unless it is `https:`, or `http:` on a loopback host, without user information
 */
export function checkUrl(url: string, name: string): URL {
  if (split(url) === undefined) throw new TypeError(`${name} must be an absolute http(s) url`)
  const parsed = new URL(url)
  if (urlFault(parsed) !== undefined) {
    throw new TypeError(`${name} must be https unless its host is loopback`)
  }
  return parsed
}

function split(uri: string): Parts | undefined {
  if (uri.length > MAX_URI_CHARACTERS) return undefined
  const match = HTTP_URI.exec(uri)
  if (match === null) return undefined
  const [, scheme, host, port, path] = match
  return {
    scheme: scheme!.toLowerCase() as Parts['scheme'],
    // Letters made visible by decoding are compared without case as well.
    host: normaliseEscapes(host!).toLowerCase().replace(/%../g, upper),
    // Leading zeros do not change a number, and an empty port is the default one.
    port: (port ?? '').replace(/^0+(?=.)/, ''),
    path: removeDotSegments(normaliseEscapes(path ?? '/')),
  }
}

const upper = (text: string) => text.toUpperCase()

/** RFC 3986 §6.2.2.1, §6.2.2.2: what need not be escaped is not, the rest is in capitals. */
function normaliseEscapes(text: string): string {
  return text.replace(/%[0-9a-f]{2}/gi, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase()
  })
}

/** RFC 3986 §5.2.4, for a path that begins with a slash. */
function removeDotSegments(path: string): string {
  if (!path.includes('/.')) return path
  const segments = path.split('/').slice(1)
  const kept: string[] = []
  for (const [at, segment] of segments.entries()) {
    const last = at === segments.length - 1
    if (segment === '..') kept.pop()
    if (segment !== '.' && segment !== '..') kept.push(segment)
    else if (last) kept.push('')
  }
  return `/${kept.join('/')}`
}
