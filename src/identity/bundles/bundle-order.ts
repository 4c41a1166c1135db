import { checkUrl } from '../../token/web-url.ts'
import { isSpiffeWorkload, isTrustDomainName, parseSpiffeId } from '../spiffe-id.ts'
import type { BundleSource, EndpointSource } from './bundle-source.ts'

/**
 * The sources in groups, each after those whose bundles it needs: an endpoint with a SPIFFE ID of
 * another trust domain can be authenticated only by that domain's bundle (SPIFFE Federation §7.6).
 *
 * @throws {TypeError} for a name that is none, a trust domain listed twice, an endpoint whose domain
 *   is not listed, and endpoints that need each other
 */
export function inGroups(sources: readonly BundleSource[]): readonly (readonly BundleSource[])[] {
  const names = new Set<string>()
  for (const source of sources) {
    const { trustDomain } = source
    if (!isTrustDomainName(trustDomain)) throw new TypeError(`"${trustDomain}" is no trust domain`)
    if (names.has(trustDomain)) throw new TypeError(`trust domain ${trustDomain} is listed twice`)
    names.add(trustDomain)
    checkMaxAge(source)
    if ('endpoint' in source) checkEndpoint(source)
  }
  const groups: BundleSource[][] = []
  const ready = new Set<string>()
  let waiting = [...sources]
  while (waiting.length > 0) {
    const next = waiting.filter((source) => {
      const needed = neededBy(source)
      if (needed !== undefined && !names.has(needed)) {
        throw new TypeError(
          `the bundle endpoint of ${source.trustDomain} is of ${needed}, which is not listed`,
        )
      }
      return needed === undefined || ready.has(needed)
    })
    if (next.length === 0) {
      const stuck = waiting.map(({ trustDomain }) => trustDomain).join(', ')
      throw new TypeError(`the bundle endpoints of ${stuck} need each other, none can be first`)
    }
    for (const { trustDomain } of next) ready.add(trustDomain)
    waiting = waiting.filter((source) => !next.includes(source))
    groups.push(next)
  }
  return groups
}

/** The other trust domain whose bundle authenticates this source's endpoint, if any. */
function neededBy(source: BundleSource): string | undefined {
  if (!('endpoint' in source) || source.endpoint.profile !== 'https_spiffe') return undefined
  const { trustDomain } = parseSpiffeId(source.endpoint.spiffeId)
  return trustDomain === source.trustDomain ? undefined : trustDomain
}

function checkMaxAge(source: BundleSource): void {
  if ('file' in source || source.maxAgeSeconds === undefined) return
  if (!(Number.isFinite(source.maxAgeSeconds) && source.maxAgeSeconds > 0)) {
    throw new TypeError(`maxAgeSeconds of ${source.trustDomain} must be a positive number`)
  }
}

function checkEndpoint(source: EndpointSource): void {
  const { trustDomain, endpoint, caFile } = source
  checkUrlOf(source)
  if (endpoint.profile === 'https_web') return
  if (endpoint.profile !== 'https_spiffe') {
    throw new TypeError(`the profile of ${trustDomain} must be https_web or https_spiffe`)
  }
  if (caFile !== undefined) throw new TypeError('caFile is for https_web only')
  if (!isSpiffeWorkload(endpoint.spiffeId)) {
    throw new TypeError(`the bundle endpoint of ${trustDomain} needs the SPIFFE ID of a workload`)
  }
  const selfServing = neededBy(source) === undefined
  if (selfServing === (endpoint.bootstrapFile === undefined)) {
    throw new TypeError(
      selfServing
        ? `the bundle endpoint of ${trustDomain} needs a bootstrapFile`
        : `the bundle endpoint of ${trustDomain} is of another domain, whose own bundle counts, not a bootstrapFile`,
    )
  }
}

/** SPIFFE Federation §5.2.1.1, §5.2.2.1; a fragment would never be sent. */
function checkUrlOf({ trustDomain, endpoint }: EndpointSource): void {
  const name = `the bundle endpoint of ${trustDomain}`
  const url = checkUrl(endpoint.url, name)
  if (url.protocol !== 'https:') throw new TypeError(`${name} must be https`)
  if (url.hash !== '') throw new TypeError(`${name} must have no fragment`)
}
