export interface Backoff {
  /** The wait before the next attempt, in milliseconds; longer each time, with chance in it. */
  next(): number
  /** An attempt was good: begin anew. */
  reset(): void
}

/** Doubles up to a bound. Chance keeps all workloads of a machine from asking at one moment. */
export function createBackoff(firstMs: number, maxMs: number): Backoff {
  let waitMs = firstMs
  return {
    next() {
      const ms = waitMs * (0.5 + Math.random() / 2)
      waitMs = Math.min(waitMs * 2, maxMs)
      return ms
    },
    reset() {
      waitMs = firstMs
    },
  }
}
