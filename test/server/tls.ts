// What a broker and its clients need to speak mutual TLS, made anew for each run.
import 'reflect-metadata'
import { createPrivateKey, generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Agent, type AgentOptions, request as httpsRequest } from 'node:https'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'
import type { DevelopmentDomain } from '../../src/identity/development.ts'
import { issueLeaf } from '../../src/identity/development-x509.ts'
import type { Mtls } from '../../src/server/mtls.ts'
import { makeProof, type SenderKey } from '../../src/token/proof.ts'
import { type Answer, freePort, seconds } from './fixture.ts'

export interface Identity {
  /** The certificate, then what leads to the authority. PEM. */
  readonly cert: string
  readonly key: string
}

export async function identityOf(
  domain: DevelopmentDomain,
  path: string,
  lifetimeSeconds = 300,
): Promise<Identity> {
  const { chainPem, privateKeyPem } = await domain.issueX509Svid({ path, lifetimeSeconds })
  return { cert: chainPem, key: privateKeyPem! }
}

export function authorityOf({ directory }: DevelopmentDomain): {
  caPem: string
  caKey: KeyObject
} {
  return {
    caPem: readFileSync(join(directory, 'ca.pem'), 'utf8'),
    caKey: createPrivateKey(readFileSync(join(directory, 'ca.key'))),
  }
}

/** A leaf of this authority with any id, also one that it may not speak for. */
export async function leafOf(
  authority: { caPem: string; caKey: KeyObject },
  id: string,
): Promise<Identity> {
  const leaf = await issueLeaf({
    ...authority,
    id,
    publicKey: undefined,
    lifetimeSeconds: 300,
    now: seconds(),
  })
  return { cert: leaf.chainPem, key: leaf.privateKeyPem! }
}

/** An authority beneath another. */
export async function intermediateOf(
  { caPem, caKey }: { caPem: string; caKey: KeyObject },
  trustDomain: string,
): Promise<{ caPem: string; caKey: KeyObject }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const { subtle } = webcrypto
  const spki = publicKey.export({ format: 'der', type: 'spki' })
  const pkcs8 = caKey.export({ format: 'der', type: 'pkcs8' })
  const publicCryptoKey = await subtle.importKey('spki', spki, algorithm, true, ['verify'])
  const issuer = new x509.X509Certificate(caPem)
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: ['an intermediate'] }],
    issuer: issuer.subjectName,
    notBefore: new Date(Date.now() - 30_000),
    notAfter: new Date(Date.now() + 600_000),
    signingAlgorithm: algorithm,
    publicKey: publicCryptoKey,
    signingKey: await subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${trustDomain}` }]),
      await x509.SubjectKeyIdentifierExtension.create(publicCryptoKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  })
  return { caPem: `${certificate.toString('pem')}\n`, caKey: privateKey }
}

/** The listener's own certificate, which a test may replace. */
export function credentialsOf(first: Identity) {
  let current = first
  const listeners = new Set<() => void>()
  return {
    current: () => current,
    onChange(listener: () => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    replace(next: Identity) {
      current = next
      for (const listener of listeners) listener()
    },
    get followers() {
      return listeners.size
    },
  }
}

/** An mTLS listener whose certificate is the broker's own SVID. */
export async function mtlsPart(
  domain: DevelopmentDomain,
): Promise<Mtls & { credentials: ReturnType<typeof credentialsOf> }> {
  const port = await freePort()
  return {
    address: { host: '127.0.0.1', port },
    url: `https://127.0.0.1:${port}`,
    credentials: credentialsOf(await identityOf(domain, '/broker')),
  }
}

/** How a client of `domain` connects: the server is authenticated, by the domain's authority. */
export function tlsOptions(domain: DevelopmentDomain, identity?: Identity): AgentOptions {
  return {
    ca: authorityOf(domain).caPem,
    // Its name is a SPIFFE ID; none of these tests is about who the server is.
    checkServerIdentity: () => undefined,
    ...identity,
  }
}

/** One request over TLS; with an `agent`, on a connection of its own choosing. */
export function sendTls(
  url: string,
  options: {
    readonly tls: AgentOptions
    readonly agent?: Agent | false
    readonly body?: URLSearchParams
    readonly headers?: Record<string, string | string[]>
  },
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const { body, tls, headers, agent = false } = options
  const request = httpsRequest(
    url,
    {
      ...tls,
      agent,
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        ...headers,
      },
    },
    (response) => {
      const chunks: Buffer[] = []
      response.on('error', reject)
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const parsed = text.startsWith('{') ? JSON.parse(text) : {}
        const { statusCode, headers: received } = response
        resolve({ status: statusCode!, headers: received, text, body: parsed })
      })
    },
  )
  request.on('error', reject)
  request.end(body?.toString())
  return promise
}

/** A `DPoP` header for this endpoint. */
export function proofFor(url: string, key: SenderKey): { dpop: string } {
  return { dpop: makeProof(key, { method: 'POST', url, now: seconds() }) }
}
