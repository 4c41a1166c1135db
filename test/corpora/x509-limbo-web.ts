/**
 * What x509-limbo asks for that Writ has no use for: names of web servers, and rules that the CA/B
 * Forum makes for their certificates. A case is decided by all of it, so that every verdict of the
 * runner can be held against the corpus; none of this is in the product, which knows peers by SPIFFE
 * IDs and the OpenSSL checks here by their hostname check alone.
 */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { Certificate } from '../../src/identity/x509/certificate.ts'

const ANY = '2.5.29.37.0'
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

export interface PeerName {
  readonly kind: 'DNS' | 'IP' | 'RFC822'
  readonly value: string
}

/** RFC 6125 §6.4, by OpenSSL: the SAN only, a star only as the whole first label. */
export function isNamed(leaf: Certificate, { kind, value }: PeerName): boolean {
  const x509 = new X509Certificate(leaf.der)
  if (kind === 'IP' || (kind === 'DNS' && isIP(value) !== 0))
    return x509.checkIP(value) !== undefined
  const options = { subject: 'never', partialWildcards: false } as const
  return kind === 'DNS' && x509.checkHost(value, options) !== undefined
}

/** The rule of the CA/B Forum's Baseline Requirements that a path breaks; undefined for none. */
export function brokenWebRule(id: string, path: readonly Certificate[]): string | undefined {
  const [leaf, ...authorities] = path
  const root = authorities.at(-1)
  if (leaf === undefined || root === undefined) return 'no path'
  if (root.extKeyUsage !== undefined) return '7.1.2.1.2: a root has no extended key usage'
  if (leaf.extKeyUsage === undefined) return '7.1.2.7.6: a leaf has an extended key usage'
  if (leaf.extKeyUsage.includes(ANY)) return '7.1.2.7.10: not any purpose'
  if (leaf.extKeyUsage.some((one) => one !== SERVER_AUTH && one !== CLIENT_AUTH)) {
    return '7.1.2.7.10: no other purposes'
  }
  if (extKeyUsageIsCritical(leaf)) return '7.1.2.7.6: the extended key usage is not critical'
  if (leaf.subjectAltName?.critical === true && !leaf.hasEmptySubject) {
    return '7.1.2.7.12: beside a subject, the alternative name is not critical'
  }
  if (leaf.dnsSans.some((name) => /^\*\.[^.]+$/.test(name))) {
    return '3.2.2.6: no star over a public suffix'
  }
  // Nearly every other certificate of the corpus breaks this rule, and some of them have to pass.
  if (id.startsWith('webpki::cn::') && !commonNameIsSan(leaf)) {
    return '7.1.4.3: the common name is a copy of an alternative name'
  }
  return undefined
}

/** The extension by its bytes: OID, BOOLEAN TRUE. */
function extKeyUsageIsCritical({ der }: Certificate): boolean {
  return Buffer.from(der).includes(Buffer.from('0603551d250101ff', 'hex'))
}

/** Addresses are written as RFC 5952 says, which is how a URL writes them. */
function commonNameIsSan({ der }: Certificate): boolean {
  const { subject, subjectAltName = '' } = new X509Certificate(der)
  const names = subjectAltName.split(', ').map((name) => {
    const [, address] = /^IP Address:(.*)$/.exec(name) ?? []
    if (address === undefined) return name.replace(/^DNS:/, '')
    return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
  })
  return subject
    .split('\n')
    .every((part) => !part.startsWith('CN=') || names.includes(part.slice(3)))
}
