/**
 * X.509 certificates, read strictly.
 *
 * Two readers look at each: ours, which takes exact DER and the profile of RFC 5280 §4 only, and
 * OpenSSL's, which must be able to read it too and takes the key out of it.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import { certificateThumbprint } from '../../token/certificate.ts'
import { CertificateError } from './certificate-error.ts'
import { type Extensions, KEY_USAGE, parseExtensions } from './certificate-extensions.ts'
import { checkKeyInfo, checkKeyStrength, checkSignatureAlgorithm } from './certificate-key.ts'
import {
  DerError,
  DerReader,
  elementsOf,
  integerOf,
  octetsOfBits,
  oidOf,
  onlyContent,
  readerOf,
  TAG,
  timeOf,
} from './der.ts'

export { type CertificateCheck, CertificateError } from './certificate-error.ts'
export type { BasicConstraints, KeyUsage, SubjectAltName } from './certificate-extensions.ts'

/** The longest certificate that is read, in bytes of DER. */
export const MAX_CERTIFICATE_BYTES = 16 * 1024

/** A certificate as it is written. Nobody has vouched for it by being read. */
export interface Certificate extends Extensions {
  readonly der: Uint8Array
  /** `x5t#S256`. */
  readonly thumbprint: string
  /** DER of the name; names are compared as these bytes. */
  readonly subject: Uint8Array
  /** DER of the name. */
  readonly issuer: Uint8Array
  readonly hasEmptySubject: boolean
  /** Seconds since the epoch, both inclusive. */
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: KeyObject
  /** Values of the subject alternative name; empty when there is none. */
  readonly uriSans: readonly string[]
  readonly dnsSans: readonly string[]
  /** Whether the key of `issuer` has signed this; says nothing about who that is. */
  signatureVerifies(issuer: Certificate): boolean
}

/**
 * Reads one certificate: exact DER, version 3, RFC 5280 §4 as far as one certificate can tell, keys
 * and algorithms that are strong enough. Who issued it is for `validatePath` to find out.
 *
 * @param der nothing may follow the certificate
 * @throws {CertificateError} with the check that failed
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new CertificateError('bounds', `more than ${MAX_CERTIFICATE_BYTES} bytes`)
  }
  try {
    return readCertificate(Uint8Array.from(der))
  } catch (error) {
    if (error instanceof DerError) {
      throw new CertificateError('form', `no X.509 certificate in DER: ${error.message}`)
    }
    throw error
  }
}

function readCertificate(der: Uint8Array): Certificate {
  const outer = readerOf(der, TAG.sequence)
  const toBeSigned = outer.expect(TAG.sequence)
  const signatureAlgorithm = outer.expect(TAG.sequence).whole
  octetsOfBits(outer.expect(TAG.bitString).content)
  outer.end()

  const reader = new DerReader(toBeSigned.content)
  checkVersion(reader.optional(0xa0)?.content)
  checkSerialNumber(reader.expect(TAG.integer).content)
  // RFC 5280 §4.1.1.2: the algorithm that is signed and the one that is not are the same.
  if (Buffer.compare(reader.expect(TAG.sequence).whole, signatureAlgorithm) !== 0) {
    throw new CertificateError('algorithm', 'two signature algorithms')
  }
  checkSignatureAlgorithm(signatureAlgorithm)
  const issuer = reader.expect(TAG.sequence)
  if (nameIsEmpty(issuer.content)) throw new CertificateError('form', 'an empty issuer')
  const validity = new DerReader(reader.expect(TAG.sequence).content)
  const notBefore = timeOf(validity.next())
  const notAfter = timeOf(validity.next())
  validity.end()
  if (notAfter < notBefore)
    throw new CertificateError('form', 'a validity that ends before it begins')
  const subject = reader.expect(TAG.sequence)
  const hasEmptySubject = nameIsEmpty(subject.content)
  checkKeyInfo(...keyInfoOf(reader.expect(TAG.sequence).content))
  // RFC 5280 §4.1.2.8: unique identifiers ([1], [2]) are not written; so nothing else may come here.
  const extensions = parseExtensions(onlyContent(reader.expect(0xa3).content, TAG.sequence))
  reader.end()
  checkSelf(extensions, hasEmptySubject)

  const x509 = openSslReads(der)
  const { publicKey } = x509
  checkKeyStrength(publicKey)
  return {
    ...extensions,
    der,
    thumbprint: certificateThumbprint(der),
    subject: subject.whole,
    issuer: issuer.whole,
    hasEmptySubject,
    notBefore,
    notAfter,
    publicKey,
    uriSans: extensions.subjectAltName?.uris ?? [],
    dnsSans: extensions.subjectAltName?.dnsNames ?? [],
    // OpenSSL also asks whether a key of this kind can make this signature.
    signatureVerifies: (by) => x509.verify(by.publicKey),
  }
}

/** Version 3 is written as 2; versions 1 and 2 have no extensions and so no SPIFFE ID. */
function checkVersion(content: Uint8Array | undefined): void {
  if (content === undefined) throw new CertificateError('form', 'version 1')
  const reader = new DerReader(content)
  const version = integerOf(reader.expect(TAG.integer).content)
  reader.end()
  if (version.length !== 1 || version[0] !== 2) throw new CertificateError('form', 'not version 3')
}

/** RFC 5280 §4.1.2.2: positive, at most 20 octets. */
function checkSerialNumber(content: Uint8Array): void {
  const [first = 0] = integerOf(content)
  if (first >= 0x80 || (content.length === 1 && first === 0) || content.length > 20) {
    throw new CertificateError('form', 'a serial number that is not positive or too long')
  }
}

/** RFC 5280 §4.1.2.4. @returns whether there is no attribute in it */
function nameIsEmpty(content: Uint8Array): boolean {
  const sets = elementsOf(content)
  for (const set of sets) {
    if (set.tag !== TAG.set || set.content.length === 0) throw new DerError('no name')
    for (const attribute of elementsOf(set.content)) {
      if (attribute.tag !== TAG.sequence) throw new DerError('no name')
      const reader = new DerReader(attribute.content)
      oidOf(reader.expect(TAG.oid).content)
      reader.next()
      reader.end()
    }
  }
  return sets.length === 0
}

/** The AlgorithmIdentifier of a key, and the key. */
function keyInfoOf(content: Uint8Array): [algorithm: Uint8Array, bits: Uint8Array] {
  const reader = new DerReader(content)
  const algorithm = reader.expect(TAG.sequence).whole
  const bits = octetsOfBits(reader.expect(TAG.bitString).content)
  reader.end()
  return [algorithm, bits]
}

/** What one certificate must not say of itself, whatever it is used for. */
function checkSelf(extensions: Extensions, hasEmptySubject: boolean): void {
  const { basicConstraints, keyUsage, subjectAltName, hasNameConstraints } = extensions
  const ca = basicConstraints?.ca === true
  const signs = keyUsage?.bits.has(KEY_USAGE.keyCertSign) === true
  // RFC 5280 §4.2.1.9: keyCertSign needs cA, and pathLenConstraint needs keyCertSign.
  if (signs && !ca) throw new CertificateError('key_usage', 'keyCertSign without cA')
  if (basicConstraints?.pathLength !== undefined && !signs) {
    throw new CertificateError('key_usage', 'a path length without keyCertSign')
  }
  // §4.2.1.10
  if (hasNameConstraints && !ca) {
    throw new CertificateError('name_constraints', 'name constraints in no CA')
  }
  // §4.1.2.6; X509-SVID §2.
  if (hasEmptySubject && (ca || subjectAltName?.critical !== true)) {
    throw new CertificateError('form', 'no subject, and no critical name in its place')
  }
}

function openSslReads(der: Uint8Array): X509Certificate {
  try {
    const x509 = new X509Certificate(der)
    // The key is read lazily, and a point beside its curve is found only then.
    void x509.publicKey
    return x509
  } catch {
    // OpenSSL's words may quote what it read.
    throw new CertificateError('form', 'OpenSSL cannot read it')
  }
}
