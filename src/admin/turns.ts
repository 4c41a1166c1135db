import { refuseAdmin } from '../sign-in/admin-refusal.ts'

/** One after the other, and no long queue. */
export interface Turns {
  /** @throws {AdminRefusal} too_many_requests when too many wait already */
  take<T>(run: () => Promise<T>): Promise<T>
}

/** @param mostWaiting how many may wait besides the one whose turn it is */
export function createTurns(mostWaiting: number): Turns {
  let last: Promise<unknown> = Promise.resolve()
  let there = 0
  return {
    async take(run) {
      if (there > mostWaiting) refuseAdmin({ code: 'too_many_requests', retryAfterSeconds: 2 })
      there += 1
      const before = last
      const mine = before.then(run, run)
      last = mine
      try {
        return await mine
      } finally {
        there -= 1
      }
    },
  }
}
