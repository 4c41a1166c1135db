/** One answer of the feed to a follower that cannot be streamed to, waited for if need be. */
import { Readable } from 'node:stream'
import type { Context } from 'koa'
import type { FeedEvent } from '../revocation/http-feed-events.ts'
import { FeedReader } from '../revocation/http-feed-reader.ts'
import type { FeedRing } from '../revocation/http-feed-ring.ts'
import { answerError } from './answer.ts'
import type { FeedQuery } from './feed-query.ts'

/** What has come is answered in portions; everything that is kept goes in one, for it has no middle. */
const EVENTS_AN_ANSWER = 500
const EVENTS_A_PIECE = 64

/**
 * Answers once there is something new, the wait is over, or the server stops. A replay is answered with
 * what comes after it, if the wait allows: with it comes the heartbeat that makes it count.
 *
 * @param takenMs who has not taken the answer by then is not reading
 */
export async function answerPoll(
  ctx: Context,
  ring: FeedRing,
  query: Extract<FeedQuery, { how: 'poll' }>,
  { over, takenMs }: { readonly over: AbortSignal; readonly takenMs: number },
): Promise<void> {
  ctx.set('Cache-Control', 'no-store')
  if (ctx.method === 'HEAD') {
    ctx.type = 'application/json'
    ctx.status = 200
    return
  }
  const events: FeedEvent[] = []
  let news = 0
  let wake = (): void => undefined
  const reader = new FeedReader(ring, query.after, () => wake())
  /** @returns whether to answer now */
  const collect = (): boolean => {
    while (news < EVENTS_AN_ANSWER && !reader.leftBehind) {
      const replaying = !reader.live
      const event = reader.next()
      if (event === undefined) break
      events.push(event)
      if (!replaying) news += 1
    }
    return news > 0 || reader.leftBehind
  }
  await new Promise<void>((resolve) => {
    const waited = setTimeout(answer, query.waitSeconds * 1000)
    function answer(): void {
      clearTimeout(waited)
      resolve()
    }
    wake = () => {
      if (collect()) answer()
    }
    over.addEventListener('abort', answer, { once: true })
    wake()
  })
  reader.close()
  if (ctx.res.closed) return
  // Part of a replay would be taken for the whole.
  if (!reader.live || reader.leftBehind) {
    return answerError(ctx, {
      status: 503,
      error: 'temporarily_unavailable',
      description: 'the feed is not whole',
      retryAfterSeconds: 1,
    })
  }
  ctx.type = 'application/json'
  ctx.body = Readable.from(pieces(events, reader.id))
  // When the server stops it cuts off by itself who is late.
  const late = setTimeout(() => ctx.res.destroy(), takenMs).unref()
  over.addEventListener('abort', () => clearTimeout(late), { once: true })
}

/** In pieces, so that a slow reader does not hold a second copy of everything. */
function* pieces(events: readonly FeedEvent[], next: string): Generator<string> {
  yield '{"events":['
  for (let first = 0; first < events.length; first += EVENTS_A_PIECE) {
    const piece = events.slice(first, first + EVENTS_A_PIECE).map((event) => JSON.stringify(event))
    yield `${first > 0 ? ',' : ''}${piece.join(',')}`
  }
  yield `],"next":"${next}"}`
}
