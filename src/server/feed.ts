/** `GET /revocations`: the signed feed as server-sent events, for verifiers without our store. */
import type { Context } from 'koa'
import type { FeedTransport } from '../revocation/feed.ts'
import { feedStream } from '../revocation/http-feed.ts'
import { answerError } from './answer.ts'
import type { Limits } from './parts.ts'

export interface FeedStreams {
  readonly open: number
  /** Answers with a stream, or 503 when there are too many. */
  serve(ctx: Context): void
  /** Ends every stream; followers connect elsewhere, or again. */
  close(): void
}

export function createFeedStreams(
  transport: FeedTransport,
  limits: Pick<Limits, 'feedStreams' | 'feedStreamsPerAddress' | 'feedBacklogBytes'>,
): FeedStreams {
  const ends = new Set<() => void>()
  /** Streams by the peer's address: one peer must not keep all others from hearing the feed. */
  const byAddress = new Map<string, number>()
  let closed = false

  function serve(ctx: Context): void {
    const address = ctx.req.socket.remoteAddress ?? ''
    const ofAddress = byAddress.get(address) ?? 0
    const full = ends.size >= limits.feedStreams || ofAddress >= limits.feedStreamsPerAddress
    if (closed || full) {
      answerError(ctx, {
        status: 503,
        error: 'temporarily_unavailable',
        description: 'too many followers',
        retryAfterSeconds: 5,
      })
      return
    }
    ctx.respond = false
    const { res } = ctx
    res.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
      // Ending the stream ends the connection, so that closing need not wait for it to be reused.
      Connection: 'close',
    })
    // Nothing is ever written to who asks for the headers alone, so nothing would end it either.
    if (ctx.method === 'HEAD') {
      res.end()
      return
    }
    res.flushHeaders()
    const subscription = feedStream(transport, (chunk) => {
      if (res.writableEnded || res.destroyed) return
      res.write(chunk)
      // Heartbeats come several times a second: who has this much unread is not reading.
      if (res.writableLength > limits.feedBacklogBytes) res.destroy()
    })
    const end = () => res.end()
    ends.add(end)
    byAddress.set(address, ofAddress + 1)
    res.once('close', () => {
      ends.delete(end)
      const left = (byAddress.get(address) ?? 1) - 1
      if (left === 0) byAddress.delete(address)
      else byAddress.set(address, left)
      subscription.close().catch(() => undefined)
    })
  }

  return {
    get open() {
      return ends.size
    },
    serve,
    close() {
      closed = true
      for (const end of ends) end()
    },
  }
}
