/** Ids by as much of their beginning as says which is meant, as lists show them. */

import { searchedPageOf } from '../admin/schemas/values.ts'
import { pageOf, revocation, session } from '../admin/schemas.ts'
import { isSessionId } from '../admin/session-id.ts'
import type { Target } from '../revocation/target.ts'
import type { AdminClient } from './admin-client.ts'
import { CliError } from './answer.ts'
import { MOST, readPages } from './pages.ts'
import { printable } from './text.ts'

const PART_OF_ID = /^[A-Za-z0-9_-]+$/
const SESSION_LENGTH = 43
const REVOCATION_LENGTH = 22
/** Fewer characters are of too many. */
const SHORTEST = 4
/** For a stop: rows move while pages are read, so that the second of two may not be seen. */
const SHORTEST_STOPPED = 8

/**
 * The session whose id begins like this; what is of none is given back as it is.
 *
 * @throws {CliError} refused, when several begin like this
 */
export async function sessionOf(admin: AdminClient, named: string): Promise<string> {
  return (await beginningSession(admin, named)) ?? named
}

async function beginningSession(admin: AdminClient, named: string): Promise<string | undefined> {
  if (!mayBegin(named, SESSION_LENGTH)) return undefined
  const containing = { query: { text: named }, limit: MOST }
  const found = await readPages(admin, '/v1/sessions', searchedPageOf(session), containing)
  return onlyOne(found, named, 'sessions')
}

/**
 * The revocation whose id begins like this; what is of none is given back as it is.
 *
 * @throws {CliError} refused, when several begin like this
 */
export async function revocationOf(admin: AdminClient, named: string): Promise<string> {
  if (!mayBegin(named, REVOCATION_LENGTH)) return named
  const whole = { query: {}, limit: MOST }
  const found = await readPages(admin, '/v1/revocations', pageOf(revocation), whole)
  return onlyOne(found, named, 'revocations') ?? named
}

function mayBegin(named: string, length: number, shortest = SHORTEST): boolean {
  return PART_OF_ID.test(named) && named.length >= shortest && named.length < length
}

/** @throws {CliError} refused, when there is another, or may be one where nobody looked */
function onlyOne(
  { items, next }: { items: readonly { id: string }[]; next: string | null },
  named: string,
  what: string,
): string | undefined {
  const found = items.filter(({ id }) => id.startsWith(named))
  if (found.length <= 1 && next === null) return found[0]?.id
  const shown = `"${printable(named)}"`
  const message =
    found.length > 1
      ? `${found.length} ${what} begin with ${shown}`
      : `there are too many ${what} to say which begins with ${shown}`
  throw new CliError('refused', message, {
    hint: `give more of the id; writ ${what} list --json has it whole`,
  })
}

/**
 * Targets as a broker takes them: sessions by their whole id. A part of one would be accepted as an id
 * that nobody has, and stop nothing.
 *
 * @param admin undefined where nobody can be asked
 * @throws {CliError} usage: it cannot be the beginning of an id; refused: it is of none, or of several
 */
export async function wholeTargets(
  admin: AdminClient | undefined,
  targets: readonly Target[],
): Promise<Target[]> {
  const whole: Target[] = []
  for (const target of targets) {
    const { kind, value } = target
    whole.push(kind === 'session' ? { kind, value: await wholeSession(admin, value) } : target)
  }
  return whole
}

async function wholeSession(admin: AdminClient | undefined, named: string): Promise<string> {
  if (isSessionId(named)) return named
  const shown = `"${printable(named)}"`
  if (!mayBegin(named, SESSION_LENGTH, SHORTEST_STOPPED)) {
    throw new CliError('usage', `${shown} is no session's id`, {
      hint: `it has ${SESSION_LENGTH} characters, of which ${SHORTEST_STOPPED} or more from the beginning do`,
    })
  }
  if (admin === undefined) {
    throw new CliError('usage', `${shown} is only the beginning of a session's id`, {
      hint: 'no broker runs here to ask whose it is: give the whole id',
    })
  }
  const found = await beginningSession(admin, named)
  if (found !== undefined) return found
  throw new CliError('refused', `no session begins with ${shown}`, {
    hint: 'writ sessions list shows who is there; a whole id is stopped whether it is there or not',
  })
}
