/** How long nothing is looked for after nothing more was found, seconds. */
const REST_SECONDS = 1

/**
 * Drops what is over, a part in each commit, so that no commit takes long. Once nothing is left it
 * rests, because looking in vain costs every commit as much as a spend does.
 *
 * @param drop drops at most `atMost` of what is over at `now` (seconds), and says how many those were
 */
export function purger(
  drop: (now: number, atMost: number) => number,
  atMost: number,
): (now: number) => void {
  let restsUntil = 0
  return (now) => {
    if (now < restsUntil && restsUntil - now <= REST_SECONDS) return
    restsUntil = drop(now, atMost) < atMost ? now + REST_SECONDS : 0
  }
}
