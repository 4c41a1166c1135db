/** What people are called, beside the ids by which the record has them. */
import type { RecordedRevocation } from '../revocation/recorded.ts'
import type { AdminParts } from './parts.ts'

/** By `person:<id>`, as `by` of a revocation has it. */
export type Names = ReadonlyMap<string, string>

const PERSON = 'person:'
const NOBODY: Names = new Map()

/** The people who made these, or undid them; who was removed has no name. Nobody is looked up for nothing. */
export async function whoMade(
  { signIn }: Pick<AdminParts, 'signIn'>,
  revocations: readonly RecordedRevocation[],
): Promise<Names> {
  const byPerson = revocations.some(({ by, undone }) =>
    [by, undone?.by].some((each) => each?.startsWith(PERSON)),
  )
  if (!byPerson) return NOBODY
  const people = await signIn.people.list()
  return new Map(people.map(({ id, name }) => [PERSON + id, name]))
}
