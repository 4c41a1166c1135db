import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readAuthority } from '../identity/bundles/bundle-authority.ts'
import { parseSpiffeId } from '../identity/spiffe-id.ts'
import type { Workload } from '../identity/workload.ts'
import type { Certificate } from '../identity/x509/certificate.ts'
import { createX509SvidProver } from '../identity/x509/x509-svid.ts'
import { Refusal } from '../refusal.ts'
import { certificateThumbprint } from '../token/certificate.ts'
import { SpiffeError } from './error.ts'

/** An identity that this process can prove: a certificate whose key it holds. */
export interface X509Svid {
  readonly spiffeId: string
  /** What the operator says this identity is for, when there are several; often empty. */
  readonly hint: string
  /** DER, the leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly privateKey: KeyObject
  /** DER of the authorities of its own trust domain. */
  readonly authorities: readonly Uint8Array[]
  /** `x5t#S256` of the leaf (RFC 8705 §3.1). */
  readonly thumbprint: string
  /** Seconds since the epoch; the first end of a certificate on its path. */
  readonly expiresAt: number
}

/** Who this process is, and whom it can recognise, at one moment. */
export interface X509Context {
  /** The default identity first; at least one. */
  readonly svids: readonly X509Svid[]
  /** DER of the authorities of other trust domains, by the domain's name. */
  readonly federated: ReadonlyMap<string, readonly Uint8Array[]>
  /** Authorities that had to be left out, in words. */
  readonly problems: readonly string[]
  /**
   * Proves whom a chain stands for, by the bundle of the trust domain it names.
   *
   * @param chain DER, the leaf first
   * @param now seconds since the epoch
   * @throws {Refusal} `identity_invalid` or `identity_unknown_issuer`
   */
  prove(chain: readonly Uint8Array[], now: number): Workload
}

/** What is said about one identity, before any of it is believed. */
export interface SvidMaterial {
  /** Undefined: the certificate alone says it. */
  readonly spiffeId: string | undefined
  readonly hint: string
  readonly chain: readonly Uint8Array[]
  readonly privateKey: KeyObject
}

/**
 * Believes a set of identities and bundles when every identity is proven by the bundle of its own
 * trust domain and its key fits its certificate. One bundle per trust domain, never pooled.
 *
 * @param bundles DER authorities by the name of the trust domain
 * @param now seconds since the epoch
 * @throws {SpiffeError} `identity_invalid`, `identity_expired`
 */
export function believe(
  materials: readonly SvidMaterial[],
  bundles: ReadonlyMap<string, readonly Uint8Array[]>,
  now: number,
): X509Context {
  if (materials.length === 0) throw invalid('there is no X.509-SVID')
  const { authorities, problems } = readAuthorities(bundles)
  const prover = createX509SvidProver({
    bundles: {
      knows: (trustDomain) => authorities.has(trustDomain),
      // A context never changes: another one takes its place.
      version: (trustDomain) => (authorities.has(trustDomain) ? 1 : 0),
      x509Authorities: (trustDomain) => authorities.get(trustDomain) ?? [],
    },
  })
  const svids = materials.map((material) => {
    const { chain, privateKey, hint } = material
    const workload = proveOwn(prover.prove, material, now)
    const [leaf] = chain
    if (leaf === undefined || !new X509Certificate(leaf).checkPrivateKey(privateKey)) {
      throw invalid(`the private key of ${workload.id} does not fit its certificate`)
    }
    return {
      spiffeId: workload.id,
      hint,
      chain,
      privateKey,
      authorities: (authorities.get(workload.issuer) ?? []).map(({ der }) => der),
      thumbprint: certificateThumbprint(leaf),
      expiresAt: workload.expiresAt,
    }
  })
  const own = new Set(svids.map(({ spiffeId }) => parseSpiffeId(spiffeId).trustDomain))
  const federated = [...authorities]
    .filter(([trustDomain]) => !own.has(trustDomain))
    .map(([trustDomain, list]) => [trustDomain, list.map(({ der }) => der)] as const)
  return { svids, federated: new Map(federated), problems, prove: prover.prove }
}

/** @throws {SpiffeError} `identity_invalid`; nothing of the key is in it */
export function readPrivateKey(pkcs8: Buffer): KeyObject {
  try {
    return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  } catch {
    // OpenSSL's words stay out: they are about the key.
    throw invalid('a private key is no unencrypted PKCS#8')
  }
}

function readAuthorities(bundles: ReadonlyMap<string, readonly Uint8Array[]>) {
  const authorities = new Map<string, readonly Certificate[]>()
  const problems: string[] = []
  for (const [trustDomain, ders] of bundles) {
    const read = ders.map(readAuthority)
    authorities.set(
      trustDomain,
      read.filter((one) => typeof one !== 'string'),
    )
    for (const [index, one] of read.entries()) {
      if (typeof one === 'string') {
        problems.push(`authority ${index} of ${trustDomain} is left out: ${one}`)
      }
    }
  }
  return { authorities, problems }
}

function proveOwn(
  prove: X509Context['prove'],
  { chain, spiffeId }: SvidMaterial,
  now: number,
): Workload {
  let workload: Workload
  try {
    workload = prove(chain, now)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { reason } = error
    const name = spiffeId ?? 'this process'
    if (reason.code === 'identity_unknown_issuer') {
      throw invalid(`the X.509-SVID of ${name} comes without a bundle of ${reason.issuer}`, error)
    }
    const check = reason.code === 'identity_invalid' ? reason.check : reason.code
    if (check === 'expiry') {
      throw new SpiffeError(
        'identity_expired',
        `the X.509-SVID of ${name} is expired or not valid yet; check the clock and its issuer`,
      )
    }
    throw invalid(`the X.509-SVID of ${name} is not valid (${check})`, error)
  }
  if (spiffeId !== undefined && workload.id !== spiffeId) {
    throw invalid(`the X.509-SVID of ${spiffeId} is a certificate of ${workload.id}`)
  }
  return workload
}

function invalid(message: string, cause?: unknown): SpiffeError {
  return new SpiffeError('identity_invalid', message, cause === undefined ? undefined : { cause })
}
