/** Server-sent events of the admin API: read, and followed through every break (WHATWG HTML §9.2). */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminClient } from './admin-client.ts'
import { CliError } from './answer.ts'

export interface ServerEvent {
  readonly kind: string
  readonly data: string
}

const MAX_EVENT_CHARACTERS = 1024 * 1024
/** The broker says something at least every 15 s; who is silent for longer is gone. */
const SILENCE_MS = 45_000
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 10_000

/**
 * Yields events until `signal` is aborted. After a break it goes on where it was; `onBreak` hears of it.
 *
 * @throws {CliError} when the broker says no, which asking again would not change
 */
export async function* followEvents(
  admin: AdminClient,
  options: { readonly signal: AbortSignal; readonly onBreak?: (why: string) => void },
): AsyncGenerator<ServerEvent> {
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
      for await (const { id, ...event } of parseEvents(stream)) {
        lastEventId = id ?? lastEventId
        waitMs = FIRST_WAIT_MS
        yield event
      }
      // A broker ends streams in which it is asked anew who listens: that is no trouble.
    } catch (error) {
      if (signal.aborted) return
      if (error instanceof CliError && error.code !== 'unavailable') throw error
      options.onBreak?.(error instanceof Error ? error.message : String(error))
    } finally {
      clearTimeout(timer)
    }
    await sleep(waitMs, undefined, { signal }).catch(() => undefined)
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  }
}

/** @throws {Error} when one event is too large, or the stream is cut */
export async function* parseEvents(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerEvent & { readonly id: string | undefined }> {
  const decoder = new TextDecoder()
  let rest = ''
  let kind = 'message'
  let id: string | undefined
  let data: string[] = []
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true })
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() ?? ''
    if (rest.length > MAX_EVENT_CHARACTERS) throw new Error('an event is too large')
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? []
      if (line === '') {
        if (data.length > 0) yield { kind, data: data.join('\n'), id }
        kind = 'message'
        data = []
      } else if (name === 'event') kind = value
      else if (name === 'id' && !value.includes('\0')) id = value
      else if (name === 'data') {
        data.push(value)
        if (data.length > 1000) throw new Error('an event is too large')
      }
    }
  }
}
