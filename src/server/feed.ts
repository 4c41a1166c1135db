/**
 * `GET /revocations`: the signed feed for verifiers without our store, as server-sent events, or polled
 * where streams do not come through. Both go on from the last id that was seen.
 */
import type { Context } from 'koa'
import { networkOf } from '../lib/network.ts'
import type { FeedTransport } from '../revocation/feed.ts'
import { eventText } from '../revocation/http-feed-events.ts'
import { FeedReader } from '../revocation/http-feed-reader.ts'
import { FeedRing } from '../revocation/http-feed-ring.ts'
import { answerError } from './answer.ts'
import { answerPoll } from './feed-poll.ts'
import { parseFeedQuery } from './feed-query.ts'
import type { Limits } from './parts.ts'

export interface FeedStreams {
  /** Streams and polls that are being answered. */
  readonly open: number
  /** Answers with a stream or to a poll, or 503 when there are too many. */
  serve(ctx: Context): void | Promise<void>
  /** Ends every stream and answers every poll; followers connect elsewhere, or again. */
  close(): void
}

export function createFeedStreams(
  transport: FeedTransport,
  limits: Pick<Limits, `feed${string}` & keyof Limits>,
): FeedStreams {
  const ring = new FeedRing(transport, limits.feedBacklogBytes)
  /** With the peer's network: one peer must not keep all others from hearing the feed. */
  const open = new Map<AbortController, string>()
  let closed = false

  /** Takes a place until the response is over; aborted then, and when the server stops before that. */
  function take({ req, res }: Context): AbortSignal | undefined {
    const network = networkOf(req.socket.remoteAddress)
    const ofNetwork = [...open.values()].filter((each) => each === network).length
    const full = open.size >= limits.feedStreams || ofNetwork >= limits.feedStreamsPerNetwork
    if (closed || full) return undefined
    const over = new AbortController()
    open.set(over, network)
    // The one listener of its kind here: a response that is piped to has nearly as many as Node allows.
    res.once('close', () => {
      open.delete(over)
      over.abort()
    })
    return over.signal
  }

  function serve(ctx: Context): void | Promise<void> {
    const query = parseFeedQuery(ctx)
    if (typeof query === 'string') {
      return answerError(ctx, { status: 400, error: 'invalid_request', description: query })
    }
    const over = take(ctx)
    if (over === undefined) {
      return answerError(ctx, {
        status: 503,
        error: 'temporarily_unavailable',
        description: 'too many followers',
        retryAfterSeconds: 5,
      })
    }
    if (query.how === 'poll')
      return answerPoll(ctx, ring, query, { over, takenMs: limits.feedUnreadMs })
    answerStream(ctx, ring, query.after, { over, unreadMs: limits.feedUnreadMs })
  }

  return {
    get open() {
      return open.size
    },
    serve,
    close() {
      closed = true
      for (const over of open.keys()) over.abort()
      ring.close().catch(() => undefined)
    },
  }
}

function answerStream(
  ctx: Context,
  ring: FeedRing,
  after: string | undefined,
  { over, unreadMs }: { readonly over: AbortSignal; readonly unreadMs: number },
): void {
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
  let unreadSinceMs: number | undefined
  const reader = new FeedReader(ring, after, write)
  /** As much as the connection takes; the rest waits in the ring, and not here. */
  function write(): void {
    if (res.writableEnded || res.destroyed) return
    const nowMs = performance.now()
    const notReading = unreadSinceMs !== undefined && nowMs - unreadSinceMs > unreadMs
    if (notReading || reader.leftBehind) return void res.destroy()
    unreadSinceMs = res.writableNeedDrain ? (unreadSinceMs ?? nowMs) : undefined
    while (!res.writableNeedDrain) {
      const event = reader.next()
      if (event === undefined) return
      res.write(eventText(event))
    }
  }
  res.on('drain', write)
  const end = () => {
    reader.close()
    res.end()
  }
  over.addEventListener('abort', end, { once: true })
  write()
}
