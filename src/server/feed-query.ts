/** What a follower of `/revocations` asks for: a stream, or one answer that may be waited for. */
import type { Context } from 'koa'
import { FEED_ID } from '../revocation/http-feed-events.ts'

export type FeedQuery =
  | { readonly how: 'stream'; readonly after: string | undefined }
  | { readonly how: 'poll'; readonly after: string | undefined; readonly waitSeconds: number }

const WAIT = /^(?:[0-9]|[12][0-9]|30)$/

/** @returns words for what is wrong with it, if anything is */
export function parseFeedQuery(ctx: Context): FeedQuery | string {
  const query = new URLSearchParams(ctx.querystring)
  for (const name of query.keys()) {
    if (name !== 'after' && name !== 'wait') return 'a parameter that is not known here'
    if (query.getAll(name).length > 1) return `${name} is given twice`
  }
  // Anything else gets the stream, as it always has.
  if (ctx.accepts('text/event-stream', 'application/json') !== 'application/json') {
    if (query.size > 0) return 'parameters are for polling, with Accept: application/json'
    const { 'last-event-id': last } = ctx.headers
    return { how: 'stream', after: typeof last === 'string' && last !== '' ? last : undefined }
  }
  const after = query.get('after') ?? undefined
  if (after !== undefined && !FEED_ID.test(after)) return 'after is not an id of the feed'
  const wait = query.get('wait') ?? '0'
  if (!WAIT.test(wait)) return 'wait must be whole seconds, 0 to 30'
  return { how: 'poll', after, waitSeconds: Number(wait) }
}
