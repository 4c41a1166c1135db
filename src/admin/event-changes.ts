/** What has changed in the stores since they were last looked at. */
import { BoundedMap } from '../lib/bounded-map.ts'
import { NOBODY } from './names.ts'
import type { AdminParts } from './parts.ts'
import { holderOf, revocationOf } from './revocation-view.ts'
import { healthOf } from './routes-system.ts'
import type { AdminEvent } from './schemas/events.ts'
import { Stops, sessionOf } from './session-view.ts'

const MOST_SESSIONS = 1000
const MOST_REVOCATIONS = 100
const REMEMBERED = 20_000
/** A report that comes this late is still seen; how far back sessions are looked at each time. */
const LOOK_BACK_SECONDS = 30
/** How exactly followers are told when a holder was last heard. */
const HEARD_STEP_SECONDS = 10

/**
 * Looks at everything that there is events about. The first look is what there is, and not news; so
 * it finds nothing.
 */
export class Changes {
  readonly #parts: AdminParts
  readonly #known = new BoundedMap<string, string>(REMEMBERED)
  #begun = false

  constructor(parts: AdminParts) {
    this.#parts = parts
  }

  /** Whether it is known what there was to begin with. */
  get begun(): boolean {
    return this.#begun
  }

  async look(now: number): Promise<AdminEvent[]> {
    const begun = this.#begun
    const [sessions, others] = await Promise.all([this.#sessions(now), this.#others(now)])
    const found = [...sessions, ...others].filter((event) => this.#isNew(event))
    this.#begun = true
    return begun ? found : []
  }

  #isNew(event: AdminEvent): boolean {
    if (event.kind === 'reset') return true
    const key = `${event.kind} ${'id' in event.data ? event.data.id : ''}`
    const print = printOf(event)
    if (this.#known.get(key) === print) return false
    this.#known.set(key, print)
    return true
  }

  async #sessions(now: number): Promise<AdminEvent[]> {
    const { sessions, revocations } = this.#parts
    const seen = await sessions.list({ limit: MOST_SESSIONS, since: now - LOOK_BACK_SECONDS })
    const stops = new Stops(revocations.list(), now)
    const events: AdminEvent[] = seen
      .map((kept) => ({ kind: 'session' as const, data: sessionOf(kept, stops, now) }))
      .reverse()
    if (seen.length < MOST_SESSIONS) return events
    return [...events, { kind: 'reset', data: { why: 'more sessions changed than are told' } }]
  }

  async #others(now: number): Promise<AdminEvent[]> {
    const [{ items }, holders, health] = await Promise.all([
      this.#parts.history.list({ limit: MOST_REVOCATIONS }),
      this.#parts.holders.list(),
      healthOf(this.#parts, now),
    ])
    // Everybody who follows is told the same.
    const around = { holders, names: NOBODY, now }
    return [
      ...items
        .map((each) => ({ kind: 'revocation' as const, data: revocationOf(each, around) }))
        .reverse(),
      ...holders.map((each) => ({ kind: 'holder' as const, data: holderOf(each) })),
      { kind: 'health', data: health },
    ]
  }
}

/** What makes it another one: not the times that change by themselves. */
function printOf(event: AdminEvent): string {
  if (event.kind === 'holder') {
    const lastHeardAt = Math.floor(event.data.lastHeardAt / HEARD_STEP_SECONDS)
    return JSON.stringify({ ...event.data, lastHeardAt })
  }
  if (event.kind === 'health') return JSON.stringify({ ...event.data, now: 0 })
  return JSON.stringify(event.data)
}
