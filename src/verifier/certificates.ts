/**
 * Which certificate a request was made with (RFC 8705 §3): the one of its own connection, or the one
 * that a listed proxy says it saw (RFC 9440).
 *
 * What the certificate says about its owner is not looked at here: the broker has, when it tied the
 * token to it. What is left is that the sender holds its key now, and that it has not expired.
 */
import { X509Certificate } from 'node:crypto'
import { equalHash } from '../action/hash.ts'
import { BoundedMap } from '../lib/bounded-map.ts'
import { refuse } from '../refusal.ts'
import { certificateThumbprint } from '../token/certificate.ts'
import {
  CLIENT_CERT_FIELDS,
  ClientCertError,
  createTrustedPeers,
  parseClientCert,
} from '../token/client-cert.ts'
import type { VerifierOptions } from './options.ts'
import type { GateRequest } from './request.ts'

export interface Certificates {
  /** Whether tokens that are bound to certificates are accepted at all. */
  readonly accepted: boolean
  /**
   * The certificate of the request, when it is the expected one and valid now.
   *
   * @param expected `x5t#S256` of the token
   * @returns its thumbprint
   * @throws {Refusal} binding_missing, certificate_untrusted, key_mismatch, identity_invalid
   */
  check(request: GateRequest, expected: string, now: number): string
  /** The headers that nobody behind the gate may see, because a stranger wrote them (RFC 9440 §4). */
  unbelieved(request: GateRequest): readonly string[]
}

interface Validity {
  /** Both in seconds. */
  readonly notBefore: number
  readonly notAfter: number
}

const MAX_REMEMBERED = 1_000

/** @throws {TypeError} on an entry that is no address, and on proxies whose word would count for nothing */
export function certificatesOf({
  certificates: accepted = false,
  trustedProxies = [],
}: Pick<VerifierOptions, 'certificates' | 'trustedProxies'>): Certificates {
  if (trustedProxies.length > 0 && !accepted) {
    throw new TypeError('trustedProxies: says nothing without certificates: true')
  }
  const proxies = createTrustedPeers(trustedProxies)
  /** Of certificates that a valid token named, so a stranger cannot fill it. */
  const validities = new BoundedMap<string, Validity>(MAX_REMEMBERED)

  /**
   * From a listed proxy only the header counts: the certificate of that connection is the proxy's
   * own, and everybody's who comes through it.
   */
  function certificateOf(request: GateRequest): Uint8Array {
    const [own, chain] = CLIENT_CERT_FIELDS.map((name) => request.headers(name))
    if (proxies.trusts(request.address)) {
      if (own === undefined || own.length === 0) refuse({ code: 'binding_missing' })
      return passedOn(own, chain ?? [])
    }
    if (request.peerCertificate !== undefined) return request.peerCertificate
    if (unbelieved(request).length === 0) refuse({ code: 'binding_missing' })
    refuse({ code: 'certificate_untrusted', peer: request.address ?? 'unknown' })
  }

  function unbelieved(request: GateRequest): readonly string[] {
    const sent = CLIENT_CERT_FIELDS.filter((name) => request.headers(name).length > 0)
    return sent.length === 0 || proxies.trusts(request.address) ? [] : sent
  }

  return {
    accepted,
    unbelieved,
    check(request, expected, now) {
      const der = certificateOf(request)
      const thumbprint = certificateThumbprint(der)
      if (!equalHash(thumbprint, expected)) refuse({ code: 'key_mismatch' })
      let validity = validities.get(thumbprint)
      if (validity === undefined) {
        validity = validityOf(der)
        validities.set(thumbprint, validity)
      }
      // At every request, because a connection, and a session that is resumed, outlive certificates.
      if (!(validity.notBefore <= now && now < validity.notAfter)) {
        refuse({ code: 'identity_invalid', check: 'expiry' })
      }
      return thumbprint
    },
  }
}

/** @throws {Refusal} identity_invalid when it is not one certificate, written as RFC 9440 §2 wants it */
function passedOn(own: readonly string[], chain: readonly string[]): Uint8Array {
  try {
    const [leaf] = parseClientCert(own, chain)
    if (leaf !== undefined) return leaf
  } catch (error) {
    if (!(error instanceof ClientCertError)) throw error
  }
  refuse({ code: 'identity_invalid', check: 'form' })
}

/** @throws {Refusal} identity_invalid for what is no certificate in DER */
function validityOf(der: Uint8Array): Validity {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(der)
  } catch (cause) {
    refuse({ code: 'identity_invalid', check: 'certificate' }, cause)
  }
  const notBefore = Date.parse(certificate.validFrom) / 1000
  const notAfter = Date.parse(certificate.validTo) / 1000
  // It would take PEM as well, and whatever stands after the end.
  if (!certificate.raw.equals(der) || !Number.isFinite(notBefore + notAfter)) {
    refuse({ code: 'identity_invalid', check: 'certificate' })
  }
  return { notBefore, notAfter }
}
