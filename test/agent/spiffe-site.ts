/** Workloads with real certificates, and connections on which they prove themselves. */
import { X509Certificate } from 'node:crypto'
import { Agent as Dispatcher, fetch as undiciFetch } from 'undici'
import type { Fetch, SpiffeConnect } from '../../src/agent/index.ts'
import {
  type Authority,
  createAuthority,
  issueLeaf,
  type X509Svid,
} from '../../src/identity/development-x509.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import type { Tls } from './servers.ts'

export interface Domain {
  readonly authority: Authority
  issue(path: string, lifetimeSeconds?: number): Promise<X509Svid>
}

export async function makeDomain(name = 'corp.example'): Promise<Domain> {
  const authority = await createAuthority(name)
  return {
    authority,
    issue: (path, lifetimeSeconds = 300) =>
      issueLeaf({
        caPem: authority.certificatePem,
        caKey: authority.privateKey,
        id: `spiffe://${name}${path}`,
        publicKey: undefined,
        lifetimeSeconds,
        now: Date.now() / 1000,
      }),
  }
}

export const tlsOf = ({ chainPem, privateKeyPem }: X509Svid): Tls => ({
  cert: chainPem,
  key: privateKeyPem ?? '',
})

export const thumbprintOf = ({ certificatePem }: X509Svid): string =>
  certificateThumbprint(new X509Certificate(certificatePem).raw)

export interface TestConnect extends SpiffeConnect {
  /** What comes next from the Workload API. */
  svid: X509Svid
  /** Who had to be at the other ends, in order. */
  readonly asked: { spiffeId: string | undefined; mutual: boolean }[]
  close(): Promise<void>
}

/** As `mcp-writ/spiffe` does it, with one bundle and without a Workload API. */
export function connectWith(svid: X509Svid, domain: Domain): TestConnect {
  const dispatchers: Dispatcher[] = []
  const connect: TestConnect = {
    svid,
    asked: [],
    thumbprint: () => thumbprintOf(connect.svid),
    spiffeId: () =>
      new X509Certificate(connect.svid.certificatePem).subjectAltName?.replace(/^URI:/, '') ?? '',
    fetchTo(peer) {
      connect.asked.push(peer)
      const dispatcher = new Dispatcher({
        connect: {
          ca: domain.authority.certificatePem,
          ...(peer.mutual && tlsOf(connect.svid)),
          checkServerIdentity(_host, { subjectaltname }) {
            if (peer.spiffeId === undefined || subjectaltname === `URI:${peer.spiffeId}`) return
            return Object.assign(new Error('another peer'), { code: 'peer_unproven' })
          },
        },
      })
      dispatchers.push(dispatcher)
      return ((input: string | URL, init: object) =>
        undiciFetch(input, { ...init, dispatcher })) as unknown as Fetch
    },
    close: async () => void (await Promise.all(dispatchers.map((one) => one.destroy()))),
  }
  return connect
}
