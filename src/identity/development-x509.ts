// @peculiar/x509 needs the metadata API in place before it loads.
import 'reflect-metadata'
import { generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'

/** A certificate for a workload and what it takes to use it. All PEM. */
export interface X509Svid {
  readonly certificatePem: string
  /** The leaf, then what leads to the root (nothing here: the root is in the bundle). */
  readonly chainPem: string
  /** PKCS#8; undefined when the caller brought its own key. */
  readonly privateKeyPem: string | undefined
}

export interface Authority {
  readonly privateKey: KeyObject
  readonly certificatePem: string
  /** DER in base64, as `x5c` wants it. */
  readonly certificateBase64: string
  readonly publicJwk: Readonly<Record<string, string>>
}

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const AUTHORITY_DAYS = 90
/** Certificates start a little in the past: the clocks of two machines differ. */
const BACKDATE_SECONDS = 30

/** A self-signed CA whose one URI SAN is the trust domain itself (X509-SVID §4.1, Appendix A). */
export async function createAuthority(trustDomain: string): Promise<Authority> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = {
    publicKey: await toCryptoKey(publicKey, 'verify'),
    privateKey: await toCryptoKey(privateKey, 'sign'),
  }
  const now = Date.now()
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ O: ['Writ DEVELOPMENT ONLY'] }, { CN: [trustDomain] }],
    notBefore: new Date(now - BACKDATE_SECONDS * 1000),
    notAfter: new Date(now + AUTHORITY_DAYS * 86_400_000),
    signingAlgorithm: ECDSA,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
  return {
    privateKey,
    certificatePem: pemLines(certificate),
    certificateBase64: Buffer.from(certificate.rawData).toString('base64'),
    publicJwk: { kty, crv, x, y } as Record<string, string>,
  }
}

/** A leaf by X509-SVID §§2–4: one URI SAN, no CA, `digitalSignature` alone, both TLS roles. */
export async function issueLeaf(leaf: {
  caPem: string
  caKey: KeyObject
  id: string
  publicKey: KeyObject | undefined
  lifetimeSeconds: number
  now: number
}): Promise<X509Svid> {
  const issuer = new x509.X509Certificate(leaf.caPem)
  const pair =
    leaf.publicKey === undefined ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : undefined
  const publicKey = pair?.publicKey ?? leaf.publicKey
  if (publicKey === undefined) throw new TypeError('a leaf needs a public key')
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ O: ['Writ DEVELOPMENT ONLY'] }],
    issuer: issuer.subjectName,
    notBefore: new Date((leaf.now - BACKDATE_SECONDS) * 1000),
    notAfter: new Date((leaf.now + leaf.lifetimeSeconds) * 1000),
    signingAlgorithm: ECDSA,
    publicKey: await toCryptoKey(publicKey, 'verify'),
    signingKey: await toCryptoKey(leaf.caKey, 'sign'),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: leaf.id }]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  })
  const certificatePem = pemLines(certificate)
  const privateKeyPem = pair?.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  return { certificatePem, chainPem: certificatePem, privateKeyPem }
}

async function toCryptoKey(key: KeyObject, usage: 'sign' | 'verify'): Promise<webcrypto.CryptoKey> {
  if (key.asymmetricKeyType !== 'ec') throw new TypeError('a development SVID needs a P-256 key')
  const format = usage === 'sign' ? 'pkcs8' : 'spki'
  const der = key.export({ format: 'der', type: format } as { format: 'der'; type: 'pkcs8' })
  return await webcrypto.subtle.importKey(format, der, ECDSA, true, [usage])
}

function pemLines(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}
