/** What people are called, beside the ids by which the record has them. Only admins see who may sign in. */
import type { RecordedRevocation } from '../revocation/recorded.ts'
import type { Admin } from '../sign-in/admin.ts'
import type { AdminParts } from './parts.ts'

/** By `person:<id>`, as `by` of a revocation has it. */
export type Names = ReadonlyMap<string, string>

const PERSON = 'person:'
export const NOBODY: Names = new Map()

/**
 * The people who made these, or undid them; who was removed has no name. Nobody is looked up for nothing,
 * and what was done is told without names when they cannot be had.
 */
export async function whoMade(
  { signIn }: Pick<AdminParts, 'signIn'>,
  revocations: readonly RecordedRevocation[],
  { role }: Pick<Admin, 'role'>,
): Promise<Names> {
  const byPerson = revocations.some(({ by, undone }) =>
    [by, undone?.by].some((each) => each?.startsWith(PERSON)),
  )
  if (role !== 'admin' || !byPerson) return NOBODY
  const people = await signIn.people.list().catch(() => [])
  return new Map(people.map(({ id, name }) => [PERSON + id, name]))
}
