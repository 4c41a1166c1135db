import type { BundleHealth } from '../identity/bundles/bundles.ts'

/**
 * Whether a broker can prove those who ask it, by how each trust domain stands.
 *
 * A domain whose source is on this side (a file, the Workload API) and cannot be had makes the broker
 * unready: other processes may have it, and callers go there. One that somebody else serves does not,
 * or a partner's outage would take every broker away from everybody; and neither does a bundle that
 * was emptied on purpose. If nobody at all could be proved, it is unready whatever the reason.
 *
 * @param issuers how many issuers of workload tokens there are
 * @returns why not, in words; undefined when it is ready
 */
export function trustFault(domains: readonly BundleHealth[], issuers: number): string | undefined {
  const empty = domains.filter((one) => one.jwtKeys + one.x509Authorities === 0)
  if (issuers === 0 && empty.length === domains.length) return 'nobody can be proved'
  const lost = empty.filter((one) => isOurs(one) && isUnconfirmed(one))
  if (lost.length === 0) return undefined
  return `no bundle of ${lost.map((one) => one.trustDomain).join(', ')}`
}

function isOurs({ source }: BundleHealth): boolean {
  return source === 'file' || source === 'stream'
}

function isUnconfirmed({ ageSeconds }: BundleHealth): boolean {
  return ageSeconds === undefined || ageSeconds > 0
}
