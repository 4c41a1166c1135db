/** The certificate a TLS client proved to hold, out of the connection itself. */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { PresentedCertificate } from '../token/certificate.ts'

/** A client can make a handshake carry about 100 KiB of certificates; a path needs a few. */
const MAX_CERTIFICATES = 10

/** There is no renegotiation and no later authentication, so a connection has one certificate. */
const known = new WeakMap<Socket, PresentedCertificate | undefined>()

/**
 * What the peer sent, in its order. `getPeerX509Certificate` gives exactly that;
 * `getPeerCertificate(true)` sorts, drops what does not fit, and adds issuers of OpenSSL's store.
 *
 * @returns undefined when there is no certificate, or no TLS
 */
export function peerCertificate(socket: Socket): PresentedCertificate | undefined {
  if (!(socket instanceof TLSSocket)) return undefined
  if (known.has(socket)) return known.get(socket)
  const presented = readPeer(socket)
  known.set(socket, presented)
  return presented
}

function readPeer(socket: TLSSocket): PresentedCertificate | undefined {
  const chain: Uint8Array[] = []
  let next = socket.getPeerX509Certificate()
  while (next !== undefined && chain.length < MAX_CERTIFICATES) {
    chain.push(next.raw)
    next = next.issuerCertificate
  }
  if (chain.length === 0) return undefined
  return Object.freeze({ chain: Object.freeze(chain), resumed: socket.isSessionReused() })
}
