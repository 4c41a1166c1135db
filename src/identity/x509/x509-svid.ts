import { createHash } from 'node:crypto'
import { BoundedMap } from '../../lib/bounded-map.ts'
import { type IdentityCheck, Refusal, refuse } from '../../refusal.ts'
import { parseSpiffeId, type SpiffeId } from '../spiffe-id.ts'
import { proven, type Workload } from '../workload.ts'
import { PURPOSE } from './authority.ts'
import { type Certificate, parseCertificate } from './certificate.ts'
import { type CertificateCheck, CertificateError } from './certificate-error.ts'
import { KEY_USAGE } from './certificate-extensions.ts'
import { validatePath } from './path.ts'

/** A leaf and what leads to its authority; SPIRE sends one or two intermediates. */
const MAX_CHAIN = 9
/** Verified chains kept; about 500 bytes each. */
const MAX_VERIFIED = 10_000

/** The part of `Bundles` that is needed; every method speaks of one trust domain. */
export interface X509Bundles {
  knows(trustDomain: string): boolean
  /** Grows whenever the authorities may have changed. */
  version(trustDomain: string): number
  x509Authorities(trustDomain: string): readonly Certificate[]
}

export interface X509SvidProverOptions {
  readonly bundles: X509Bundles
}

export interface X509SvidProver {
  /**
   * Proves which workload a certificate stands for, for a peer that has proved to hold its key. Does
   * no I/O.
   *
   * @param chain DER, the leaf first
   * @param now seconds since the epoch
   * @throws {Refusal} `identity_invalid` with the check that failed, or `identity_unknown_issuer`
   */
  prove(chain: readonly Uint8Array[], now: number): Workload
}

/** A verified chain, and what must still be true for it to be believed again. */
interface Verified {
  readonly workload: Workload
  readonly bundleVersion: number
  readonly notBefore: number
}

/**
 * X509-SVID §§2–5, strictly: one URI SAN that names a workload, a leaf that signs nothing but its own
 * handshakes, and a path that ends in the bundle of the leaf's own trust domain. A verified chain is
 * remembered until a certificate of it expires or its trust domain's bundle changes.
 */
export function createX509SvidProver({ bundles }: X509SvidProverOptions): X509SvidProver {
  const verified = new BoundedMap<string, Verified>(MAX_VERIFIED)

  return {
    prove(chain, now) {
      if (chain.length > MAX_CHAIN) return refuseSvid('certificate')
      const key = hashOf(chain)
      const known = verified.get(key)
      if (known !== undefined) {
        const { workload, bundleVersion, notBefore } = known
        if (bundles.version(workload.issuer) === bundleVersion) {
          if (!(now >= notBefore && now < workload.expiresAt)) return refuseSvid('expiry')
          return workload
        }
        verified.delete(key)
      }
      try {
        const fresh = verify(chain, now)
        verified.set(key, fresh)
        return fresh.workload
      } catch (error) {
        if (error instanceof CertificateError) return refuseSvid(CHECKS[error.check], error)
        throw error
      }
    },
  }

  function verify(chain: readonly Uint8Array[], now: number): Verified {
    const [leaf, ...intermediates] = chain.map(parseCertificate)
    if (leaf === undefined) throw new CertificateError('form', 'no certificate')
    const id = workloadIdOf(leaf)
    checkKeyUsage(leaf)
    const { trustDomain } = id
    if (!bundles.knows(trustDomain)) {
      refuse({ code: 'identity_unknown_issuer', issuer: trustDomain })
    }
    // Before the authorities are read: if they change in between, the chain is checked again.
    const bundleVersion = bundles.version(trustDomain)
    const anchors = bundles.x509Authorities(trustDomain)
    // X509-SVID §4.4: whoever says what it is for says both sides of a handshake.
    const purposes = [PURPOSE.serverAuth, PURPOSE.clientAuth]
    const path = validatePath({ leaf, intermediates, anchors, now, purposes })
    for (const authority of path.slice(1)) checkSigner(authority, trustDomain)
    const expiresAt = Math.min(...path.map(({ notAfter }) => notAfter))
    // As OpenSSL and the JWT-SVIDs do: at the second it ends, it has ended.
    if (now >= expiresAt) throw new CertificateError('expiry', 'expired')
    const workload = proven({
      id: id.text,
      kind: 'spiffe',
      issuer: trustDomain,
      expiresAt,
      credential: leaf.thumbprint,
      attributes: {},
    })
    const notBefore = Math.max(...path.map((one) => one.notBefore))
    return { workload, bundleVersion, notBefore }
  }
}

/** X509-SVID §2: exactly one URI SAN, whatever else is in the extension, and it names a workload. */
function workloadIdOf({ uriSans }: Certificate): SpiffeId {
  const [uri] = uriSans
  if (uri === undefined || uriSans.length !== 1) {
    throw new CertificateError('uri_san', `${uriSans.length} URI SANs, expected one`)
  }
  const id = parseSpiffeId(uri)
  if (id.path === '') refuseSvid('spiffe_id')
  return id
}

/** X509-SVID §4.3: a leaf signs handshakes, and no certificates and no revocation lists. */
function checkKeyUsage({ keyUsage }: Certificate): void {
  if (keyUsage?.critical !== true || !keyUsage.bits.has(KEY_USAGE.digitalSignature)) {
    throw new CertificateError('key_usage', 'no critical key usage with digitalSignature')
  }
  if (keyUsage.bits.has(KEY_USAGE.keyCertSign) || keyUsage.bits.has(KEY_USAGE.cRLSign)) {
    throw new CertificateError('key_usage', 'a leaf that may sign certificates or revocation lists')
  }
}

/** X509-SVID §3.2: an authority that has a SPIFFE ID has one of the trust domain it signs for. */
function checkSigner({ uriSans }: Certificate, trustDomain: string): void {
  const [uri] = uriSans
  if (uri === undefined) return
  if (uriSans.length !== 1 || trustDomainOf(uri) !== trustDomain) {
    throw new CertificateError('uri_san', 'an authority with the name of another trust domain')
  }
}

function trustDomainOf(uri: string): string | undefined {
  try {
    return parseSpiffeId(uri).trustDomain
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

const CHECKS: Readonly<Record<CertificateCheck, IdentityCheck>> = {
  form: 'certificate',
  extension: 'certificate',
  bounds: 'certificate',
  algorithm: 'algorithm',
  key: 'key',
  expiry: 'expiry',
  authority: 'chain',
  path_length: 'chain',
  name_constraints: 'chain',
  chain: 'chain',
  key_usage: 'key_usage',
  ext_key_usage: 'key_usage',
  uri_san: 'uri_san',
  signature: 'signature',
}

function refuseSvid(check: IdentityCheck, cause?: unknown): never {
  return refuse({ code: 'identity_invalid', check }, cause)
}

/** The exact bytes of all of them; lengths keep two splits of the same bytes apart. */
function hashOf(chain: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const der of chain) hash.update(`${der.length} `).update(der)
  return hash.digest('base64url')
}
