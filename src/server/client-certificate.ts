/**
 * Which certificate a request comes with: the connection's own, or one that a listed proxy passes on
 * in `Client-Cert` and `Client-Cert-Chain` (RFC 9440).
 *
 * Both fields are taken off every request before anything else reads it, on each listener, so that
 * no later code can believe them by accident (RFC 9440 §2.4).
 */
import type { IncomingMessage } from 'node:http'
import { headerValues, removeHeaders } from '../lib/raw-headers.ts'
import { refuse } from '../refusal.ts'
import type { PresentedCertificate } from '../token/certificate.ts'
import {
  CLIENT_CERT_FIELDS,
  ClientCertError,
  createTrustedPeers,
  parseClientCert,
} from '../token/client-cert.ts'
import { peerCertificate } from './peer-certificate.ts'

export interface Certificates {
  /** Takes both fields off the request; called once, first. */
  receive(request: IncomingMessage): void
  /** @throws {Refusal} when a listed proxy passes on what cannot be read */
  of(request: IncomingMessage): PresentedCertificate | undefined
  /** The address of a peer that sent one of the fields and is no listed proxy. */
  strangerOf(request: IncomingMessage): string | undefined
}

interface Fields {
  readonly leaf: readonly string[]
  readonly chain: readonly string[]
}

/** Of the TLS connection itself; nobody in between is believed. */
export function ofConnections(): Certificates {
  return certificates(
    () => false,
    ({ socket }) => peerCertificate(socket),
  )
}

/**
 * As listed proxies pass them on. The proxy has seen the handshake, so it answers for possession of
 * the key, for sessions that were resumed, and for taking the fields off what its clients send.
 *
 * @throws {TypeError} naming an entry that is neither an address nor a CIDR block
 */
export function ofProxies(list: readonly string[]): Certificates {
  const proxies = createTrustedPeers(list)
  return certificates(
    ({ socket }) => proxies.trusts(socket.remoteAddress),
    (_request, fields) => fields && { chain: readFields(fields), resumed: false },
  )
}

/** @throws {Refusal} `identity_invalid` */
function readFields({ leaf, chain }: Fields): readonly Uint8Array[] {
  try {
    return parseClientCert(leaf, chain)
  } catch (error) {
    if (!(error instanceof ClientCertError)) throw error
    refuse({ code: 'identity_invalid', check: 'form' }, error)
  }
}

function certificates(
  believes: (request: IncomingMessage) => boolean,
  read: (request: IncomingMessage, fields?: Fields) => PresentedCertificate | undefined,
): Certificates {
  const taken = new WeakMap<IncomingMessage, Fields>()
  return {
    receive(request) {
      const [leaf = [], chain = []] = CLIENT_CERT_FIELDS.map((name) => headerValues(request, name))
      if (leaf.length === 0 && chain.length === 0) return
      taken.set(request, { leaf, chain })
      removeHeaders(request, CLIENT_CERT_FIELDS)
    },
    of: (request) => read(request, believes(request) ? taken.get(request) : undefined),
    strangerOf(request) {
      if (!taken.has(request) || believes(request)) return undefined
      return request.socket.remoteAddress ?? 'unknown'
    },
  }
}
