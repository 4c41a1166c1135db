/**
 * The one way in which this folder opens a connection.
 *
 * The URL comes from the configuration, or from a document that such a URL gave; the address behind
 * it comes from DNS, which is not ours. So the address is checked where the connection is made
 * (RFC 8725 §3.10), and the connection goes to the very address that was checked: no second look-up
 * lies between the two.
 */
import type { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Agent, buildConnector, request } from 'undici'
import { checkedLookup, type Lookup } from './checked-lookup.ts'
import { addressSet, isSpecialAddress } from './special-addresses.ts'

export interface GuardedFetchOptions {
  /** Special-use addresses (IP or CIDR) that may be connected to all the same. */
  readonly allowAddresses?: readonly string[]
  /** PEM; replaces the public certificate authorities. `caFile` is read again for each connection. */
  readonly ca?: string
  readonly caFile?: string
  /** The longest body, 1 MiB by default. */
  readonly maxBytes?: number
  /** How long the whole exchange may take, name look-up included; 5 s by default. */
  readonly timeoutMs?: number
  /** Reuse connections; off by default, so that every request is made to a newly checked peer. */
  readonly keepAlive?: boolean
  /**
   * Decides about the peer instead of the certificate authorities and the host name: it is given the
   * DER chain, leaf first, before one byte of the request is sent, and throws to refuse.
   */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => void
  /** Resolves names; `dns.lookup` by default. */
  readonly lookup?: Lookup
}

export interface GuardedRequest {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
}

export interface GuardedAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** @throws {GuardedFetchError} (as a rejection) whenever there is no complete answer */
export interface GuardedFetch {
  (url: string | URL, init?: GuardedRequest): Promise<GuardedAnswer>
  /** Ends every connection; requests under way fail. */
  close(): Promise<void>
}

/** Names the host and the reason; never a body, a path or a query. */
export class GuardedFetchError extends Error {
  constructor(host: string, reason: string, options?: { cause?: unknown }) {
    super(`${host}: ${reason}`, options)
    this.name = 'GuardedFetchError'
  }
}

const MAX_BYTES = 1024 * 1024
const TIMEOUT_MS = 5000
/** Per origin. What waits for one of them waits inside its own time limit. */
const MAX_CONNECTIONS = 8
const MAX_CHAIN = 10

/** @throws {TypeError} for a bad `allowAddresses` entry or a CA file that cannot be read */
export function guardedFetch(options: GuardedFetchOptions = {}): GuardedFetch {
  const maxBytes = options.maxBytes ?? MAX_BYTES
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  const agent = new Agent({
    connect: guardedConnector(options, timeoutMs),
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })

  const fetchGuarded = async (
    target: string | URL,
    init: GuardedRequest = {},
  ): Promise<GuardedAnswer> => {
    const url = checkUrl(target)
    const timeout = AbortSignal.timeout(timeoutMs)
    const signal = init.signal === undefined ? timeout : AbortSignal.any([init.signal, timeout])
    try {
      signal.throwIfAborted()
      const answer = await request(url, {
        dispatcher: agent,
        method: init.method ?? 'GET',
        headers: { ...init.headers, 'accept-encoding': 'identity' },
        body: init.body ?? null,
        reset: options.keepAlive !== true,
        signal,
      })
      const { statusCode: status, headers, body } = answer
      try {
        const coding = headers['content-encoding']
        if (status >= 300 && status < 400) throw new Refused(`it answered ${status}, a redirect`)
        if (coding !== undefined && coding !== 'identity') throw new Refused('the body is encoded')
        return { status, headers, text: await readText(body, maxBytes) }
      } finally {
        // What was not read is not waited for; that it ends early is no error of anyone's.
        body.on('error', () => undefined).destroy()
      }
    } catch (cause) {
      throw new GuardedFetchError(url.host, reasonOf(cause, signal, timeoutMs), { cause })
    }
  }
  return Object.assign(fetchGuarded, { close: () => agent.destroy() })
}

/** Something this file refused, in words for the operator. */
class Refused extends Error {}

function checkUrl(target: string | URL): URL {
  const url = URL.canParse(String(target)) ? new URL(target) : undefined
  if (url === undefined) throw new GuardedFetchError('(no host)', 'it is no URL')
  if (url.protocol !== 'https:') throw new GuardedFetchError(url.host, 'it is not https')
  if (url.username !== '' || url.password !== '') {
    throw new GuardedFetchError(url.host, 'the URL has user information')
  }
  return url
}

function guardedConnector(
  options: GuardedFetchOptions,
  timeoutMs: number,
): buildConnector.connector {
  const { caFile, verifyPeer } = options
  const allowed = addressSet(options.allowAddresses ?? [])
  const isRefused = (address: string) => isSpecialAddress(address) && !allowed.has(address)
  const lookup = checkedLookup(isRefused, options.lookup)
  if (caFile !== undefined) checkCaFile(caFile)

  async function connectorNow(): Promise<buildConnector.connector> {
    const ca = caFile === undefined ? options.ca : await readFile(caFile, 'utf8')
    return buildConnector({
      ...(ca === undefined ? {} : { ca }),
      lookup,
      timeout: timeoutMs,
      allowH2: false,
      // A resumed session would bring no certificate to check.
      maxCachedSessions: 0,
      // Said here, so that no environment variable says otherwise.
      rejectUnauthorized: verifyPeer === undefined,
      minVersion: 'TLSv1.2',
    })
  }

  return (target, callback) => {
    // No look-up is made for an address in the URL, so it is checked before.
    if (isIP(target.hostname) !== 0 && isRefused(target.hostname)) {
      callback(new Refused('its address is for special use'), null)
      return
    }
    connectorNow().then(
      (connect) =>
        connect(target, (error, socket) => {
          if (error !== null) return callback(error, null)
          try {
            verifyPeer?.(peerChain(socket as TLSSocket))
          } catch (cause) {
            socket.destroy()
            return callback(new Refused('its certificate was refused', { cause }), null)
          }
          callback(null, socket)
        }),
      (cause) => callback(new Refused('the CA file cannot be read', { cause }), null),
    )
  }
}

function checkCaFile(file: string): void {
  try {
    readFileSync(file)
  } catch (cause) {
    throw new TypeError(`the CA file ${file} cannot be read`, { cause })
  }
}

function peerChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = []
  let one = socket.getPeerX509Certificate()
  while (one !== undefined && chain.length < MAX_CHAIN) {
    chain.push(one.raw)
    const issuer: X509Certificate | undefined = one.issuerCertificate
    // A self-signed certificate may be given as its own issuer.
    one = issuer === undefined || issuer.raw.equals(one.raw) ? undefined : issuer
  }
  return chain
}

async function readText(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new Refused(`the body is longer than ${maxBytes} bytes`)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks))
  } catch (cause) {
    throw new Refused('the body is not UTF-8', { cause })
  }
}

/** Codes only: the message of a TLS error can hold what the peer chose. */
function reasonOf(cause: unknown, signal: AbortSignal, timeoutMs: number): string {
  if (cause instanceof Refused) return cause.message
  if (signal.aborted) {
    const late = (signal.reason as Error | undefined)?.name === 'TimeoutError'
    return late ? `no complete answer within ${timeoutMs} ms` : 'the caller gave up'
  }
  const { code } = cause as { code?: unknown }
  return typeof code === 'string' ? `the connection failed (${code})` : 'the connection failed'
}
