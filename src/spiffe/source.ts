import { SpiffeError } from './error.ts'
import type { X509Context, X509Svid } from './x509-context.ts'

/** Where a process learns who it is and whom to trust: the Workload API, or files. */
export interface X509Source {
  /**
   * The present state; waits for the first one.
   *
   * @throws {SpiffeError} saying why there is none
   */
  x509(): Promise<X509Context>
  /**
   * Told at once of the present state, if there is one, and then of each that replaces it. Undefined:
   * the identity was taken away, and nothing of it may be used any more.
   *
   * @returns stops telling
   */
  onX509(listener: (context: X509Context | undefined) => void): () => void
}

/**
 * The identity to use: the one with that id, or the default one.
 *
 * @throws {SpiffeError} `identity_denied` when this process has no such identity
 */
export function selectSvid(context: X509Context, spiffeId: string | undefined): X509Svid {
  const svid = context.svids.find((one) => spiffeId === undefined || one.spiffeId === spiffeId)
  if (svid !== undefined) return svid
  throw new SpiffeError('identity_denied', `this process has no identity ${spiffeId}`)
}

/** What TLS takes, in PEM; the key is a secret. */
export function pemOf({ chain, privateKey }: X509Svid): { cert: string; key: string } {
  const cert = chain.map((der) => {
    const lines =
      Buffer.from(der)
        .toString('base64')
        .match(/.{1,64}/g) ?? []
    return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  })
  return {
    cert: cert.join(''),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}
