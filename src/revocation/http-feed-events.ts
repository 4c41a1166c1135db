/**
 * How the feed is written over HTTP: as server-sent events (HTML Living Standard §9.2.6), of which this
 * is the part that a broker writes, or as one JSON object for each poll.
 */
import { EventStreamParser } from '../lib/event-stream.ts'
import type { FeedFollower } from './feed.ts'
import { MAX_FEED_TEXT_BYTES } from './feed-text.ts'

const EVENTS = ['entry', 'beat', 'ready', 'lost'] as const

export interface FeedEvent {
  readonly event: (typeof EVENTS)[number]
  /** A signed text, or, without one, a word. */
  readonly data: string
  /** Where to go on after it; '' where nothing can be gone on from; none where that did not change. */
  readonly id?: string
}

/** What a poll is answered with. */
export interface FeedAnswer {
  readonly events: readonly FeedEvent[]
  /** What the next poll comes `after`. */
  readonly next: string
}

/** The id an event has: the broker process that wrote it, and how many events it had written by then. */
export const FEED_ID = /^[A-Za-z0-9_-]{16}\.(?:0|[1-9][0-9]{0,14})$/

const MAX_EVENT_BYTES = MAX_FEED_TEXT_BYTES + 256

/** A text with a line break is none of ours, and could pretend to be other events. */
export function isOneLine(text: string): boolean {
  return !/[\r\n]/.test(text)
}

export function eventText({ event, data, id }: FeedEvent): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${data}\n\n`
}

/** Tells the follower of one event. */
export function deliver(follower: FeedFollower, { event, data }: FeedEvent): void {
  if (event === 'entry') follower.entry(data)
  else if (event === 'beat') follower.beat(data)
  else if (event === 'ready') follower.ready?.()
  else follower.lost('the broker could not go on')
}

/** Reads a stream's events, but those of a kind that this version does not know. */
export function feedEventParser(): (text: string) => FeedEvent[] {
  const parser = new EventStreamParser(MAX_EVENT_BYTES)
  return (text) =>
    parser
      .push(text)
      .map(feedEvent)
      .filter((event) => event !== undefined)
}

/** @throws {Error} when it is not an answer, or holds an event longer than any that a broker sends */
export function parseAnswer(text: string): FeedAnswer {
  const { events, next } = (JSON.parse(text) ?? {}) as { events?: unknown; next?: unknown }
  if (!Array.isArray(events) || typeof next !== 'string' || !FEED_ID.test(next)) {
    throw new Error('not an answer of the feed')
  }
  return {
    next,
    events: events.map((fields) => {
      const event = typeof fields === 'object' && fields !== null ? feedEvent(fields) : undefined
      if (event === undefined) throw new Error('not an event of the feed')
      return event
    }),
  }
}

/** Undefined for events of a kind that this version does not know, and for what is none. */
function feedEvent(fields: {
  event?: unknown
  data?: unknown
  id?: unknown
}): FeedEvent | undefined {
  const { data, id } = fields
  const event = EVENTS.find((name) => name === fields.event)
  if (event === undefined || typeof data !== 'string') return undefined
  if (data.length > MAX_EVENT_BYTES) throw new Error('an event is too long')
  const known = id === '' || (typeof id === 'string' && FEED_ID.test(id))
  return { event, data, ...(known ? { id: id as string } : {}) }
}
