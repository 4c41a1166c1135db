/** One run of a compiled schema over one value: what it has cost, where it is, what it has seen. */

import type { Json } from '../../lib/json.ts'
import type { Resource } from './resources.ts'

/**
 * How much work one validation may be, in steps: one per schema applied and per member looked at, more
 * for long texts and patterns. Counted and not timed, so that the same arguments get the same answer on
 * a busy machine. Two million take about `LIMIT_MS` on one core; the worst pattern can make it five times that.
 */
export const MAX_STEPS = 2_000_000
export const LIMIT_MS = 100
/** How many schemas may be applied inside one another; a schema that refers to itself can go on for ever. */
const MAX_NESTING = 400

/** The first thing that is wrong. Names members and schema values, never a value of the arguments. */
export interface Failure {
  /** JSON Pointer (RFC 6901) into the value. */
  readonly path: string
  readonly detail: string
}

/** The value needs more work than `MAX_STEPS`. */
export class TooCostly extends Error {
  constructor() {
    super('validation exceeds its bound')
    this.name = 'TooCostly'
  }
}

/** What the keywords beside and beneath have evaluated of one value (JSON Schema Core §7.7.1). */
export class Seen {
  allNames = false
  readonly names = new Set<string>()
  allItems = false
  firstItems = 0
  readonly items = new Set<number>()

  add(other: Seen): void {
    this.allNames ||= other.allNames
    for (const name of other.names) this.names.add(name)
    this.allItems ||= other.allItems
    this.firstItems = Math.max(this.firstItems, other.firstItems)
    for (const item of other.items) this.items.add(item)
  }
}

/** Whether `value` is valid. Adds to `seen`, which means nothing when the answer is no. */
export type Check = (value: Json, run: Run, seen: Seen | undefined) => boolean

export class Run {
  /** The schema resources entered so far, outermost first (for `$dynamicRef`). */
  readonly scope: Resource[] = []
  readonly #path: (string | number)[] = []
  #failed: { path: (string | number)[]; detail: string } | undefined
  #steps = 0
  #nesting = 0

  /** @throws {TooCostly} when the bound is reached */
  step(cost = 1): void {
    this.#steps += cost
    if (this.#steps > MAX_STEPS) throw new TooCostly()
  }

  enter(): void {
    this.step()
    if (++this.#nesting > MAX_NESTING) throw new TooCostly()
  }

  leave(): void {
    this.#nesting--
  }

  /** Applies `check` to a member or an item. */
  descend(key: string | number, value: Json, check: Check): boolean {
    this.#path.push(key)
    const ok = check(value, this, undefined)
    this.#path.pop()
    return ok
  }

  /** Notes what is wrong here; a later note replaces an earlier one, which an alternative had left. */
  fail(detail: string): false {
    this.step(1 + this.#path.length)
    this.#failed = { path: this.#path.slice(), detail }
    return false
  }

  get failure(): Failure {
    const { path, detail } = this.#failed ?? { path: [], detail: 'is not valid' }
    const escaped = path.map((key) => String(key).replaceAll('~', '~0').replaceAll('/', '~1'))
    return { path: escaped.map((key) => `/${key}`).join(''), detail }
  }
}
