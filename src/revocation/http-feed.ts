/**
 * The feed over HTTP, for verifiers without the broker's store: a stream of server-sent events where
 * streams come through, and long polls where something on the way cuts or collects them.
 *
 * To its follower, connections that go on from each other's last id are one: each is asked for what
 * came since, so nothing is missed between them, and a holder's own bound counts the silence. Where
 * that cannot be had (the broker does not know the id, or cannot be reached at the next try), the
 * follower is told `lost`, and is given everything from the start.
 */
import { urlFault } from '../lib/credential-url.ts'
import type { FeedFollower, FeedSubscription, FeedTransport } from './feed.ts'
import { type FeedConnectionOptions, pollOnce, readStream } from './http-feed-connection.ts'
import { deliver, type FeedEvent } from './http-feed-events.ts'

export interface HttpFeedOptions {
  /** The broker's `/revocations`: `https:`, or `http:` on loopback. */
  readonly url: string
  readonly fetch?: typeof fetch
  /** How long a stream may say nothing; 3,000 ms. */
  readonly silenceMs?: number
  /** The first pause before connecting again, doubled up to 2,000 ms; 50 ms. */
  readonly retryMs?: number
  /** A stream that ends sooner was cut; after three of them the feed is polled. 5,000 ms. */
  readonly earlyMs?: number
  /** How long it polls before it looks whether streams come through; 60,000 ms. */
  readonly streamAgainMs?: number
}

const MAX_RETRY_MS = 2000
const UNLUCKY_STREAMS = 3
const FAILED_POLLS = 2
/** The least time from one poll to the next, whatever answers them. */
const POLL_EVERY_MS = 20

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
    follow: (follower) => new HttpFollowing(url, options, follower),
  }
}

class HttpFollowing implements FeedSubscription {
  readonly #follower: FeedFollower
  readonly #connection: FeedConnectionOptions
  readonly #retryMs: number
  readonly #earlyMs: number
  readonly #streamAgainMs: number
  readonly #closed = new AbortController()
  readonly #done: Promise<void>
  #lastId: string | undefined
  /** Connections in a row that brought nothing. */
  #failures = 0

  constructor(url: URL, options: HttpFeedOptions, follower: FeedFollower) {
    this.#follower = follower
    const { fetch: fetchWith = fetch, silenceMs = 3000 } = options
    this.#connection = { url, fetch: fetchWith, silenceMs }
    this.#retryMs = options.retryMs ?? 50
    this.#earlyMs = options.earlyMs ?? 5000
    this.#streamAgainMs = options.streamAgainMs ?? 60_000
    this.#done = this.#follow()
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#done
  }

  get #isClosed(): boolean {
    return this.#closed.signal.aborted
  }

  async #follow(): Promise<void> {
    while (!this.#isClosed) {
      await this.#stream()
      if (!this.#isClosed) await this.#poll()
    }
  }

  /** Streams, until streams do not come through. */
  async #stream(): Promise<void> {
    for (let unlucky = 0; unlucky < UNLUCKY_STREAMS && !this.#isClosed; ) {
      const sinceMs = performance.now()
      const end = await readStream(this.#connection, this.#lastId, this.#closed.signal, this.#hear)
      if (this.#isClosed) return
      // What has been silent may have lost something as well as been kept from saying it.
      await this.#ended(end.events > 0, end.how === 'silent')
      if (end.how === 'silent') return
      const early = end.how === 'refused' || performance.now() - sinceMs < this.#earlyMs
      unlucky = early ? unlucky + 1 : 0
    }
  }

  /** Polls, until streams come through again, or polls are not answered either. */
  async #poll(): Promise<void> {
    const polling = new AbortController()
    const stop = AbortSignal.any([this.#closed.signal, polling.signal])
    let streams = false
    const looking = this.#lookForStreams(stop).then((found) => {
      streams = found
    })
    for (let failed = 0; failed < FAILED_POLLS && !streams && !this.#isClosed; ) {
      const sinceMs = performance.now()
      const next = await pollOnce(this.#connection, this.#lastId, this.#closed.signal, this.#hear)
      if (this.#isClosed) break
      failed = next === undefined ? failed + 1 : 0
      if (next === undefined) await this.#ended(false, false)
      else {
        this.#lastId = next
        this.#failures = 0
        await pause(POLL_EVERY_MS - (performance.now() - sinceMs), this.#closed.signal)
      }
    }
    polling.abort()
    await looking
  }

  /** While polls go on, so that trying does not make anything late. What it brings is not listened to. */
  async #lookForStreams(stop: AbortSignal): Promise<boolean> {
    for (;;) {
      await pause(this.#streamAgainMs, stop)
      if (stop.aborted) return false
      const enough = AbortSignal.timeout(this.#earlyMs)
      const either = AbortSignal.any([stop, enough])
      const { events } = await readStream(this.#connection, this.#lastId, either, () => undefined)
      if (stop.aborted) return false
      // It brought something, and would have gone on.
      if (events > 0 && enough.aborted) return true
    }
  }

  readonly #hear = (event: FeedEvent): void => {
    if (this.#isClosed) return
    if (event.id !== undefined) this.#lastId = event.id === '' ? undefined : event.id
    this.#failures = 0
    deliver(this.#follower, event)
  }

  /** A connection is over: goes on at once from the last id, or tells that it cannot. */
  async #ended(heard: boolean, inDoubt: boolean): Promise<void> {
    if (!heard || inDoubt || this.#lastId === undefined) {
      this.#lastId = undefined
      this.#follower.lost('the broker cannot be heard')
    }
    this.#failures = heard ? 0 : this.#failures + 1
    const pauseMs = Math.min(this.#retryMs * 2 ** this.#failures, MAX_RETRY_MS)
    await pause(pauseMs * (0.5 + Math.random() / 2), this.#closed.signal)
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve()
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
