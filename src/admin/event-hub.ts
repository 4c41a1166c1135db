/**
 * `GET /v1/events`: what changes, as server-sent events. However many listen, the stores are looked
 * at once a second; while nobody listens, not at all.
 */
import { randomBytes } from 'node:crypto'
import type { Context } from 'koa'
import type { Admin } from '../sign-in/admin.ts'
import { refuseAdmin } from '../sign-in/admin-refusal.ts'
import { Changes } from './event-changes.ts'
import { EventStream, MAX_BACKLOG_BYTES } from './event-stream.ts'
import type { AdminParts } from './parts.ts'
import type { AdminEvent } from './schemas/events.ts'

const LOOK_EVERY_MS = 1000
/** Kept for those that come back; the stores are looked at for this long after the last has left. */
const KEPT_EVENTS = 2000
const KEPT_MS = 30_000
/** None of which takes more than three bytes. */
const MOST_MISSED_CHARACTERS = MAX_BACKLOG_BYTES / 4
const MOST_STREAMS = 64
const MOST_STREAMS_OF_ONE = 8

interface Numbered {
  readonly number: number
  readonly text: string
}

export interface EventHub {
  /** Answers with a stream. @throws {AdminRefusal} too_many_requests, request_invalid */
  serve(ctx: Context, admin: Admin, stands: () => Promise<boolean>): void
  close(): void
}

export function createEventHub(parts: AdminParts, clock: () => number): EventHub {
  const streams = new Set<EventStream>()
  let kept: Numbered[] = []
  let number = 0
  /** Names one run of looking: what was missed before or after it, nobody knows. */
  let run = ''
  let changes = new Changes(parts)
  let timer: NodeJS.Timeout | undefined
  let emptySinceMs = 0
  let closed = false

  function start(): void {
    if (timer !== undefined) return
    run = randomBytes(6).toString('base64url')
    changes = new Changes(parts)
    kept = []
    timer = setTimeout(look, 0)
  }

  function stop(): void {
    clearTimeout(timer)
    timer = undefined
  }

  async function look(): Promise<void> {
    try {
      const { begun } = changes
      for (const event of await changes.look(clock())) tell(event)
      if (!begun) begin()
    } catch (error) {
      // The next look finds what this one did not.
      parts.log?.error({ err: error }, 'the stores could not be asked for events')
    }
    if (closed || timer === undefined) return
    if (streams.size === 0 && performance.now() - emptySinceMs > KEPT_MS) return stop()
    timer = setTimeout(look, LOOK_EVERY_MS).unref()
  }

  /** What changed after a stream was opened and before this run had looked is no event of any look. */
  function begin(): void {
    for (const stream of streams) stream.send(reset('the broker had not looked yet'))
  }

  function reset(why: string): string {
    return `event: reset\nid: ${run}.${number}\ndata: ${JSON.stringify({ why })}\n\n`
  }

  function tell({ kind, data }: AdminEvent): void {
    number += 1
    const text = `event: ${kind}\nid: ${run}.${number}\ndata: ${JSON.stringify(data)}\n\n`
    kept.push({ number, text })
    if (kept.length > KEPT_EVENTS) kept.shift()
    for (const stream of streams) stream.send(text)
  }

  /**
   * What came after the event with this id; a reset when that is not known any more, and when it is so
   * much that whoever is told of it at once would be cut off, come back, and be told of it again.
   */
  function missed(lastId: string): string[] {
    const [of, text, ...others] = lastId.split('.')
    const last = /^\d{1,15}$/.test(text ?? '') ? Number(text) : Number.NaN
    const oldest = kept[0]?.number ?? number + 1
    const known = of === run && others.length === 0 && last >= oldest - 1 && last <= number
    const texts = known ? kept.filter((each) => each.number > last).map((each) => each.text) : []
    const characters = texts.reduce((sum, each) => sum + each.length, 0)
    if (known && characters <= MOST_MISSED_CHARACTERS) return texts
    return [reset('events were missed')]
  }

  return {
    serve(ctx, admin, stands) {
      const ofOne = [...streams].filter(({ owner }) => owner === admin.id).length
      if (closed || streams.size >= MOST_STREAMS || ofOne >= MOST_STREAMS_OF_ONE) {
        refuseAdmin({ code: 'too_many_requests', retryAfterSeconds: 5 })
      }
      const lastId = ctx.get('last-event-id')
      start()
      const stream = new EventStream(ctx, admin.id, stands)
      if (stream.ended) return
      stream.send(`: ${run}\n\n`)
      if (lastId !== '') for (const text of missed(lastId)) stream.send(text)
      streams.add(stream)
      stream.onEnd(() => {
        streams.delete(stream)
        if (streams.size === 0) emptySinceMs = performance.now()
      })
    },
    close() {
      closed = true
      stop()
      for (const stream of streams) stream.end()
    },
  }
}
