import type { Certificate } from './certificate.ts'
import { CertificateError } from './certificate-error.ts'
import { KEY_USAGE } from './certificate-extensions.ts'

/** RFC 5280 §4.2.1.12. */
export const PURPOSE = {
  any: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const

/**
 * What a certificate must say of itself before its key may vouch for others (RFC 5280 §4.2.1.1–3,
 * §4.2.1.9): a CA by a critical extension, with keyCertSign, a key identifier, and no name
 * constraints, which are not evaluated here and so must not be passed over.
 *
 * @throws {CertificateError}
 */
export function checkAuthority(certificate: Certificate): void {
  const { basicConstraints, keyUsage, subjectKeyId, authorityKeyId } = certificate
  if (basicConstraints?.ca !== true) throw new CertificateError('authority', 'the issuer is no CA')
  if (!basicConstraints.critical) {
    throw new CertificateError('authority', 'a CA whose basic constraints are not critical')
  }
  if (keyUsage?.bits.has(KEY_USAGE.keyCertSign) !== true) {
    throw new CertificateError('key_usage', 'a CA without keyCertSign')
  }
  if (subjectKeyId === undefined) {
    throw new CertificateError('authority', 'a CA without a subject key identifier')
  }
  if (authorityKeyId === undefined && !isSelfIssued(certificate)) {
    throw new CertificateError('authority', 'a CA without an authority key identifier')
  }
  if (certificate.hasNameConstraints) {
    throw new CertificateError('name_constraints', 'name constraints are not evaluated')
  }
}

/**
 * An authority out of a bundle: as `checkAuthority`, and a root that names its own key names it
 * right. Its signature is not checked; the bundle vouches for it.
 *
 * @throws {CertificateError}
 */
export function checkAnchor(certificate: Certificate): void {
  checkAuthority(certificate)
  const { authorityKeyId, subjectKeyId } = certificate
  if (authorityKeyId === undefined || subjectKeyId === undefined) return
  if (isSelfIssued(certificate) && !sameBytes(authorityKeyId, subjectKeyId)) {
    throw new CertificateError('authority', 'a root whose key identifiers differ')
  }
}

/** RFC 5280 §6.1: subject and issuer are one name. */
export function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return sameBytes(subject, issuer)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
