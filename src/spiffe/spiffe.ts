import { Connections, type Fetch, type Peer } from './connections.ts'
import { workloadId } from './fetch.ts'
import { openWorkloadApi, type WorkloadApi, type WorkloadApiOptions } from './workload-api.ts'

export interface SpiffeOptions extends WorkloadApiOptions {
  /** The broker's issuer: the audience of the JWT-SVIDs. */
  readonly audience: string
  /** A Workload API that is open already; otherwise one is opened, and closed with this. */
  readonly api?: WorkloadApi
  /** Which of our identities, by its SPIFFE ID; the default one when not given. */
  readonly self?: string
}

/** Connections that prove who is at their ends. */
export interface SpiffeConnections {
  /**
   * A `fetch` whose every connection has proved the other end to be this SPIFFE ID before anything is
   * sent. Without an id it is an ordinary https server. With `mutual`, our certificate of the moment
   * of the request is presented, and no connection that shows an older one is used.
   *
   * @throws {TypeError} when `peer.spiffeId` is no SPIFFE ID of a workload
   */
  fetchTo(peer: Peer): Fetch
  /** `x5t#S256` of our certificate of this moment. */
  thumbprint(): Promise<string>
  /** Our own SPIFFE ID. */
  spiffeId(): Promise<string>
}

/** What an agent needs of SPIFFE. */
export interface SpiffeConnect extends SpiffeConnections {
  /** The same, but kept to our certificate of this moment, for a token that is bound to it. */
  pinned(): Promise<SpiffeConnections>
}

export interface Spiffe {
  /** A JWT-SVID for the broker: `createAgent({ identity: spiffe.jwt })`. */
  readonly jwt: () => Promise<string>
  /** `createAgent({ spiffe: spiffe.connect })`. */
  readonly connect: SpiffeConnect
  readonly api: WorkloadApi
  close(): Promise<void>
}

/**
 * All that an agent gets from SPIFFE, out of one Workload API.
 *
 * @throws {SpiffeError} `socket_invalid`; {TypeError} when `self` is no SPIFFE ID of a workload
 */
export function createSpiffe(options: SpiffeOptions): Spiffe {
  const self = options.self === undefined ? undefined : workloadId(options.self)
  const api = options.api ?? openWorkloadApi(options)
  const connections = new Connections(api, self)

  return {
    async jwt() {
      const named = self === undefined ? {} : { spiffeId: self }
      return (await api.jwtSvid(options.audience, named)).token
    },
    connect: {
      fetchTo: (peer) => fetchTo(peer, (init) => init),
      thumbprint: async () => (await connections.svid()).thumbprint,
      spiffeId: async () => (await connections.svid()).spiffeId,
      async pinned() {
        const svid = await connections.svid()
        return {
          fetchTo: (peer) => fetchTo(peer, (init) => ({ ...init, pinned: svid })),
          thumbprint: async () => svid.thumbprint,
          spiffeId: async () => svid.spiffeId,
        }
      },
    },
    api,
    async close() {
      await connections.close()
      if (options.api === undefined) api.close()
    },
  }

  function fetchTo(
    { spiffeId, mutual }: Peer,
    withPin: (init: RequestInit | undefined) => Parameters<Connections['fetch']>[2],
  ): Fetch {
    if (spiffeId === undefined && !mutual) return (input, init) => globalThis.fetch(input, init)
    const peer = { spiffeId: spiffeId === undefined ? undefined : workloadId(spiffeId), mutual }
    return (input, init) => connections.fetch(peer, input, withPin(init))
  }
}
