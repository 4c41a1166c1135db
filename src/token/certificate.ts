import { createHash } from 'node:crypto'

/** A certificate whose private key the peer has proved to hold. Nothing in it has been believed yet. */
export interface PresentedCertificate {
  /** DER; the peer's own certificate first, then what it sent with it, in the order received. */
  readonly chain: readonly Uint8Array[]
  /** Whether the TLS session was resumed, so that possession of the key was proved in an earlier one. */
  readonly resumed: boolean
}

/** RFC 8705 §3.1: what `x5t#S256` names a certificate by. */
export function certificateThumbprint(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url')
}
