import type { Message } from '../action/message.ts'
import type { JsonObject } from '../lib/json.ts'
import type { AuthInfo } from './auth-info.ts'

/** One HTTP request as a gate hands it over: nothing is parsed, nothing is joined. */
export interface GateRequest {
  /** The HTTP method as received. */
  readonly method: string
  /** The path as the client sent it, without the query, whatever routers have made of it since. */
  readonly path: string
  /** Every value of a header, one per line received; `[]` when there is none. */
  headers(name: string): readonly string[]
  /** The bytes of the body, at most one more than the verifier's limit; `undefined` without one. */
  readonly body: Uint8Array | undefined
  /** The address of the connection's other end: for the audit record, and to know proxies by. */
  readonly address?: string | undefined
  /** DER of the certificate the peer proved possession of in this connection's own TLS handshake. */
  readonly peerCertificate?: Uint8Array | undefined
}

/** Header names and values in the order to be sent; a name may come twice. */
export type Headers = readonly (readonly [name: string, value: string])[]

export interface Allowed {
  readonly allowed: true
  /** The one message that was checked; the same object must be the one that runs. `undefined` for GET and DELETE. */
  readonly message: Message | undefined
  readonly authInfo: AuthInfo
  /** To be set on the response. */
  readonly headers: Headers
  /** Names of headers to take off the request before it goes on: a stranger wrote them, and nobody may believe them. */
  readonly unbelieved: readonly string[]
  /** For streams only: aborted when the token expires or is revoked. The gate then ends the response. */
  readonly closing: AbortSignal | undefined
  /** Tells the verifier which legacy session id the server gave out in its response. */
  issuedSession(id: string): void
  /** Tells the verifier that the response has ended, so that it stops watching a stream. */
  ended(): void
}

export interface Refused {
  readonly allowed: false
  readonly status: number
  readonly headers: Headers
  readonly body: JsonObject
}

export type Outcome = Allowed | Refused
