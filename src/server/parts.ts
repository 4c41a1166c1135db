import type { Middleware } from 'koa'
import type { Logger } from 'pino'
import type { Broker } from '../exchange/broker.ts'
import type { JsonObject } from '../lib/json.ts'
import type { SigningKeys } from '../mint/keys.ts'
import type { FeedTransport } from '../revocation/feed.ts'
import type { RevocationPublisher } from '../revocation/publisher.ts'
import type { Mtls } from './mtls.ts'
import type { Answer } from './routes.ts'

export interface Address {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
}

export const CLIENT_SCOPES = [
  'writ:introspect',
  'writ:report',
  'writ:viewer',
  'writ:approver',
  'writ:admin',
] as const
export type ClientScope = (typeof CLIENT_SCOPES)[number]

/** A program that authenticates with its own key: a resource server, or an admin's tool. */
export interface Client {
  readonly clientId: string
  /** Public keys. */
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  readonly scopes: readonly ClientScope[]
  /** The resources whose tokens it may introspect, and about which it may report. */
  readonly resources: readonly string[]
  /** The workload it is; what was issued to that workload is its own to revoke. */
  readonly workload?: string
}

/** How much a caller may send, hold and wait for. */
export interface Limits {
  readonly bodyBytes: number
  /** A request that is not whole by then is cut off. */
  readonly requestMs: number
  readonly headersMs: number
  readonly keepAliveMs: number
  readonly headers: number
  readonly headerBytes: number
  /** Followers of `/revocations` at once. */
  readonly feedStreams: number
  /** Of these, from one IPv4 address or one IPv6 network of 64 bits. */
  readonly feedStreamsPerNetwork: number
  /** A follower with more than this unread is cut off; it will connect again. */
  readonly feedBacklogBytes: number
  /** So is one that has read nothing for so long. */
  readonly feedUnreadMs: number
  /** How long `close` waits for requests in flight. */
  readonly drainMs: number
}

export const DEFAULT_LIMITS: Limits = {
  // 1 MiB of arguments, percent-encoded where it must be, and the tokens around it.
  bodyBytes: 1536 * 1024,
  requestMs: 10_000,
  headersMs: 5_000,
  keepAliveMs: 65_000,
  headers: 64,
  headerBytes: 32 * 1024,
  feedStreams: 256,
  feedStreamsPerNetwork: 64,
  feedBacklogBytes: 1024 * 1024,
  feedUnreadMs: 30_000,
  drainMs: 10_000,
}

/** The same for every listener, in the words of `node:http`. */
export function serverLimits(limits: Limits) {
  return {
    requestTimeout: limits.requestMs,
    headersTimeout: Math.min(limits.headersMs, limits.requestMs),
    keepAliveTimeout: limits.keepAliveMs,
    // How often those limits are looked at; the default is half a minute.
    connectionsCheckingInterval: Math.min(1_000, limits.requestMs),
    maxHeaderSize: limits.headerBytes,
    requireHostHeader: true,
    insecureHTTPParser: false,
  }
}

/** A readiness check: throws, or answers with words, when something is not as it should be. */
export type Check = () => unknown

/** Everything the HTTP side needs. */
export interface BrokerParts {
  readonly broker: Broker
  readonly listen: { readonly public: Address; readonly admin: Address }
  /** A second way to `/token`, for callers with certificates. */
  readonly mtls?: Mtls
  /** Addresses and CIDRs whose `Client-Cert` fields are believed, on the public listener (RFC 9440). */
  readonly proxies?: readonly string[]
  readonly keys: Pick<SigningKeys, 'current' | 'jwks' | 'verification'>
  readonly publisher: Pick<RevocationPublisher, 'revoke'>
  readonly revocations: { readonly fresh: boolean }
  /** What `/revocations` streams. */
  readonly feed: FeedTransport
  readonly clients: readonly Client[]
  /** What the admin listener answers besides metrics and health, and where browsers reach it. */
  readonly admin?: { readonly url: string; readonly routes: readonly Middleware[] }
  /** What verifiers report of their outcomes; without it, `/reports` is not there. */
  readonly reports?: Answer
  /** What else must be well before `/readyz` says so, by name. */
  readonly checks?: Readonly<Record<string, Check>>
  /**
   * Whether a token's one use is known to be spent; for introspection. Without it (the verifiers have
   * a store of their own) a spent token is reported as active until it expires.
   */
  readonly isSpent?: (claims: JsonObject) => Promise<boolean>
  readonly log?: Logger
  /** Seconds since the epoch. */
  readonly clock?: () => number
  readonly limits?: Partial<Limits>
}
