// Trust domains with keys for both kinds of SVID.

import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type BundleSource,
  type Bundles,
  type BundlesOptions,
  openBundles,
} from '../../src/identity/bundles/bundles.ts'
import { type Authority, createAuthority, issueLeaf } from '../../src/identity/development-x509.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { Refusal } from '../../src/refusal.ts'
import { ISSUER, type IssuerKey, makeKey, svid, temporaryDirectory } from './svids.ts'

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
