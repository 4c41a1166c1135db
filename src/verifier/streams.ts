/**
 * Watches the streams that are open and says when each has to end.
 *
 * A stream is admitted once and then lives on, so that admission has to be asked again: at every
 * tick each open stream must still be allowed. One timer serves all of them.
 */
export class OpenStreams {
  readonly #open = new Map<AbortController, (nowSeconds: number) => boolean>()
  readonly #clock: () => number
  readonly #everyMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(clock: () => number, everyMs: number) {
    this.#clock = clock
    this.#everyMs = everyMs
  }

  /** @param stillAllowed must answer without waiting; a throw counts as no */
  watch(stillAllowed: (nowSeconds: number) => boolean): {
    readonly closing: AbortSignal
    readonly ended: () => void
  } {
    const controller = new AbortController()
    this.#open.set(controller, stillAllowed)
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#tick(), this.#everyMs)
      this.#timer.unref()
    }
    return { closing: controller.signal, ended: () => this.#forget(controller) }
  }

  get size(): number {
    return this.#open.size
  }

  /** Ends every stream. */
  close(): void {
    for (const controller of [...this.#open.keys()]) this.#end(controller)
  }

  #tick(): void {
    const now = this.#clock()
    for (const [controller, stillAllowed] of [...this.#open]) {
      if (!asks(stillAllowed, now)) this.#end(controller)
    }
  }

  #end(controller: AbortController): void {
    this.#forget(controller)
    controller.abort()
  }

  #forget(controller: AbortController): void {
    this.#open.delete(controller)
    if (this.#open.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

function asks(stillAllowed: (nowSeconds: number) => boolean, now: number): boolean {
  try {
    return stillAllowed(now)
  } catch {
    return false
  }
}
