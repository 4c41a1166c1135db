/** Turns what an author wrote into what a verifier needs, or says at once what is wrong with it. */
import type { KeyObject } from 'node:crypto'
import { fileSink } from '../audit/file.ts'
import type { AuditRecord, AuditSink } from '../audit/record.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { urlFault } from '../lib/credential-url.ts'
import type { FeedTransport } from '../revocation/feed.ts'
import { httpFeed } from '../revocation/http-feed.ts'
import type { HolderKind } from '../sessions/report.ts'
import type { Algorithm } from '../token/algorithm.ts'
import type { KeySource } from '../token/key-set.ts'
import { remoteKeySet } from '../token/remote-key-set.ts'
import type { DefinitionsOption } from './definitions.ts'

/** @throws {TypeError} not an absolute https URL (http on loopback only), or with query or fragment */
export function parseUrl(name: string, value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || urlFault(url) !== undefined || url.search !== '' || url.hash !== '') {
    throw new TypeError(
      `${name}: expected an https URL without query or fragment (http on loopback only)`,
    )
  }
  return url
}

/**
 * A bound that was given, or the usual one. What is no number would compare as within every bound.
 *
 * @throws {TypeError} not a number from 1 to `most`
 */
export function boundOf(
  name: string,
  given: number | undefined,
  usual: number,
  most: number,
): number {
  const bound = given ?? usual
  if (typeof bound === 'number' && bound >= 1 && bound <= most) return bound
  throw new TypeError(`${name}: expected a number from 1 to ${most}`)
}

export interface VerifierOptions {
  /** The broker's issuer URL: exactly the `iss` of its tokens. */
  readonly issuer: string
  /** This server's resource URI: the `aud` of tokens and the `htu` of proofs. */
  readonly resource: string
  /** What was spent. All verifiers of one resource share one store; `ready()` opens it, its owner closes it. */
  readonly ledger: Ledger
  readonly definitions: DefinitionsOption
  /** Where every outcome goes. What is allowed is recorded before it runs, or does not run. */
  readonly audit: AuditOption
  /** The broker's keys; by default the key set at `<issuer>/jwks`. */
  readonly keys?: KeySource
  /** Carries revocations; by default the ledger's own feed if it has one, else `<issuer>/revocations`. */
  readonly feed?: FeedTransport
  /** With a secret (at least 32 bytes, one for all processes of the resource) every proof needs a nonce. */
  readonly dpop?: { readonly nonceSecretFile?: string; readonly nonceSecret?: Uint8Array }
  /**
   * Accepts tokens bound to a client certificate (RFC 8705 §3): that of the connection itself, or one
   * that a listed proxy passes on; false by default.
   */
  readonly certificates?: boolean
  /**
   * Addresses and CIDR blocks of the proxies whose `Client-Cert` headers (RFC 9440) are believed. From
   * everybody else these headers are taken off the request before it goes on.
   */
  readonly trustedProxies?: readonly string[]
  /** Tells the broker how tokens fared here, so that its admins see it; nobody is told when not given. */
  readonly reports?: ReportsOption
  /** How long revocations may be silent before everything is refused, milliseconds; 1,000 by default, 300,000 at most. */
  readonly staleAfterMs?: number
  /** Seconds since the epoch. */
  readonly clock?: () => number
  /**
   * The paths at which requests arrive, instead of the resource's own: for a proxy in front that
   * rewrites them, or a framework that hides from the gate what was sent. Any other is refused.
   */
  readonly paths?: readonly string[]
  /** Web pages that may call, as `https://app.example`, besides the resource's own origin. */
  readonly allowedOrigins?: readonly string[]
  /** `host[:port]` as clients send it, besides the resource's own. */
  readonly allowedHosts?: readonly string[]
  /** The largest body, bytes; 1 MiB and 64 KiB by default, 64 MiB at most. */
  readonly maxBodyBytes?: number
}

/** Who reports, and how. Nothing of it delays a request or changes its answer. */
export interface ReportsOption {
  /** A client of the broker with the scope `writ:report` and this resource. */
  readonly clientId: string
  /** Its private key: a file with a JWK, or a P-256, P-384 or Ed25519 key. */
  readonly key: string | KeyObject
  /** By default `<issuer>/reports`. */
  readonly url?: string
  /** How often a report is sent; 1,000. */
  readonly everyMs?: number
  /**
   * Where a process that stops leaves what it could not report: how its file's name begins. All processes of
   * one verifier may share it; the next of them that starts sends what was left.
   */
  readonly spoolFile?: string
  /** How this process is called in lists: up to 40 letters, digits, `.`, `_` and `-`. */
  readonly holder?: string
  /** `verifier` by default. */
  readonly kind?: HolderKind
  /** Told once when reports begin to fail; by default a warning of the process. */
  readonly onProblem?: (problem: string) => void
}

/** What a broker may sign with (`writ keys new`). */
const TOKEN_ALGORITHMS: readonly Algorithm[] = ['ES256', 'RS256', 'Ed25519', 'EdDSA']

export type AuditOption =
  | AuditSink
  | ((record: AuditRecord) => void | Promise<void>)
  | { readonly file: string }

/** @throws {TypeError} when there is none: every outcome goes somewhere */
export function sinkOf(option: AuditOption | undefined): AuditSink & { close(): Promise<void> } {
  const nothing = async () => {}
  if (typeof option === 'function') {
    return { record: async (record) => option(record), close: nothing }
  }
  if (typeof option === 'object' && 'file' in option) return fileSink(option.file)
  if (typeof option === 'object' && 'record' in option) {
    return { record: (record) => option.record(record), close: nothing }
  }
  throw new TypeError('audit: required, a function, a sink or { file }')
}

/** The feed to follow. */
export function feedOf(options: VerifierOptions): FeedTransport {
  const { issuer, ledger, feed } = options
  return feed ?? ledger.feed ?? httpFeed({ url: at(issuer, 'revocations') })
}

/** The broker's keys, and what has to be waited for and let go of when they are fetched. */
export function keysOf(options: {
  readonly issuer: string
  readonly keys?: KeySource | undefined
}): {
  readonly source: KeySource
  ready(): Promise<void>
  close(): void
} {
  if (options.keys !== undefined) {
    return { source: options.keys, ready: async () => {}, close: () => {} }
  }
  const keys = remoteKeySet({ url: at(options.issuer, 'jwks'), algorithms: TOKEN_ALGORITHMS })
  return { source: keys, ready: () => keys.ready(), close: () => keys.close() }
}

/** The broker's endpoints lie beneath its issuer, with or without a slash at the end. */
export function at(issuer: string, endpoint: string): string {
  return `${issuer.replace(/\/$/, '')}/${endpoint}`
}
