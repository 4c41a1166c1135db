import { raceAbort } from '../lib/race-abort.ts'
import { SpiffeError } from './error.ts'
import { LiveConnections } from './live.ts'
import { Pool } from './pool.ts'
import { selectSvid, type X509Source } from './source.ts'
import { fetch as undiciFetch } from './undici.ts'
import type { X509Context, X509Svid } from './x509-context.ts'

/** What the MCP SDKs and `createAgent` call for each request. */
export type Fetch = (input: string | URL, init?: RequestInit) => Promise<Response>

/** Who must be at the other end, and whether this end proves itself too. */
export interface Peer {
  /** Undefined: an ordinary https server, which the system's authorities vouch for. */
  readonly spiffeId: string | undefined
  /** Whether to present our own X.509-SVID. */
  readonly mutual: boolean
}

/** Peers and certificates with connections of their own; the one used longest ago is let go. */
const MAX_POOLS = 200

/**
 * All connections of one identity. A connection belongs to one peer and shows one certificate; when
 * the certificate is replaced, new requests go over new connections.
 */
export class Connections {
  readonly #source: X509Source
  readonly #self: string | undefined
  readonly #live = new LiveConnections()
  readonly #pools = new Map<string, Pool>()
  #context: X509Context | undefined
  #stop: (() => void) | undefined
  #closed = false

  /** @param self which of our identities; the default one when undefined */
  constructor(source: X509Source, self: string | undefined) {
    this.#source = source
    this.#self = self
  }

  /** Sends one request; what is trusted and shown is what is current now, unless `pinned` says it. */
  async fetch(
    peer: Peer,
    input: string | URL,
    init: RequestInit & { readonly pinned?: X509Svid } = {},
  ): Promise<Response> {
    const { pinned, ...rest } = init
    const url = httpsUrl(input)
    const context = await raceAbort(this.#follow(), init.signal)
    const own = peer.mutual ? (pinned ?? selectSvid(context, this.#self)) : undefined
    const dispatcher = this.#poolOf(peer.spiffeId, own).dispatcher(Date.now() / 1000)
    try {
      // undici's types name classes of its own that are Node's in all that is used here.
      return (await undiciFetch(url, { ...rest, dispatcher } as never)) as never
    } catch (error) {
      // `fetch` says "fetch failed" of everything; ours is what went wrong.
      if (error instanceof Error && error.cause instanceof SpiffeError) throw error.cause
      throw error
    }
  }

  /** Our certificate of this moment. */
  async svid(): Promise<X509Svid> {
    return selectSvid(await this.#follow(), this.#self)
  }

  /** Ends all connections, and refuses to open new ones. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stop?.()
    this.#live.end(closed())
    await Promise.all([...this.#pools.values()].map((pool) => pool.close()))
    this.#pools.clear()
  }

  async #follow(): Promise<X509Context> {
    if (this.#closed) throw closed()
    this.#stop ??= this.#source.onX509((context) => {
      this.#context = context
      this.#live.recheck(context, Date.now() / 1000)
    })
    const context = await this.#source.x509()
    if (this.#closed) throw closed()
    return context
  }

  #trusted(): X509Context {
    if (this.#closed) throw closed()
    if (this.#context === undefined) {
      throw new SpiffeError('identity_denied', 'this process has no identity now')
    }
    // What was said by a source that has been silent for so long may not be true any more.
    const now = Date.now() / 1000
    if (this.#context.svids.every(({ expiresAt }) => expiresAt <= now)) {
      throw new SpiffeError('identity_expired', 'what is known of whom to trust is too old')
    }
    return this.#context
  }

  #poolOf(peer: string | undefined, own: X509Svid | undefined): Pool {
    const name = JSON.stringify([peer, own?.thumbprint])
    const pool =
      this.#pools.get(name) ??
      new Pool({ peer, own, context: () => this.#trusted(), live: this.#live })
    // A Map iterates in the order of insertion: the first is the one used longest ago.
    this.#pools.delete(name)
    this.#pools.set(name, pool)
    if (this.#pools.size > MAX_POOLS) {
      for (const [oldest] of this.#pools) {
        this.#pools.delete(oldest)
        break
      }
    }
    return pool
  }
}

/** @throws {SpiffeError} `url_refused` */
function httpsUrl(input: string | URL): URL {
  if (typeof input !== 'string' && !(input instanceof URL)) {
    throw new TypeError('give the URL as text or as a URL, and the rest as the second argument')
  }
  const url = new URL(input)
  if (url.protocol !== 'https:') {
    throw new SpiffeError('url_refused', `${url.origin} proves nothing; use https`)
  }
  return url
}

function closed(): SpiffeError {
  return new SpiffeError('closed', 'these SPIFFE connections have been closed')
}
