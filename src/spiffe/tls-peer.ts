import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { Workload } from '../identity/workload.ts'
import { Refusal } from '../refusal.ts'
import { SpiffeError } from './error.ts'
import type { X509Context } from './x509-context.ts'

/** More than a path can have; what is beyond is nothing a peer needs to send. */
const MAX_CHAIN = 16

/** A peer, and the DER that it has proved itself with, the leaf first. */
export interface ProvenPeer {
  readonly spiffeId: string
  readonly expiresAt: number
  readonly chain: readonly Uint8Array[]
}

// Asked once per connection: Node gives the chain to the first who asks, and nothing to the next.
function peerChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let at: X509Certificate | undefined = socket.getPeerX509Certificate()
  for (; at !== undefined && chain.length < MAX_CHAIN; at = at.issuerCertificate) {
    chain.push(new Uint8Array(at.raw))
  }
  return chain
}

/**
 * Proves the other end of a TLS connection to be one workload, by the bundle of its trust domain.
 * Names of hosts and the authorities of the system mean nothing here.
 *
 * @param now seconds since the epoch
 * @throws {SpiffeError} `peer_unproven`
 */
export function provePeer(
  socket: TLSSocket,
  peer: { readonly spiffeId: string; readonly context: X509Context; readonly now: number },
): ProvenPeer {
  // A resumed session repeats no proof: its certificate was shown to somebody, some time ago.
  if (socket.isSessionReused()) throw unproven(peer.spiffeId, 'its TLS session was resumed')
  const chain = peerChain(socket)
  if (chain.length === 0) throw unproven(peer.spiffeId, 'it showed no certificate')
  const { id, expiresAt } = proveChain(chain, peer)
  return { spiffeId: id, expiresAt, chain }
}

/** @throws {SpiffeError} `peer_unproven` */
export function proveChain(
  chain: readonly Uint8Array[],
  peer: { readonly spiffeId: string; readonly context: X509Context; readonly now: number },
): Workload {
  let workload: Workload
  try {
    workload = peer.context.prove(chain, peer.now)
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { reason } = error
    const why =
      reason.code === 'identity_unknown_issuer'
        ? `there is no bundle of ${reason.issuer}, which its certificate names`
        : `its certificate is no valid X.509-SVID (${'check' in reason ? reason.check : reason.code})`
    throw unproven(peer.spiffeId, why, error)
  }
  if (workload.id !== peer.spiffeId) throw unproven(peer.spiffeId, `it is ${workload.id}`)
  return workload
}

export function unproven(spiffeId: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'peer_unproven',
    `the other end is not proven to be ${spiffeId}: ${why}`,
    cause === undefined ? undefined : { cause },
  )
}
