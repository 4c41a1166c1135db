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
 * §4.2.1.9): a CA by a critical extension, with keyCertSign, key identifiers, and no name
 * constraints, which are not evaluated here and so must not be passed over.
 *
 * @throws {CertificateError}
 */
export function checkAuthority(certificate: Certificate): void {
  checkSigner(certificate)
  if (certificate.authorityKeyId === undefined) {
    throw new CertificateError('authority', 'a CA without an authority key identifier')
  }
}

/**
 * An authority out of a bundle: as `checkAuthority`, but one that is self-signed may leave out the
 * authority key identifier, and when it has one it names its own key. Nothing else is asked of its
 * signature; the bundle vouches for it.
 *
 * @throws {CertificateError}
 */
export function checkAnchor(certificate: Certificate): void {
  checkSigner(certificate)
  const { authorityKeyId, subjectKeyId } = certificate
  if (authorityKeyId === undefined) {
    if (isSelfSigned(certificate)) return
    throw new CertificateError('authority', 'a CA without an authority key identifier')
  }
  if (isSelfIssued(certificate) && !sameBytes(authorityKeyId, subjectKeyId ?? NONE)) {
    throw new CertificateError('authority', 'a root whose key identifiers differ')
  }
}

const NONE = new Uint8Array(0)

function checkSigner(certificate: Certificate): void {
  const { basicConstraints, keyUsage } = certificate
  if (basicConstraints?.ca !== true) throw new CertificateError('authority', 'the issuer is no CA')
  if (!basicConstraints.critical) {
    throw new CertificateError('authority', 'a CA whose basic constraints are not critical')
  }
  if (keyUsage?.bits.has(KEY_USAGE.keyCertSign) !== true) {
    throw new CertificateError('key_usage', 'a CA without keyCertSign')
  }
  if (certificate.subjectKeyId === undefined) {
    throw new CertificateError('authority', 'a CA without a subject key identifier')
  }
  if (certificate.hasNameConstraints) {
    throw new CertificateError('name_constraints', 'name constraints are not evaluated')
  }
}

/** Authorities stay for long and are asked about for every leaf. */
const selfSigned = new WeakMap<Certificate, boolean>()

function isSelfSigned(certificate: Certificate): boolean {
  const known = selfSigned.get(certificate)
  if (known !== undefined) return known
  const verdict = certificate.signatureVerifies(certificate)
  selfSigned.set(certificate, verdict)
  return verdict
}

/** RFC 5280 §6.1: subject and issuer are one name. */
export function isSelfIssued({ subject, issuer }: Certificate): boolean {
  return sameBytes(subject, issuer)
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
