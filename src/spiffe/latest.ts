import { SpiffeError } from './error.ts'

interface Listener<Value> {
  readonly onValue: (value: Value | undefined) => void
  readonly onProblem: (problem: SpiffeError) => void
}

/**
 * The latest state of something that changes: whoever asks gets the one that is there, or waits for
 * the first for a bounded time; whoever listens is told of each.
 */
export class Latest<Value> {
  readonly #listeners = new Set<Listener<Value>>()
  readonly #waiting = new Set<() => void>()
  readonly #waitMs: number
  #value: Value | undefined
  #told = false
  #problem: SpiffeError | undefined
  #fatal = false

  /** @param waitMs how long `get` waits for a value */
  constructor(waitMs: number) {
    this.#waitMs = waitMs
  }

  /** Undefined: what was there must not be used any more. */
  set(value: Value | undefined): void {
    this.#value = value
    this.#told = true
    if (value !== undefined) this.#problem = undefined
    for (const { onValue } of [...this.#listeners]) onValue(value)
    this.#wake()
  }

  /** Why there may be no value; whoever waits in vain is told the last of these. */
  explain(problem: SpiffeError): void {
    this.#problem = problem
    for (const { onProblem } of [...this.#listeners]) onProblem(problem)
  }

  /** There will never be another value. Listeners keep the last one. */
  fail(error: SpiffeError): void {
    if (this.#fatal) return
    this.#fatal = true
    this.#value = undefined
    this.explain(error)
    this.#wake()
  }

  /** @throws {SpiffeError} the last problem, when no value has come in time */
  async get(): Promise<Value> {
    const until = performance.now() + this.#waitMs
    for (;;) {
      if (this.#value !== undefined) return this.#value
      const leftMs = until - performance.now()
      if (this.#fatal || leftMs <= 0) throw this.#problem ?? silence()
      await this.#change(leftMs)
    }
  }

  /** Told at once of what is there, and then of every change. */
  listen(
    onValue: (value: Value | undefined) => void,
    onProblem: (problem: SpiffeError) => void = () => {},
  ): () => void {
    const listener = { onValue, onProblem }
    this.#listeners.add(listener)
    if (this.#told && !this.#fatal) onValue(this.#value)
    if (this.#problem !== undefined) onProblem(this.#problem)
    return () => this.#listeners.delete(listener)
  }

  async #change(mostMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(resolve)
    const timer = setTimeout(resolve, mostMs)
    await promise
    clearTimeout(timer)
    this.#waiting.delete(resolve)
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}

function silence(): SpiffeError {
  return new SpiffeError('api_unavailable', 'the Workload API has not answered in time')
}
