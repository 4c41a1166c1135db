import type { JsonObject } from '../../lib/json.ts'
import { checkAnchor } from '../x509/authority.ts'
import { type Certificate, CertificateError, parseCertificate } from '../x509/certificate.ts'

/** The members that make up a public key, by `kty` (RFC 7518 §6, RFC 8037 §2). */
const KEY_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'x', 'y'],
  RSA: ['n', 'e'],
  OKP: ['crv', 'x'],
}
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** Whether a certificate's key can be of this `kty`; entries of any other are not for us. */
export function isAuthorityKeyType(kty: unknown): boolean {
  return typeof kty === 'string' && Object.hasOwn(KEY_MEMBERS, kty)
}

/**
 * The certificate that one `x509-svid` entry of a bundle vouches with: the first of its `x5c`, the
 * others are ignored (X509-SVID §6.1). The entry states the key a second time, and the two must be
 * one, or two readers of the same bundle would trust two different keys.
 *
 * @returns the certificate, or in words why the entry cannot be used
 */
export function importAuthority(jwk: JsonObject): Certificate | string {
  for (const name of SECRET_MEMBERS) {
    if (Object.hasOwn(jwk, name)) return `it has the private member ${name}`
  }
  if (!Array.isArray(jwk.x5c) || jwk.x5c.length === 0) return 'it has no x5c'
  const [first] = jwk.x5c
  const der = Buffer.from(typeof first === 'string' ? first : '', 'base64')
  // RFC 7517 §4.7: base64, not base64url; in its one spelling, as everything else here.
  if (der.length === 0 || der.toString('base64') !== first) return 'its x5c is not base64'
  const authority = readAuthority(der)
  if (typeof authority === 'string') return authority
  const members = KEY_MEMBERS[String(jwk.kty)]
  const stated = authority.publicKey.export({ format: 'jwk' }) as Record<string, unknown>
  const same = jwk.kty === stated.kty && members?.every((name) => jwk[name] === stated[name])
  return same ? authority : "its key is not its certificate's"
}

/**
 * A certificate that may end the path of an X509-SVID. Its dates are looked at when a path is
 * validated; a bundle may hold the authority of tomorrow.
 *
 * @returns the certificate, or in words why it cannot be used
 */
export function readAuthority(der: Uint8Array): Certificate | string {
  try {
    const certificate = parseCertificate(der)
    checkAnchor(certificate)
    return certificate
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    return `its certificate cannot be used: ${error.message}`
  }
}
