import type { TLSSocket } from 'node:tls'
import { SpiffeError } from './error.ts'
import { proveChain } from './tls-peer.ts'
import type { X509Context, X509Svid } from './x509-context.ts'

/** One open connection, and what it was opened on. */
export interface LiveConnection {
  readonly socket: TLSSocket
  /** Whom the other end has proved to be, and with what; undefined for an ordinary server. */
  readonly peer: { readonly spiffeId: string; readonly chain: readonly Uint8Array[] } | undefined
  /** The identity that was shown to the other end. */
  readonly own: X509Svid | undefined
  /** Seconds since the epoch: when the first of the two proofs ends. */
  readonly expiresAt: number
}

const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * The open connections. None outlives what it stands on: the certificates of both ends, the bundle
 * that vouches for the peer, the identity that was shown.
 */
export class LiveConnections {
  readonly #live = new Set<LiveConnection>()

  add(connection: LiveConnection): void {
    const { socket } = connection
    this.#live.add(connection)
    const timer = this.#endAt(connection)
    socket.once('close', () => {
      this.#live.delete(connection)
      clearInterval(timer)
    })
  }

  /** Ends what the new state does not vouch for any more. Undefined: there is no identity any more. */
  recheck(context: X509Context | undefined, now: number): void {
    for (const { socket, peer, own } of [...this.#live]) {
      try {
        if (context === undefined) throw withdrawn()
        if (own !== undefined && !context.svids.some(({ spiffeId }) => spiffeId === own.spiffeId)) {
          throw withdrawn()
        }
        if (peer !== undefined) proveChain(peer.chain, { spiffeId: peer.spiffeId, context, now })
      } catch (error) {
        if (!(error instanceof SpiffeError)) throw error
        socket.destroy(error)
      }
    }
  }

  end(error: SpiffeError): void {
    for (const { socket } of [...this.#live]) socket.destroy(error)
  }

  /** An interval and not a timeout: a wait may be longer than a timer can be. */
  #endAt({ socket, expiresAt }: LiveConnection): NodeJS.Timeout {
    const leftMs = Math.max(0, expiresAt * 1000 - Date.now())
    const timer = setInterval(
      () => {
        if (Date.now() / 1000 < expiresAt) return
        socket.destroy(
          new SpiffeError('identity_expired', 'a certificate of this connection has expired'),
        )
      },
      Math.min(leftMs + 1, MAX_TIMER_MS),
    )
    timer.unref()
    return timer
  }
}

function withdrawn(): SpiffeError {
  return new SpiffeError('identity_denied', 'the identity of this connection was taken away')
}
