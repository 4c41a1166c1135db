import type { DatabaseSync } from 'node:sqlite'

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

/** So that nothing stays for ever where little is added. */
const LEAST_SWEPT = 32

/**
 * Drops the marks that are over, in the order of their ids: of each commit's neighbours so many that
 * no more are kept than twice those that are not over. An index by time would find them at once, but
 * their ids are random: every mark would change three more pages of the file than its own.
 *
 * @returns to be called in each commit, with the time (seconds) and how many marks it may add
 */
export function sweeper(database: DatabaseSync): (now: number, added: number) => void {
  const last = database.prepare('SELECT id FROM mark WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?')
  const drop = database.prepare('DELETE FROM mark WHERE id > ? AND id <= ? AND until <= ?')
  const dropRest = database.prepare('DELETE FROM mark WHERE id > ? AND until <= ?')
  let from = ''
  return (now, added) => {
    const until = Math.floor(now)
    const end = last.get(from, LEAST_SWEPT + 2 * added)?.id
    if (typeof end === 'string') drop.run(from, end, until)
    else dropRest.run(from, until)
    from = typeof end === 'string' ? end : ''
  }
}
