/** One stream, or one poll, of the feed over HTTP: what it brought, and how it ended. */
import { readBounded } from '../lib/read-bounded.ts'
import { type FeedEvent, feedEventParser, parseAnswer } from './http-feed-events.ts'

export interface FeedConnectionOptions {
  readonly url: URL
  readonly fetch: typeof fetch
  readonly silenceMs: number
}

export interface StreamEnd {
  /** How many events it brought. */
  readonly events: number
  /** `silent`: given up, for nothing came, or only now and then and all at once. */
  readonly how: 'refused' | 'silent' | 'ended'
}

/** What a replay of some 100,000 revocations needs. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
/** Heartbeats come several times a second. So many long pauses in a row are something that collects. */
const PAUSES = 3

/** Follows one stream to its end. Never rejects: whatever ended it, it is for the caller to try again. */
export async function readStream(
  { url, fetch, silenceMs }: FeedConnectionOptions,
  lastId: string | undefined,
  closed: AbortSignal,
  heard: (event: FeedEvent) => void,
): Promise<StreamEnd> {
  const patience = patienceOf(silenceMs, closed)
  let events = 0
  let answered = false
  try {
    const response = await fetch(url, {
      headers: {
        accept: 'text/event-stream',
        ...(lastId === undefined ? {} : { 'last-event-id': lastId }),
      },
      redirect: 'error',
      signal: patience.signal,
    })
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      return { events, how: 'refused' }
    }
    answered = true
    const parse = feedEventParser()
    const decoder = new TextDecoder('utf-8', { fatal: true })
    let lastMs = performance.now()
    let pauses = 0
    for await (const chunk of response.body) {
      patience.renew()
      const nowMs = performance.now()
      pauses = nowMs - lastMs > silenceMs / 2 ? pauses + 1 : 0
      lastMs = nowMs
      for (const event of parse(decoder.decode(chunk, { stream: true }))) {
        events += 1
        heard(event)
      }
      if (pauses === PAUSES) return { events, how: 'silent' }
    }
  } catch {
    // A broken connection is an end like any other.
  } finally {
    patience.end()
  }
  if (patience.over) return { events, how: 'silent' }
  return { events, how: answered ? 'ended' : 'refused' }
}

/**
 * Asks once, and waits for the answer a little less than a stream may be silent.
 *
 * @returns where to go on; undefined when there was no answer
 */
export async function pollOnce(
  { url, fetch, silenceMs }: FeedConnectionOptions,
  after: string | undefined,
  closed: AbortSignal,
  heard: (event: FeedEvent) => void,
): Promise<string | undefined> {
  const waitSeconds = Math.max(1, Math.min(30, Math.floor(silenceMs / 1000) - 1))
  const asked = new URL(url)
  if (after !== undefined) asked.searchParams.set('after', after)
  asked.searchParams.set('wait', String(waitSeconds))
  const patience = patienceOf(waitSeconds * 1000 + silenceMs, closed)
  try {
    const response = await fetch(asked, {
      headers: { accept: 'application/json' },
      redirect: 'error',
      signal: patience.signal,
    })
    const isJson = /^application\/json\b/i.test(response.headers.get('content-type') ?? '')
    if (!response.ok || !isJson) {
      await response.body?.cancel()
      return undefined
    }
    const body = await readBounded(response.body, MAX_ANSWER_BYTES)
    if (body.byteLength > MAX_ANSWER_BYTES) return undefined
    const { events, next } = parseAnswer(new TextDecoder('utf-8', { fatal: true }).decode(body))
    for (const event of events) heard(event)
    return next
  } catch {
    return undefined
  } finally {
    patience.end()
  }
}

/**
 * A signal that ends a connection after so long, or when the feed is closed. Not `AbortSignal.any`:
 * polls come several times a second for as long as a process lives, and nothing of one may outlast it.
 */
function patienceOf(ms: number, closed: AbortSignal) {
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  let over = false
  const timer = setTimeout(() => {
    over = true
    stop()
  }, ms)
  closed.addEventListener('abort', stop)
  if (closed.aborted) stop()
  return {
    signal: controller.signal,
    renew: () => void timer.refresh(),
    /** Whether it was given up for want of an answer. */
    get over() {
      return over
    },
    end() {
      clearTimeout(timer)
      closed.removeEventListener('abort', stop)
    },
  }
}
