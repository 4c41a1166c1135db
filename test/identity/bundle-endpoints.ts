// Bundle endpoints on loopback, of both profiles, and sources that lead to them.
import 'reflect-metadata'
import { createPrivateKey, webcrypto } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import * as x509 from '@peculiar/x509'
import type { BundlesOptions, EndpointSource } from '../../src/identity/bundles/bundles.ts'
import { bundleText, type Domain, fileWith, type Leaf, makeDomain, openFor } from './trust.ts'

export const LOOPBACK = ['127.0.0.1']
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** A public certificate authority, and a certificate of it for 127.0.0.1. */
export async function makeWebPki(): Promise<{
  caPem: string
  leaf: Pick<Leaf, 'certPem' | 'keyPem'>
}> {
  const days = {
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3600_000),
  }
  const caKeys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Public authority of a test',
    ...days,
    signingAlgorithm: ECDSA,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  })
  const leaf = await x509.X509CertificateGenerator.create({
    subject: 'CN=127.0.0.1',
    issuer: ca.subjectName,
    ...days,
    signingAlgorithm: ECDSA,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }])],
  })
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
  const keyPem = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString()
  return { caPem: ca.toString('pem'), leaf: { certPem: leaf.toString('pem'), keyPem } }
}

export interface Endpoint {
  readonly url: string
  readonly requests: string[]
  /** What it answers from now on. */
  answer: RequestListener
  /** Answers with this document. */
  serve(text: string): void
  /** Presents this certificate to connections from now on. */
  present(leaf: Pick<Leaf, 'certPem' | 'keyPem'>): void
  stop(): Promise<void>
}

/** A real https server on loopback, until the test ends. */
export async function startEndpoint(
  t: TestContext,
  leaf: Pick<Leaf, 'certPem' | 'keyPem'>,
  text = '{}',
): Promise<Endpoint> {
  const context = ({ certPem, keyPem }: typeof leaf) => ({ cert: certPem, key: keyPem })
  const server = createServer(context(leaf), (request, response) => {
    endpoint.requests.push(`${request.method} ${request.url}`)
    endpoint.answer(request, response)
  })
  server.on('tlsClientError', () => undefined)
  server.on('connection', (socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint: Endpoint = {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/bundle.json`,
    requests: [],
    answer: () => undefined,
    serve(document) {
      this.answer = (_request, response) => response.end(document)
    },
    present: (next) => server.setSecureContext(context(next)),
    async stop() {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
  endpoint.serve(text)
  t.after(() => endpoint.stop())
  return endpoint
}

export const corp = await makeDomain('corp.test')
export const next = await makeDomain('corp.test', 'two')
export const stranger = await makeDomain('stranger.test')
export const web = await makeWebPki()

type Changes = Partial<Omit<EndpointSource, 'trustDomain'>>

export async function webSource(t: TestContext, { url }: Endpoint, changes: Changes = {}) {
  return {
    trustDomain: 'corp.test',
    endpoint: { url, profile: 'https_web' as const },
    allowAddresses: LOOPBACK,
    caFile: await fileWith(t, web.caPem, 'ca.pem'),
    ...changes,
  }
}

export async function spiffeSource(t: TestContext, { url }: Endpoint, domain: Domain = corp) {
  return {
    trustDomain: domain.name,
    endpoint: {
      url,
      profile: 'https_spiffe' as const,
      spiffeId: domain.endpoint.id,
      bootstrapFile: await fileWith(t, bundleText({ x509: [domain.authority] })),
    },
    allowAddresses: LOOPBACK,
  }
}

export async function overWeb(t: TestContext, options: BundlesOptions = {}, changes: Changes = {}) {
  const endpoint = await startEndpoint(t, web.leaf, corp.text)
  return { endpoint, ...(await openFor(t, [await webSource(t, endpoint, changes)], options)) }
}

export async function overSpiffe(t: TestContext, options: BundlesOptions = {}) {
  const endpoint = await startEndpoint(t, corp.endpoint, corp.text)
  const source = await spiffeSource(t, endpoint)
  const { bootstrapFile } = source.endpoint
  return { endpoint, bootstrapFile, ...(await openFor(t, [source], options)) }
}
