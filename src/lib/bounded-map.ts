/**
 * A cache that cannot grow: a map that forgets the entry used longest ago when it is full. (Uses
 * count from when it is half full.)
 *
 * Keys often come from strangers (key ids, proof headers), so an unbounded map is a memory leak
 * that anyone can cause.
 */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, V>()
  readonly #maxEntries: number

  /** @throws {TypeError} when `maxEntries` is not a positive integer */
  constructor(maxEntries: number) {
    if (!Number.isSafeInteger(maxEntries) || maxEntries < 1) {
      throw new TypeError('maxEntries must be a positive integer')
    }
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  /** Counts as a use. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key)
    if (value === undefined && !this.#entries.has(key)) return undefined
    // A Map iterates in the order of insertion, so the first key is the one used longest ago. While
    // nothing has to be forgotten for long, the order is left alone: this is on every hot path.
    if (this.#entries.size * 2 >= this.#maxEntries) {
      this.#entries.delete(key)
      this.#entries.set(key, value as V)
    }
    return value
  }

  /** Does not count as a use. */
  has(key: K): boolean {
    return this.#entries.has(key)
  }

  /** Does not count as a use. */
  entries(): MapIterator<[K, V]> {
    return this.#entries.entries()
  }

  set(key: K, value: V): this {
    if (!this.#entries.delete(key) && this.#entries.size >= this.#maxEntries) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
    this.#entries.set(key, value)
    return this
  }

  delete(key: K): boolean {
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
  }
}
