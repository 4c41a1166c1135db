// Trust domains with keys for both kinds of SVID, and bundle endpoints on loopback that serve them.

import assert from 'node:assert/strict'
import 'reflect-metadata'
import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as x509 from '@peculiar/x509'
import {
  type BundleSource,
  type Bundles,
  type BundlesOptions,
  openBundles,
} from '../../src/identity/bundles.ts'
import { type Authority, createAuthority, issueLeaf } from '../../src/identity/development-x509.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createX509SvidProver } from '../../src/identity/x509-svid.ts'
import { Refusal } from '../../src/refusal.ts'
import { ISSUER, type IssuerKey, makeKey, svid, temporaryDirectory } from './svids.ts'

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
export const LOOPBACK = ['127.0.0.1']
export const nowSeconds = () => Date.now() / 1000

/** How a bundle states an authority. */
export function authorityEntry(authority: Authority): Record<string, unknown> {
  return { use: 'x509-svid', ...authority.publicJwk, x5c: [authority.certificateBase64] }
}

/** A bundle document. */
export function bundleText(
  contents: { jwt?: readonly IssuerKey[]; x509?: readonly Authority[] },
  members: Record<string, unknown> = {},
): string {
  const keys = [
    ...(contents.jwt ?? []).map(({ jwk }) => jwk),
    ...(contents.x509 ?? []).map(authorityEntry),
  ]
  return JSON.stringify({ spiffe_sequence: 1, spiffe_refresh_hint: 300, ...members, keys })
}

export interface Leaf {
  readonly id: string
  readonly chain: readonly Uint8Array[]
  readonly certPem: string
  readonly keyPem: string
}

/** An X509-SVID that lives for an hour. */
export async function leafOf(authority: Authority, id: string): Promise<Leaf> {
  const now = nowSeconds()
  const { certificatePem, privateKeyPem } = await issueLeaf({
    caPem: authority.certificatePem,
    caKey: createPrivateKey(authority.privateKey.export({ format: 'pem', type: 'pkcs8' })),
    id,
    publicKey: undefined,
    lifetimeSeconds: 3600,
    now,
  })
  const chain = [new X509Certificate(certificatePem).raw]
  return { id, chain, certPem: certificatePem, keyPem: privateKeyPem ?? '' }
}

/** A trust domain as it stands at one time: an authority, a key for JWT-SVIDs, and what they vouch for. */
export interface Domain {
  readonly name: string
  readonly authority: Authority
  readonly key: IssuerKey
  /** A workload's SVIDs of both kinds. */
  readonly jwtSvid: string
  readonly x509Svid: Leaf
  /** The certificate of the domain's bundle endpoint. */
  readonly endpoint: Leaf
  readonly text: string
}

export async function makeDomain(name: string, kid = 'one'): Promise<Domain> {
  const authority = await createAuthority(name)
  const key = makeKey('ES256', kid)
  const now = Math.floor(nowSeconds())
  const sub = `spiffe://${name}/agents/bot`
  return {
    name,
    authority,
    key,
    jwtSvid: svid(key, { payload: { sub, iat: now - 10, exp: now + 3000 } }),
    x509Svid: await leafOf(authority, sub),
    endpoint: await leafOf(authority, `spiffe://${name}/bundle`),
    text: bundleText({ jwt: [key], x509: [authority] }),
  }
}

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

export interface Opened {
  readonly bundles: Bundles
  /** `domain: detail`, in the order told. */
  readonly problems: string[]
  /** Whether the workload's SVID of this kind is believed now. */
  believes(domain: Domain): { jwt: boolean; x509: boolean }
}

/** Bundles that fetch and look when they are told to and not by themselves, unless the options say so. */
export async function openFor(
  t: TestContext,
  sources: readonly BundleSource[],
  options: BundlesOptions = {},
): Promise<Opened> {
  const problems: string[] = []
  const bundles = await openBundles(sources, {
    pollMs: 3_600_000,
    minRefreshMs: 3_600_000,
    onProblem: ({ trustDomain, detail }) => problems.push(`${trustDomain}: ${detail}`),
    ...options,
  })
  t.after(() => bundles.close())
  const jwt = createJwtSvidProver({ bundles, audience: ISSUER })
  const certificates = createX509SvidProver({ bundles })
  return {
    bundles,
    problems,
    believes: ({ jwtSvid, x509Svid }) => ({
      jwt: proves(() => jwt.prove(jwtSvid, nowSeconds())),
      x509: proves(() => certificates.prove(x509Svid.chain, nowSeconds())),
    }),
  }
}

export const BOTH = { jwt: true, x509: true }
export const NEITHER = { jwt: false, x509: false }

export function proves(prove: () => unknown): boolean {
  try {
    prove()
    return true
  } catch (error) {
    assert.ok(error instanceof Refusal)
    return false
  }
}

export async function fileWith(t: TestContext, text: string, name = 'bundle.json') {
  const file = join(await temporaryDirectory(t), name)
  await writeFile(file, text)
  return file
}

/** Waits for something that must come to be; fails when it does not within 10 s. */
export async function until(condition: () => boolean): Promise<void> {
  for (let look = 0; look < 1000 && !condition(); look += 1) await sleep(10)
  assert.ok(condition())
}
