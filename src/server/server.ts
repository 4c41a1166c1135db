/** The broker over HTTP: its listeners, their limits, and how they stop. */
import { createServer as createHttpServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { adminApp, mtlsApp, publicApp } from './app.ts'
import { type Connections, followConnections } from './connections.ts'
import { createFeedStreams } from './feed.ts'
import { createGuard } from './guard.ts'
import { type Readiness, readinessOf } from './health.ts'
import { createLog } from './log.ts'
import { createMetrics } from './metrics.ts'
import { createTlsServer } from './mtls.ts'
import {
  type Address,
  type BrokerParts,
  DEFAULT_LIMITS,
  type Limits,
  serverLimits,
} from './parts.ts'

export type { BrokerParts, Client, Limits } from './parts.ts'

export interface BrokerServer {
  /** Opens the listeners. @throws {Error} when an address cannot be bound */
  listen(): Promise<void>
  /**
   * Accepts nothing new, ends the feed streams and the connections without a request, lets requests in
   * flight finish for at most `limits.drainMs`, then cuts what is left.
   */
  close(): Promise<void>
  /** What `/readyz` says. */
  readiness(): Promise<Readiness>
  /** The bound addresses, for programs on this machine; valid after `listen`. */
  readonly publicUrl: string
  readonly adminUrl: string
  /** Undefined without an mTLS listener. */
  readonly mtlsUrl: string | undefined
}

/** @throws {Error} when a client's keys or the issuer cannot be used */
export async function createServer(parts: BrokerParts): Promise<BrokerServer> {
  const limits: Limits = { ...DEFAULT_LIMITS, ...parts.limits }
  const clock = parts.clock ?? (() => Date.now() / 1000)
  const log = parts.log ?? createLog()
  const streams = createFeedStreams(parts.feed, limits)
  const servers: Server[] = []
  const connections: Connections[] = []
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
  const { mtls } = parts
  const mtlsServer = mtls && createTlsServer(mtls, limits, log)
  let urls:
    | { readonly public: string; readonly admin: string; readonly mtls: string | undefined }
    | undefined

  async function listen(): Promise<void> {
    for (const server of [publicServer, adminServer, mtlsServer]) {
      if (server !== undefined) connections.push(followConnections(server))
    }
    const publicPort = await bind(publicServer, parts.listen.public)
    servers.push(publicServer)
    const adminPort = await bind(adminServer, parts.listen.admin)
    servers.push(adminServer)
    const mtlsHere = mtls && { ...mtls.address, port: await bind(mtlsServer!, mtls.address) }
    if (mtlsServer !== undefined) servers.push(mtlsServer)
    const here = { ...parts.listen.public, port: publicPort }
    const admin = { ...parts.listen.admin, port: adminPort }
    const ofAdmin = parts.admin === undefined ? [] : [parts.admin.url]
    // The guards need the real ports, so requests are answered from here on.
    answerWith(publicServer, publicApp(app, createGuard([parts.broker.issuer], here)).callback())
    answerWith(adminServer, adminApp(app, createGuard(ofAdmin, admin)).callback())
    if (mtls !== undefined && mtlsHere !== undefined) {
      const guard = createGuard([mtls.url], mtlsHere, 'https')
      answerWith(mtlsServer!, mtlsApp(app, guard, mtls).callback())
    }
    urls = { public: urlOf(here), admin: urlOf(admin), mtls: mtlsHere && urlOf(mtlsHere, 'https') }
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
    for (const each of connections) each.endSilent()
    const cut = setTimeout(() => {
      for (const server of servers) server.closeAllConnections()
    }, limits.drainMs)
    await Promise.all(closed)
    clearTimeout(cut)
  }

  const bound = () => {
    if (urls === undefined) throw new TypeError('the server does not listen yet')
    return urls
  }
  return {
    listen,
    close,
    readiness: app.readiness,
    get publicUrl() {
      return bound().public
    },
    get adminUrl() {
      return bound().admin
    },
    get mtlsUrl() {
      return bound().mtls
    },
  }
}

function newServer(limits: Limits): Server {
  const server = createHttpServer(serverLimits(limits))
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

function urlOf({ host, port }: Address, scheme = 'http'): string {
  const name = host.includes(':') ? `[${host}]` : host
  return `${scheme}://${name === '0.0.0.0' ? '127.0.0.1' : name === '[::]' ? '[::1]' : name}:${port}`
}
