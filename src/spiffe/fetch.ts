import { isSpiffeWorkload } from '../identity/spiffe-id.ts'
import { Connections, type Fetch } from './connections.ts'
import type { X509Source } from './source.ts'

export interface SpiffeFetchOptions {
  /** `openWorkloadApi()` or `openSvidFiles()`. */
  readonly source: X509Source
  /** Whom the other end must prove to be, whatever the host in the URL. */
  readonly peer: { readonly spiffeId: string }
  /** Whether to present our own X.509-SVID; no by default. */
  readonly mutual?: boolean
  /** Which of our identities, by its SPIFFE ID; the default one when not given. */
  readonly self?: string
}

/** A `fetch` and the certificate that all its connections show. */
export interface PinnedFetch {
  readonly fetch: Fetch
  /** `x5t#S256` of the certificate (RFC 8705 §3.1). */
  readonly thumbprint: string
  /** Seconds since the epoch; from then on nothing can be sent. */
  readonly expiresAt: number
}

/**
 * `fetch` over TLS whose every connection has proved its other end before anything is sent.
 *
 * It rejects with a `SpiffeError`: `peer_unproven`, `url_refused`, `identity_expired`, what the
 * source says when there is no identity; and as any `fetch` does.
 */
export interface SpiffeFetch {
  (input: string | URL, init?: RequestInit): Promise<Response>
  /** `x5t#S256` of our certificate of this moment. */
  thumbprint(): Promise<string>
  /**
   * Keeps to our certificate of this moment: for a token that is bound to it, which no connection
   * with another one may use. Our certificate is always presented.
   */
  pinned(): Promise<PinnedFetch>
  /** Ends all connections. */
  close(): Promise<void>
}

/**
 * @throws {TypeError} when `peer.spiffeId` is no SPIFFE ID of a workload
 */
export function createSpiffeFetch(options: SpiffeFetchOptions): SpiffeFetch {
  const { source, peer, mutual = false, self } = options
  const spiffeId = workloadId(peer.spiffeId)
  const connections = new Connections(source, self)
  const fetch: Fetch = (input, init) => connections.fetch({ spiffeId, mutual }, input, init)
  return Object.assign(fetch, {
    thumbprint: async () => (await connections.svid()).thumbprint,
    async pinned() {
      const svid = await connections.svid()
      return {
        fetch: (input: string | URL, init?: RequestInit) =>
          connections.fetch({ spiffeId, mutual: true }, input, { ...init, pinned: svid }),
        thumbprint: svid.thumbprint,
        expiresAt: svid.expiresAt,
      }
    },
    close: () => connections.close(),
  })
}

/** @throws {TypeError} unless `text` names a workload */
export function workloadId(text: string): string {
  if (isSpiffeWorkload(text)) return text
  throw new TypeError(`"${text}" is no SPIFFE ID of a workload, as in spiffe://corp.example/server`)
}
