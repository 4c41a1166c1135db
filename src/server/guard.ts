/**
 * Which requests are for us at all.
 *
 * A web page can make a browser send requests to loopback, under a name of its own (DNS rebinding)
 * or with its own `Origin`. So `Host` must be ours, and `Origin`, when there is one, too. Nothing is
 * ever derived from either header.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { headerValues } from '../lib/raw-headers.ts'
import { refuse } from '../refusal.ts'
import type { Address } from './parts.ts'

export type Guard = (request: IncomingMessage) => void

/**
 * @param ours URLs whose host and origin are ours, besides the listener's own on loopback
 * @param listener the address that is bound, with the real port
 * @returns a check that throws a `Refusal` `origin_refused`
 */
export function createGuard(
  ours: readonly string[],
  listener: Address,
  scheme: 'http' | 'https' = 'http',
): Guard {
  const hosts = new Set<string>()
  const origins = new Set<string>()
  for (const text of ours) {
    const url = new URL(text)
    hosts.add(url.host)
    hosts.add(`${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`)
    origins.add(url.origin)
  }
  const usual = scheme === 'https' ? 443 : 80
  for (const host of ownNames(listener.host)) {
    hosts.add(`${host}:${listener.port}`)
    if (listener.port === usual) hosts.add(host)
    origins.add(new URL(`${scheme}://${host}:${listener.port}`).origin)
  }
  return (request) => {
    const { headers, socket } = request
    const { host, origin } = headers
    // Node keeps the first of several; what stands before us may go by the last (RFC 9112 §3.2).
    if (host === undefined || headerValues(request, 'host').length > 1) {
      refuse({ code: 'origin_refused', header: 'host' })
    }
    if (!(hosts.has(host.toLowerCase()) || isReached(host, socket, usual))) {
      refuse({ code: 'origin_refused', header: 'host' })
    }
    if (origin !== undefined && !origins.has(origin.toLowerCase())) {
      refuse({ code: 'origin_refused', header: 'origin' })
    }
  }
}

/**
 * The address this very connection was made to, as probes and scrapers inside a cluster send it. An
 * address cannot be rebound as a name can.
 */
function isReached(host: string, { localAddress, localPort }: Socket, usual: number): boolean {
  if (localAddress === undefined) return false
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/, '')
  const name = address.includes(':') ? `[${address}]` : address
  // Where it is the usual one, clients leave the port out.
  return host === `${name}:${localPort}` || (localPort === usual && host === name)
}

/** A listener on loopback may be called by any of its names; any other only by what is configured. */
function ownNames(host: string): readonly string[] {
  const loopback = host === 'localhost' || host === '::1' || host.startsWith('127.')
  if (!loopback) return []
  return ['127.0.0.1', 'localhost', '[::1]', ...(host.startsWith('127.') ? [host] : [])]
}
