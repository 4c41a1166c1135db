/** The events of the admin API, followed through every break. */
import { setTimeout as sleep } from 'node:timers/promises'
import { EventStreamParser, type StreamedEvent } from '../lib/event-stream.ts'
import { type AdminClient, NotUnderstood } from './admin-client.ts'
import { CliError } from './answer.ts'

const MAX_EVENT_CHARACTERS = 1024 * 1024
/** The broker says something at least every 15 s; who is silent for longer is gone. */
const SILENCE_MS = 45_000
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 10_000
/** It is sent back in a header. */
const EVENT_ID = /^[\x20-\x7e]{0,1024}$/

export interface Following {
  readonly signal: AbortSignal
  /** Hears why it was not answered, each time that it is asked again. */
  readonly onBreak?: (why: string) => void
}

/**
 * Yields events until `signal` is aborted. After a break it goes on where it was; `onBreak` hears of it.
 *
 * @throws {CliError} when the broker says no, or what nobody understands, which asking again would not change
 */
export async function* followEvents(
  admin: AdminClient,
  options: Following,
): AsyncGenerator<StreamedEvent> {
  const { signal } = options
  let lastEventId: string | undefined
  let waitMs = FIRST_WAIT_MS
  while (!signal.aborted) {
    const silence = new AbortController()
    const either = AbortSignal.any([signal, silence.signal])
    const timer = setTimeout(() => silence.abort(new Error('the broker is silent')), SILENCE_MS)
    try {
      const stream = await admin.stream('/v1/events', { lastEventId, signal: either })
      either.addEventListener('abort', () => stream.destroy(), { once: true })
      stream.on('data', () => timer.refresh())
      const decoder = new TextDecoder()
      const parser = new EventStreamParser(MAX_EVENT_CHARACTERS)
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        for (const event of parser.push(decoder.decode(chunk, { stream: true }))) {
          if (event.id !== undefined && !EVENT_ID.test(event.id)) {
            throw new NotUnderstood(admin.where)
          }
          lastEventId = event.id ?? lastEventId
          waitMs = FIRST_WAIT_MS
          yield event
        }
      }
      // A broker ends streams in which it is asked anew who listens: that is no trouble.
    } catch (error) {
      if (signal.aborted) return
      tell(error, options)
    } finally {
      clearTimeout(timer)
    }
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  }
}

/**
 * Asks again for as long as nobody answers, until `signal` is aborted.
 *
 * @throws {CliError} as `followEvents`
 */
export async function untilDone(run: () => Promise<void>, options: Following): Promise<void> {
  const { signal } = options
  for (
    let waitMs = FIRST_WAIT_MS;
    !signal.aborted;
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  ) {
    try {
      return await run()
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof CliError)) throw error
      tell(error, options)
    }
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
  }
}

/** @throws what asking again would not change */
function tell(error: unknown, { onBreak }: Following): void {
  if (error instanceof NotUnderstood) throw error
  if (error instanceof CliError && error.code !== 'unavailable') throw error
  onBreak?.(error instanceof Error ? error.message : String(error))
}
