/** The TLS listener that asks its clients for certificates; who they are is decided elsewhere. */
import { constants } from 'node:crypto'
import { createServer, type Server, type ServerOptions } from 'node:https'
import type { Logger } from 'pino'
import { type Address, type Limits, serverLimits } from './parts.ts'

/** The listener's own certificate. */
export interface TlsCredentials {
  /** PEM: the certificate with its intermediates, and its private key. */
  current(): { readonly cert: string | Buffer; readonly key: string | Buffer }
  /** Calls `listener` after each change. @returns what ends that */
  onChange(listener: () => void): () => void
}

export interface Mtls {
  readonly address: Address
  /** How clients reach it: an https URL without a path or a slash at its end. Proofs name it. */
  readonly url: string
  readonly credentials: TlsCredentials
}

/** The `htu` of proofs made for this listener. */
export function tokenUrlOf({ url }: Pick<Mtls, 'url'>): string {
  return `${url}/token`
}

/**
 * A client may come without a certificate: what it then has to prove is up to the request.
 *
 * OpenSSL decides about no certificate, and is given none to trust (`ca: []`): the path is validated
 * at each request, against the bundle of the one trust domain it is for. With a certificate of its
 * own to trust, Node also forgets the intermediates that were sent.
 *
 * TLS 1.2 stays allowed, proxies still speak it, without renegotiation. No session can be resumed:
 * the tickets of 1.2 are off, those of 1.3 name sessions that nobody keeps. So every connection has
 * proved its key itself, and a client cannot come back with a certificate that is no longer checked.
 */
function contextOf(credentials: TlsCredentials): ServerOptions {
  const { cert, key } = credentials.current()
  return {
    cert,
    key,
    ca: [],
    minVersion: 'TLSv1.2',
    // Of TLS 1.2 only what has forward secrecy and authenticated encryption.
    ciphers: [
      'TLS_AES_128_GCM_SHA256',
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
      'ECDHE+AESGCM',
      'ECDHE+CHACHA20',
    ].join(':'),
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  }
}

/** @throws {Error} when the certificate and the key cannot be used together */
export function createTlsServer(mtls: Mtls, limits: Limits, log: Logger): Server {
  const { credentials } = mtls
  const server = createServer({
    ...contextOf(credentials),
    requestCert: true,
    rejectUnauthorized: false,
    // As long as headers may take.
    handshakeTimeout: limits.headersMs,
    ...serverLimits(limits),
  })
  const forget = credentials.onChange(() => {
    try {
      // New connections get the new certificate; those that are open go on.
      server.setSecureContext(contextOf(credentials))
    } catch (error) {
      log.error({ err: error }, 'the new certificate of the mTLS listener cannot be used')
    }
  })
  server.maxHeadersCount = limits.headers
  server.once('close', forget)
  server.on('tlsClientError', (error) => log.debug({ err: error }, 'a TLS handshake failed'))
  return server
}
