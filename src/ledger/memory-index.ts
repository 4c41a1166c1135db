/** Names in the order of lists: by descending `order`, and then by descending id. */
export interface Placed {
  readonly order: number
  readonly id: string
}

export class MemoryIndex {
  readonly #names: Placed[] = []

  get size(): number {
    return this.#names.length
  }

  add(name: Placed): void {
    this.#names.splice(this.#find(name), 0, { order: name.order, id: name.id })
  }

  remove(name: Placed): void {
    const at = this.#find(name)
    const there = this.#names[at]
    if (there?.id === name.id && there.order === name.order) this.#names.splice(at, 1)
  }

  /** Those behind `after`, or from the first. */
  *from(after: Placed | undefined): Generator<Placed> {
    let at = after === undefined ? 0 : this.#find(after)
    const first = this.#names[at]
    if (first !== undefined && after !== undefined && !isBefore(after, first)) at++
    for (; at < this.#names.length; at++) yield this.#names[at] as Placed
  }

  /** Where it is, or would be. */
  #find(name: Placed): number {
    let low = 0
    let high = this.#names.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(this.#names[middle] as Placed, name)) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Whether `a` comes before `b` in lists. */
function isBefore(a: Placed, b: Placed): boolean {
  return a.order > b.order || (a.order === b.order && a.id > b.id)
}
