// Trust domains with real authorities, and what the Workload API would say about their workloads.
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import type { X509Source } from '../../src/spiffe/source.ts'
import { believe, type X509Svid } from '../../src/spiffe/x509-context.ts'
import type { SvidMessage } from './endpoint-server.ts'

export interface Svid {
  readonly spiffeId: string
  readonly cert: string
  readonly key: string
  readonly chain: readonly Uint8Array[]
  readonly message: SvidMessage
}

export interface Domain {
  readonly name: string
  readonly development: DevelopmentDomain
  readonly caPem: string
  readonly caDer: Uint8Array
  /** PEM. */
  caKey(): Promise<string>
  /** The JWK Set of the Workload API. */
  readonly jwks: Uint8Array
  /** @param lifetimeSeconds an hour by default */
  svid(path: string, lifetimeSeconds?: number, now?: number): Promise<Svid>
  remove(): Promise<void>
}

export async function makeDomain(name: string): Promise<Domain> {
  const directory = await mkdtemp(join(tmpdir(), 'writ-domain-'))
  const development = await createDevelopmentDomain({ directory, trustDomain: name })
  const caPem = await readFile(join(directory, 'ca.pem'), 'utf8')
  const caDer = derOf(caPem)
  const bundle = JSON.parse(await readFile(development.bundleFile, 'utf8')) as {
    keys: { use: string }[]
  }
  const jwtKeys = bundle.keys.filter(({ use }) => use === 'jwt-svid')
  return {
    name,
    development,
    caPem,
    caDer,
    caKey: () => readFile(join(directory, 'ca.key'), 'utf8'),
    jwks: Buffer.from(JSON.stringify({ keys: jwtKeys })),
    async svid(path, lifetimeSeconds = 3600, now = Date.now() / 1000) {
      const issued = await development.issueX509Svid({ path, lifetimeSeconds, now })
      const key = issued.privateKeyPem ?? ''
      const leaf = derOf(issued.chainPem)
      const spiffeId = `spiffe://${name}${path}`
      return {
        spiffeId,
        cert: issued.chainPem,
        key,
        chain: [leaf],
        message: {
          spiffe_id: spiffeId,
          x509_svid: leaf,
          x509_svid_key: pkcs8Of(key),
          bundle: caDer,
        },
      }
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  }
}

export function derOf(pem: string): Uint8Array {
  return new Uint8Array(new X509Certificate(pem).raw)
}

export function pkcs8Of(pem: string): Uint8Array {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
}

/** Waits until something is true; the test's own time limit ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** An identity with more authorities than its own domain's. */
export async function believing(
  svids: readonly X509Svid[],
  bundles: Record<string, readonly Uint8Array[]>,
): Promise<X509Source> {
  const context = believe(svids, new Map(Object.entries(bundles)), Date.now() / 1000)
  return {
    x509: async () => context,
    onX509(listener) {
      listener(context)
      return () => {}
    },
  }
}
