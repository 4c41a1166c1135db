/**
 * Many small writes, one commit.
 *
 * A durable write costs a disk flush whether it carries one item or a hundred. Items submitted in
 * the same turn of the event loop, or while a commit is running, go together into the next one. The
 * promise: `submit` resolves only after the commit that held its item has succeeded, items are
 * committed in the order they were submitted, and there is never more than one commit at a time.
 */
export interface GroupCommitOptions<T> {
  /** Makes the whole batch durable, or throws and makes none of it count. */
  readonly commit: (batch: readonly T[]) => Promise<void> | void
  /** Items per commit; 1,000 when not given. */
  readonly maxBatch?: number
}

interface Batch<T> {
  readonly items: T[]
  readonly done: PromiseWithResolvers<void>
}

export class GroupCommit<T> {
  readonly #commit: GroupCommitOptions<T>['commit']
  readonly #maxBatch: number
  readonly #waiting: Batch<T>[] = []
  #running = false
  #closed = false
  readonly #idle: (() => void)[] = []

  /** @throws {TypeError} when `maxBatch` is not a positive integer */
  constructor(options: GroupCommitOptions<T>) {
    this.#commit = options.commit
    this.#maxBatch = options.maxBatch ?? 1000
    if (!Number.isSafeInteger(this.#maxBatch) || this.#maxBatch < 1) {
      throw new TypeError('maxBatch must be a positive integer')
    }
  }

  /**
   * Resolves once the item is committed. Rejects with the commit's own error when the commit that
   * held it failed, and after `close`.
   */
  submit(item: T): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('closed: nothing more can be committed'))
    let batch = this.#waiting.at(-1)
    if (batch === undefined || batch.items.length >= this.#maxBatch) {
      batch = { items: [], done: Promise.withResolvers() }
      this.#waiting.push(batch)
    }
    batch.items.push(item)
    if (!this.#running) {
      this.#running = true
      // After the input that is already here has been read, so that it shares this commit.
      setImmediate(() => void this.#drain())
    }
    return batch.done.promise
  }

  /** Takes nothing more; resolves when everything submitted has been committed or has failed. */
  close(): Promise<void> {
    this.#closed = true
    if (!this.#running) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  async #drain(): Promise<void> {
    for (let batch = this.#waiting.shift(); batch; batch = this.#waiting.shift()) {
      try {
        await this.#commit(batch.items)
        batch.done.resolve()
      } catch (error) {
        batch.done.reject(error)
      }
    }
    this.#running = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}
