// Trust domains whose SVIDs of both kinds may be as wrong as a test wants them.
import { rename, writeFile } from 'node:fs/promises'
import { type IssuerKey, makeKey, svid } from '../identity/svids.ts'
import {
  altName,
  ecKeys,
  leaf,
  type Made,
  type Plan,
  pem,
  root,
  subjectKeyId,
  uri,
} from '../identity/x509-maker.ts'
import type { Identity } from '../server/tls.ts'

const HOUR = 3600
export const seconds = () => Date.now() / 1000

export interface SvidChanges {
  readonly header?: Record<string, unknown>
  readonly payload?: Record<string, unknown>
  /** Signs, instead of the domain's own key. */
  readonly key?: IssuerKey
}

export interface TestDomain {
  readonly name: string
  readonly bundleFile: string
  readonly key: IssuerKey
  readonly authority: Made
  /** A JWT-SVID for the broker, but for the changes. */
  svid(path: string, changes?: SvidChanges): string
  /** An X509-SVID by the domain's authority, or by another. */
  certificate(path: string, plan?: Plan & { readonly by?: Made }): Identity
  /** Replaces the bundle; the broker is not told. */
  publish(keys: readonly object[]): Promise<void>
}

/** How a bundle states an authority. */
export function authorityEntry({ der, keys }: Made): Record<string, unknown> {
  const jwk = keys.publicKey.export({ format: 'jwk' })
  return { use: 'x509-svid', ...jwk, x5c: [der.toString('base64')] }
}

/** An authority for an hour from now. */
export function makeAuthority(subject: string): Made {
  const keys = ecKeys()
  const notBefore = Math.floor(seconds()) - 60
  return root({
    subject,
    keys,
    notBefore,
    notAfter: notBefore + HOUR,
    extensions: { subjectKeyId: subjectKeyId(keys) },
  })
}

/** What a certificate authority signed, as a TLS client or server uses it. */
export function identityBy(authority: Made, id: string, plan: Plan = {}): Identity {
  const notBefore = Math.floor(seconds()) - 60
  const made = leaf(authority, {
    notBefore,
    notAfter: notBefore + 1800,
    ...plan,
    extensions: { subjectAltName: altName([uri(id)]), ...plan.extensions },
  })
  const key = made.keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  return { cert: pem(made), key }
}

export async function makeTestDomain(
  name: string,
  options: { readonly bundleFile: string; readonly audience: string },
): Promise<TestDomain> {
  const { bundleFile, audience } = options
  const key = makeKey('ES256', `${name}-key`)
  const authority = makeAuthority(`authority of ${name}`)
  let sequence = 0
  const domain: TestDomain = {
    name,
    bundleFile,
    key,
    authority,
    svid(path, changes = {}) {
      const iat = Math.floor(seconds()) - 1
      const usual = { sub: `spiffe://${name}${path}`, aud: audience, iat, exp: iat + 300 }
      // Each is a text of its own, so that no answer comes out of a memory of another test.
      const payload = { ...usual, jti: crypto.randomUUID(), ...changes.payload }
      return svid(changes.key ?? key, { header: changes.header ?? {}, payload })
    },
    certificate: (path, { by = authority, ...plan } = {}) =>
      identityBy(by, `spiffe://${name}${path}`, plan),
    async publish(keys) {
      sequence += 1
      const text = { spiffe_sequence: sequence, spiffe_refresh_hint: 60, keys }
      await writeFile(`${bundleFile}.new`, JSON.stringify(text))
      await rename(`${bundleFile}.new`, bundleFile)
    },
  }
  await domain.publish([authorityEntry(authority), key.jwk])
  return domain
}
