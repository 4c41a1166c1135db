import type { SenderKey } from '../token/proof.ts'
import type { OnBehalfOf } from './caller.ts'
import type { Fetch } from './fetch.ts'
import type { SpiffeConnect } from './spiffe-connect.ts'

export interface AgentOptions {
  /** The broker's issuer, exactly as the broker is configured, as in `https://broker.example`. */
  readonly broker: string
  /**
   * Returns a JWT that says which workload this is, and whose audience is the broker's issuer: a
   * JWT-SVID, a Kubernetes service account token, a CI token. Asked at each call, so keep it
   * cheap: hold the JWT and fetch a new one before it expires. What was issued to one subject is never
   * used for another. Without it, the X.509-SVID of `spiffe` says who this is.
   */
  readonly identity?: () => string | Promise<string>
  /**
   * Makes connections on which servers prove their SPIFFE IDs, and this workload its own;
   * `mcp-writ/spiffe` has one. Servers that the broker knows a SPIFFE ID of are refused without it.
   */
  readonly spiffe?: SpiffeConnect
  /** What tokens are bound to: a key (`dpop`, the default), or the X.509-SVID of `spiffe` (`mtls`). */
  readonly binding?: 'dpop' | 'mtls'
  /** The SPIFFE ID the broker's token endpoint must prove; needs `spiffe`. */
  readonly brokerSpiffeId?: string
  /** How `identity` is presented: token exchange (RFC 8693, the default) or as an assertion (RFC 7523). */
  readonly grant?: 'token-exchange' | 'jwt-bearer'
  /**
   * Returns the token of whoever this agent acts for, asked at each call: a user's, or a delegation
   * token of another agent. `undefined` means that the agent acts for itself.
   */
  readonly onBehalfOf?: () => OnBehalfOf | undefined | Promise<OnBehalfOf | undefined>
  /** The key that holds the tokens; one is made in memory when not given. */
  readonly key?: SenderKey
  /**
   * The label of what the agent is doing (at most 128 of `A–Z a–z 0–9 _ . : @ / -`): policy, audit and revocation see
   * it, and it ties the rounds of one call together. A function is asked at each call. Without it
   * the agent makes one label for itself. Work that another agent handed on has a label already.
   */
  readonly task?: string | (() => string | undefined)
  /** Sends the requests, to the broker and to MCP servers, that need no `spiffe`; the global `fetch` by default. */
  readonly fetch?: Fetch
  /**
   * The resource URI of the MCP server at a URL. The URL itself without query and fragment by
   * default, and without the slash when there is no path; it must stay at the URL's origin.
   */
  readonly resource?: (url: URL) => string
  /**
   * Accepts tokens that are bound to nothing, which whoever sees one can use. No broker of Writ issues
   * them; the conformance suite of MCP does.
   */
  readonly unsafeAcceptBearer?: 'for conformance tests only'
}

/** @throws {TypeError} on options that contradict each other */
export function checkOptions(options: AgentOptions): void {
  const { identity, spiffe, binding, brokerSpiffeId, grant, onBehalfOf } = options
  if (identity === undefined && spiffe === undefined) {
    throw new TypeError('give identity or spiffe: one of them must say which workload this is')
  }
  if (binding !== undefined && binding !== 'dpop' && binding !== 'mtls') {
    throw new TypeError("binding: expected 'dpop' or 'mtls'")
  }
  if (grant !== undefined && grant !== 'token-exchange' && grant !== 'jwt-bearer') {
    throw new TypeError("grant: expected 'token-exchange' or 'jwt-bearer'")
  }
  if (binding === 'mtls' && spiffe === undefined) {
    throw new TypeError("binding: 'mtls' needs spiffe, whose certificate the tokens are bound to")
  }
  if (brokerSpiffeId !== undefined && spiffe === undefined) {
    throw new TypeError('brokerSpiffeId: needs spiffe, which has the bundles to check it by')
  }
  if (grant === 'jwt-bearer' && (identity === undefined || onBehalfOf !== undefined)) {
    throw new TypeError(
      "grant: 'jwt-bearer' presents identity alone; leave it out with onBehalfOf, or without identity",
    )
  }
  if (options.unsafeAcceptBearer === undefined) return
  if (options.unsafeAcceptBearer !== 'for conformance tests only' || binding === 'mtls') {
    throw new TypeError('unsafeAcceptBearer: is for conformance tests only')
  }
  process.emitWarning(
    'this agent accepts tokens that are bound to no key: anyone who sees one can use it',
    { code: 'WRIT_UNSAFE_BEARER' },
  )
}
