import { Refusal } from '../../refusal.ts'
import { parseSpiffeId } from '../spiffe-id.ts'
import type { Certificate } from '../x509/certificate.ts'
import { createX509SvidProver } from '../x509/x509-svid.ts'
import { type Bundle, parseBundle } from './bundle.ts'
import { readBundleFile } from './bundle-file.ts'
import type { Bundles } from './bundles.ts'

/** Decides about the certificate of an `https_spiffe` endpoint (SPIFFE Federation §5.2.2). */
export interface EndpointPeer {
  /**
   * Called inside the TLS connection, before a byte of HTTP is sent.
   *
   * @param chain DER, leaf first
   * @throws {PeerRefused}
   */
  verify(chain: readonly Uint8Array[]): void
  /** Told every bundle that was accepted from the endpoint. Returns what an operator should know. */
  learn(bundle: Bundle): readonly string[]
  /** Reads again what the operator gave; a new bootstrap bundle counts from then on. */
  reload(): Promise<void>
}

/** The endpoint did not prove to be who it has to be. The message has nothing of its certificate. */
export class PeerRefused extends Error {}

type Authorities = Pick<Bundles, 'knows' | 'version' | 'x509Authorities'>

/**
 * An endpoint of another trust domain than the one it serves (§5.2.2.4, not self-serving): always
 * judged by that other domain's own bundle, as it stands at the moment of the connection.
 */
export function foreignPeer(spiffeId: string, bundles: Authorities): EndpointPeer {
  return {
    verify: verifierOf(spiffeId, bundles),
    learn: () => [],
    reload: async () => {},
  }
}

/**
 * An endpoint that serves the bundle of its own trust domain: the bootstrap bundle authenticates the
 * first connection, the last bundle accepted from it every later one. So its domain can replace its
 * authorities, and withdraw them; the fetched bundle does this work on even when it is too old for
 * workloads.
 *
 * @throws {Error} naming the bootstrap file when it cannot be read or has no authority
 */
export async function selfServingPeer(
  spiffeId: string,
  bootstrapFile: string,
): Promise<EndpointPeer> {
  let bootstrap = await readBootstrap(bootstrapFile)
  let trusted: readonly Certificate[] = bootstrap.authorities
  let version = 1
  const trust = (authorities: readonly Certificate[]) => {
    if (authorities === trusted) return
    trusted = authorities
    version += 1
  }
  const { trustDomain } = parseSpiffeId(spiffeId)
  return {
    verify: verifierOf(spiffeId, {
      knows: (name) => name === trustDomain,
      version: () => version,
      x509Authorities: (name) => (name === trustDomain ? trusted : []),
    }),
    learn({ x509Authorities: fetched }) {
      trust(fetched)
      if (fetched.length === 0) {
        return ['without an authority its endpoint cannot be authenticated any more']
      }
      const known = bootstrap.authorities.some((one) =>
        fetched.some(({ thumbprint }) => thumbprint === one.thumbprint),
      )
      return known ? [] : [`${bootstrapFile} is out of date: a restart could not fetch the bundle`]
    },
    async reload() {
      const found = await readBootstrap(bootstrapFile)
      // The file as it was at start is older than what was fetched since.
      if (found.text !== bootstrap.text) trust(found.authorities)
      bootstrap = found
    },
  }
}

async function readBootstrap(
  file: string,
): Promise<{ text: string; authorities: readonly Certificate[] }> {
  try {
    const text = await readBundleFile(file)
    const { x509Authorities: authorities, problems } = parseBundle(text)
    if (authorities.length === 0) {
      throw new Error(['it has no usable X.509 authority', ...problems].join('; '))
    }
    return { text, authorities }
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function verifierOf(spiffeId: string, bundles: Authorities): EndpointPeer['verify'] {
  const prover = createX509SvidProver({ bundles })
  return (chain) => {
    let id: string
    try {
      id = prover.prove(chain, Date.now() / 1000).id
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { reason } = error
      const check = reason.code === 'identity_invalid' ? `: ${reason.check}` : ''
      throw new PeerRefused(`its certificate is no X509-SVID that is trusted here${check}`)
    }
    // Every workload of the domain has such a certificate; only one of them serves the bundle.
    if (id !== spiffeId) throw new PeerRefused(`it is ${id}, not ${spiffeId}`)
  }
}
