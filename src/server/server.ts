/** The broker over HTTP: two listeners, their limits, and how they stop. */
import { createServer as createHttpServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { adminApp, publicApp } from './app.ts'
import { createFeedStreams } from './feed.ts'
import { createGuard } from './guard.ts'
import { readinessOf } from './health.ts'
import { createLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { type Address, type BrokerParts, DEFAULT_LIMITS, type Limits } from './parts.ts'

export type { BrokerParts, Client, Limits } from './parts.ts'

export interface BrokerServer {
  /** Opens both listeners. @throws {Error} when an address cannot be bound */
  listen(): Promise<void>
  /**
   * Accepts nothing new, ends the feed streams, lets requests in flight finish for at most
   * `limits.drainMs`, then cuts what is left.
   */
  close(): Promise<void>
  /** The bound addresses, for programs on this machine; valid after `listen`. */
  readonly publicUrl: string
  readonly adminUrl: string
}

/** @throws {Error} when a client's keys or the issuer cannot be used */
export async function createServer(parts: BrokerParts): Promise<BrokerServer> {
  const limits: Limits = { ...DEFAULT_LIMITS, ...parts.limits }
  const clock = parts.clock ?? (() => Date.now() / 1000)
  const log = parts.log ?? createLog()
  const streams = createFeedStreams(parts.feed, limits)
  const servers: Server[] = []
  let draining = false
  let inFlight = 0
  const metrics = createMetrics({
    feedFresh: () => parts.revocations.fresh,
    feedStreams: () => streams.open,
    inFlight: () => inFlight,
  })
  const app = {
    parts,
    limits,
    clock,
    log,
    metrics,
    streams,
    readiness: readinessOf(parts, clock),
    draining: () => draining,
  }
  const publicServer = newServer(limits)
  const adminServer = newServer(limits)
  let urls: { readonly public: string; readonly admin: string } | undefined

  async function listen(): Promise<void> {
    const publicPort = await bind(publicServer, parts.listen.public)
    servers.push(publicServer)
    const adminPort = await bind(adminServer, parts.listen.admin)
    servers.push(adminServer)
    const here = { ...parts.listen.public, port: publicPort }
    const admin = { ...parts.listen.admin, port: adminPort }
    // The guards need the real ports, so requests are answered from here on.
    answerWith(publicServer, publicApp(app, createGuard([parts.broker.issuer], here)).callback())
    answerWith(adminServer, adminApp(app, createGuard([], admin)).callback())
    urls = { public: urlOf(here), admin: urlOf(admin) }
  }

  function answerWith(server: Server, answer: (...args: never[]) => unknown): void {
    server.on('request', (request, response) => {
      inFlight += 1
      response.once('close', () => {
        inFlight -= 1
        // A request that began before the end was not told that its connection would not be kept.
        if (draining) setImmediate(() => server.closeIdleConnections())
      })
      ;(answer as (...args: unknown[]) => unknown)(request, response)
    })
  }

  async function close(): Promise<void> {
    draining = true
    streams.close()
    const closed = servers.map((server) => new Promise((resolve) => server.close(resolve)))
    for (const server of servers) server.closeIdleConnections()
    const cut = setTimeout(() => {
      for (const server of servers) server.closeAllConnections()
    }, limits.drainMs)
    await Promise.all(closed)
    clearTimeout(cut)
  }

  const url = (which: 'public' | 'admin') => {
    if (urls === undefined) throw new TypeError('the server does not listen yet')
    return urls[which]
  }
  return {
    listen,
    close,
    get publicUrl() {
      return url('public')
    },
    get adminUrl() {
      return url('admin')
    },
  }
}

function newServer(limits: Limits): Server {
  const server = createHttpServer({
    requestTimeout: limits.requestMs,
    headersTimeout: Math.min(limits.headersMs, limits.requestMs),
    keepAliveTimeout: limits.keepAliveMs,
    // How often those limits are looked at; the default is half a minute.
    connectionsCheckingInterval: Math.min(1_000, limits.requestMs),
    maxHeaderSize: limits.headerBytes,
    requireHostHeader: true,
    insecureHTTPParser: false,
  })
  server.maxHeadersCount = limits.headers
  return server
}

function bind(server: Server, { host, port }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      const why = (cause as NodeJS.ErrnoException).code
      reject(new Error(`cannot listen on ${host}:${port}: ${why}`, { cause }))
    })
    server.listen(port, host, () => {
      server.removeAllListeners('error')
      resolve((server.address() as AddressInfo).port)
    })
  })
}

function urlOf({ host, port }: Address): string {
  const name = host.includes(':') ? `[${host}]` : host
  return `http://${name === '0.0.0.0' ? '127.0.0.1' : name === '[::]' ? '[::1]' : name}:${port}`
}
