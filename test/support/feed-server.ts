/** `/revocations` of a broker alone, on a free port, over any feed. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { createFeedStreams, type FeedStreams } from '../../src/server/feed.ts'

export interface FeedServer {
  readonly streams: FeedStreams
  readonly port: number
  readonly url: string
  /** Every request that came. */
  readonly requests: readonly IncomingMessage[]
  /** From now on nobody is answered, and whoever was is cut off, until it serves again. */
  become(how: 'serve' | 'refuse' | 'hang' | 'flood'): void
  /** As a broker that was started again: it knows nothing of the ids it gave. */
  startAgain(): void
  close(): Promise<void>
}

export const FEED_LIMITS = {
  feedStreams: 16,
  feedStreamsPerNetwork: 16,
  feedBacklogBytes: 1024 * 1024,
  feedUnreadMs: 30_000,
}

export async function startFeedServer(
  transport: FeedTransport,
  limits: Partial<typeof FEED_LIMITS> = {},
): Promise<FeedServer> {
  const open = () => createFeedStreams(transport, { ...FEED_LIMITS, ...limits })
  let streams = open()
  let how: Parameters<FeedServer['become']>[0] = 'serve'
  const requests: IncomingMessage[] = []
  const koa = new Koa()
  koa.use((ctx) => {
    requests.push(ctx.req)
    if (how === 'serve') return streams.serve(ctx)
    if (how === 'refuse') {
      ctx.status = 503
      return
    }
    ctx.respond = false
    ctx.res.writeHead(200, { 'content-type': 'text/event-stream' })
    ctx.res.write(how === 'hang' ? ':\n\n' : 'x'.repeat(1_000_000))
  })
  koa.on('error', () => undefined)
  const server = createServer(koa.callback())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    get streams() {
      return streams
    },
    port,
    url: `http://127.0.0.1:${port}/revocations`,
    requests,
    become(next) {
      how = next
      server.closeAllConnections()
    },
    startAgain() {
      streams.close()
      server.closeAllConnections()
      streams = open()
    },
    async close() {
      streams.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
