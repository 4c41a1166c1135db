/**
 * The feed over the broker's HTTP stream, for verifiers without the broker's store: server-sent
 * events `entry`, `beat`, `ready` and `lost`, each with one signed text or a word as its data.
 *
 * The connection is made again, with growing pauses, for as long as the feed is followed. A stream
 * that falls silent is given up: heartbeats come several times a second.
 */
import { urlFault } from '../lib/credential-url.ts'
import type { FeedFollower, FeedSubscription, FeedTransport } from './feed.ts'
import { MAX_FEED_TEXT_BYTES } from './feed-text.ts'

export interface HttpFeedOptions {
  /** The broker's `/revocations`: `https:`, or `http:` on loopback. */
  readonly url: string
  readonly fetch?: typeof fetch
  /** How long a stream may say nothing; 3,000 ms. */
  readonly silenceMs?: number
  /** The first pause before connecting again, doubled up to 2,000 ms; 50 ms. */
  readonly retryMs?: number
}

const MAX_RETRY_MS = 2000
const MAX_EVENT_BYTES = MAX_FEED_TEXT_BYTES + 256

/** @throws {TypeError} when the URL is not one that can be trusted */
export function httpFeed(options: HttpFeedOptions): FeedTransport {
  const url = new URL(options.url)
  if (urlFault(url) !== undefined) {
    throw new TypeError('the feed must be https, or http on loopback')
  }
  const readOnly = async (): Promise<never> => {
    throw new TypeError('a feed over HTTP can only be followed')
  }
  return {
    append: readOnly,
    beat: readOnly,
    follow: (follower) => followHttp(url, options, follower),
  }
}

function followHttp(url: URL, options: HttpFeedOptions, follower: FeedFollower): FeedSubscription {
  const closed = new AbortController()
  const done = (async () => {
    let failures = 0
    while (!closed.signal.aborted) {
      const heard = await readOnce(url, options, follower, closed.signal)
      if (closed.signal.aborted) break
      follower.lost('the stream ended')
      failures = heard ? 0 : failures + 1
      const pauseMs = Math.min((options.retryMs ?? 50) * 2 ** failures, MAX_RETRY_MS)
      await pause(pauseMs * (0.5 + Math.random() / 2), closed.signal)
    }
  })()
  return {
    async close() {
      closed.abort()
      await done
    },
  }
}

/** Follows one connection to its end; `true` when something was heard on it. */
async function readOnce(
  url: URL,
  options: HttpFeedOptions,
  follower: FeedFollower,
  closed: AbortSignal,
): Promise<boolean> {
  const silent = new AbortController()
  const timer = setTimeout(() => silent.abort(), options.silenceMs ?? 3000)
  let heard = false
  try {
    const response = await (options.fetch ?? fetch)(url, {
      headers: { accept: 'text/event-stream' },
      redirect: 'error',
      signal: AbortSignal.any([closed, silent.signal]),
    })
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      return false
    }
    const events = new EventParser(follower)
    const decoder = new TextDecoder('utf-8', { fatal: true })
    for await (const chunk of response.body) {
      timer.refresh()
      heard = events.push(decoder.decode(chunk, { stream: true })) || heard
    }
  } catch {
    // Whatever ended the stream, the follower is told `lost`, and it is tried again.
  } finally {
    clearTimeout(timer)
  }
  return heard
}

/** The part of the event stream format that `feedStream` writes (HTML Living Standard §9.2.6). */
class EventParser {
  readonly #follower: FeedFollower
  #rest = ''

  constructor(follower: FeedFollower) {
    this.#follower = follower
  }

  /** @throws {Error} when an event is longer than any that a broker sends */
  push(text: string): boolean {
    const blocks = (this.#rest + text).split('\n\n')
    this.#rest = blocks.pop() ?? ''
    if (this.#rest.length > MAX_EVENT_BYTES) throw new Error('an event is too long')
    let heard = false
    for (const block of blocks) {
      if (block.length > MAX_EVENT_BYTES) throw new Error('an event is too long')
      heard = this.#dispatch(block) || heard
    }
    return heard
  }

  #dispatch(block: string): boolean {
    let event = ''
    let data = ''
    for (const line of block.split('\n')) {
      if (line.startsWith('event: ')) event = line.slice(7)
      if (line.startsWith('data: ')) data = line.slice(6)
    }
    if (event === 'entry') this.#follower.entry(data)
    else if (event === 'beat') this.#follower.beat(data)
    else if (event === 'ready') this.#follower.ready?.()
    else if (event === 'lost') this.#follower.lost('the broker lost its feed')
    else return false
    return true
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      resolve()
    }
    const timer = setTimeout(stop, ms)
    signal.addEventListener('abort', stop)
  })
}

/**
 * What the broker sends to one client of `/revocations`: every live entry, then `ready`, then what
 * comes. Close the subscription when the client has gone, or does not keep up.
 */
export function feedStream(
  transport: FeedTransport,
  write: (chunk: string) => void,
): FeedSubscription {
  const send = (event: string, data: string): void => {
    // A text with a line break is none of ours, and could pretend to be other events.
    if (!/[\r\n]/.test(data)) write(`event: ${event}\ndata: ${data}\n\n`)
  }
  return transport.follow({
    entry: (text) => send('entry', text),
    beat: (text) => send('beat', text),
    lost: () => send('lost', 'lost'),
    ready: () => send('ready', 'ready'),
  })
}
