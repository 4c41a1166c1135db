import { createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { SpiffeError } from './error.ts'
import type { LiveConnections } from './live.ts'
import { pemOf, selectSvid } from './source.ts'
import { provePeer } from './tls-peer.ts'
import { Agent, buildConnector } from './undici.ts'
import type { X509Context, X509Svid } from './x509-context.ts'

export interface PoolOptions {
  /** Whom the other end must prove to be; undefined: any server that the system trusts for the host. */
  readonly peer: string | undefined
  /** What this end shows. */
  readonly own: X509Svid | undefined
  /** What is trusted at this moment. @throws {SpiffeError} when nothing is */
  readonly context: () => X509Context
  readonly live: LiveConnections
}

/** A connection that nobody uses is kept this long, whatever the server proposes. */
const IDLE_MS = 10_000

/**
 * Connections to one peer that show one certificate. Each of them has proved the peer before it is
 * handed out, and none takes new requests in the second half of the time that its proofs still had:
 * so they are idle when they are ended.
 */
export class Pool {
  readonly own: X509Svid | undefined
  readonly #options: PoolOptions
  readonly #connect: ReturnType<typeof buildConnector>
  #agent: Agent
  #retireAt = Number.POSITIVE_INFINITY

  constructor(options: PoolOptions) {
    this.#options = options
    this.own = options.own
    this.#connect = connectorOf(options)
    this.#agent = this.#createAgent()
  }

  /** What undici is to send a request with, now. */
  dispatcher(now: number): Agent {
    if (now >= this.#retireAt) {
      // The old one is let go, not closed: it finishes what it has, then its connections idle out.
      this.#retireAt = Number.POSITIVE_INFINITY
      this.#agent = this.#createAgent()
    }
    return this.#agent
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }

  #createAgent(): Agent {
    return new Agent({
      connect: (options, callback) => {
        const fail = (error: unknown) => callback(error as Error, null)
        if (options.protocol !== 'https:') {
          const to = `${options.protocol}//${options.host ?? options.hostname}`
          return fail(new SpiffeError('url_refused', `${to} proves nothing; use https`))
        }
        this.#connect(options, (error, socket) => {
          if (error !== null) return fail(error)
          try {
            this.#admit(socket as TLSSocket)
          } catch (refused) {
            socket.destroy()
            return fail(refused)
          }
          callback(null, socket)
        })
      },
      allowH2: false,
      keepAliveMaxTimeout: IDLE_MS,
      // A stream of events may be silent for as long as nothing happens.
      bodyTimeout: 0,
    })
  }

  /** @throws {SpiffeError}; nothing has been sent yet but the handshake */
  #admit(socket: TLSSocket): void {
    const { peer: spiffeId, own, context, live } = this.#options
    const now = Date.now() / 1000
    if (own !== undefined && now >= own.expiresAt) throw expired(own)
    const trusted = context()
    // A certificate that is kept to may outlive the identity in it.
    if (own !== undefined) selectSvid(trusted, own.spiffeId)
    const peer =
      spiffeId === undefined ? undefined : provePeer(socket, { spiffeId, context: trusted, now })
    const never = Number.POSITIVE_INFINITY
    const expiresAt = Math.min(own?.expiresAt ?? never, peer?.expiresAt ?? never)
    live.add({ socket, peer, own, expiresAt })
    this.#retireAt = Math.min(this.#retireAt, now + (expiresAt - now) / 2)
  }
}

function connectorOf({ peer, own }: PoolOptions): ReturnType<typeof buildConnector> {
  return buildConnector({
    secureContext: secureContextOf(peer, own),
    // Whom we connect to is proved by us, after the handshake: the system's authorities would let any
    // of theirs stand in, and a host's name is not what an X.509-SVID has.
    rejectUnauthorized: peer === undefined,
    // Every connection proves again.
    maxCachedSessions: 0,
    allowH2: false,
  })
}

function secureContextOf(peer: string | undefined, own: X509Svid | undefined): SecureContext {
  return createSecureContext({
    ...(own !== undefined && pemOf(own)),
    // TLS 1.2 shows our certificate to everybody on the way, and lets a peer begin a second handshake
    // on a connection that has been proved.
    ...(peer !== undefined && { ca: [], minVersion: 'TLSv1.3' as const }),
  })
}

function expired(own: X509Svid): SpiffeError {
  return new SpiffeError(
    'identity_expired',
    `the X.509-SVID of ${own.spiffeId} has expired, and there is no new one yet`,
  )
}
