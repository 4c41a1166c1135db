import type { KeyObject } from 'node:crypto'
import { CertificateError } from './certificate-error.ts'

const PSS_PREFIX = '304106092a864886f70d01010a3034a00f300d0609608648016503040'
const PSS_MIDDLE = '0500a11c301a06092a864886f70d010108300d0609608648016503040'

/**
 * Signature algorithms by the whole AlgorithmIdentifier, parameters included, so that each has one
 * spelling (RFC 4055 §3.1 and §5, RFC 5758 §3.2, RFC 8410 §3). No SHA-1, no MD5, no DSA.
 */
const SIGNATURES: ReadonlySet<string> = new Set([
  '300d06092a864886f70d01010b0500',
  '300d06092a864886f70d01010c0500',
  '300d06092a864886f70d01010d0500',
  `${PSS_PREFIX}201${PSS_MIDDLE}2010500a203020120`,
  `${PSS_PREFIX}202${PSS_MIDDLE}2020500a203020130`,
  `${PSS_PREFIX}203${PSS_MIDDLE}2030500a203020140`,
  '300a06082a8648ce3d040302',
  '300a06082a8648ce3d040303',
  '300a06082a8648ce3d040304',
  '300506032b6570',
])

/**
 * Keys by their AlgorithmIdentifier, curves by name only and never by parameters of the sender's; and
 * how many octets a point of the curve has.
 */
const KEYS: ReadonlyMap<string, number | undefined> = new Map([
  ['300d06092a864886f70d0101010500', undefined],
  ['301306072a8648ce3d020106082a8648ce3d030107', 65],
  ['301006072a8648ce3d020106052b81040022', 97],
  ['301006072a8648ce3d020106052b81040023', 133],
  ['300506032b6570', undefined],
])

const MIN_RSA_BITS = 2048
/** Checking a signature by a larger key is work that a stranger could ask for. */
const MAX_RSA_BITS = 8192
const MIN_RSA_EXPONENT = 65_537n
const MAX_RSA_EXPONENT = 2n ** 32n

/** @throws {CertificateError} `algorithm` */
export function checkSignatureAlgorithm(algorithm: Uint8Array): void {
  if (!SIGNATURES.has(Buffer.from(algorithm).toString('hex'))) {
    throw new CertificateError('algorithm', 'a signature algorithm that is not accepted')
  }
}

/**
 * RSA, the curves P-256, P-384 and P-521 with uncompressed points, Ed25519.
 *
 * @param bits the content of `subjectPublicKey`
 * @throws {CertificateError} `key`
 */
export function checkKeyInfo(algorithm: Uint8Array, bits: Uint8Array): void {
  const spelling = Buffer.from(algorithm).toString('hex')
  if (!KEYS.has(spelling)) throw new CertificateError('key', 'a kind of key that is not accepted')
  const pointBytes = KEYS.get(spelling)
  if (pointBytes !== undefined && (bits.length !== pointBytes || bits[0] !== 4)) {
    throw new CertificateError('key', 'a point that is not in uncompressed form')
  }
}

/** RSA of 2048 to 8192 bits, in whole octets. @throws {CertificateError} `key` */
export function checkKeyStrength(key: KeyObject): void {
  if (key.asymmetricKeyType !== 'rsa') return
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS || modulusLength % 8 !== 0) {
    throw new CertificateError('key', 'an RSA key of a size that is not accepted')
  }
  const even = publicExponent % 2n === 0n
  if (even || publicExponent < MIN_RSA_EXPONENT || publicExponent > MAX_RSA_EXPONENT) {
    throw new CertificateError('key', 'an RSA exponent that is not accepted')
  }
}
