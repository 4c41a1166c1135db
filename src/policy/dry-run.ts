/** Whether policy texts would load, against a catalogue. Nothing serves because of it. */
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { PolicyFile } from './check.ts'
import { checkInWorker } from './checker.ts'
import { Decider } from './decider.ts'
import type { ServedPolicies } from './engine.ts'
import { vocabularyOf } from './vocabulary.ts'

export type CheckedFiles =
  | (ServedPolicies & {
      readonly ok: true
      /** Makes what decides with them. */
      readonly decider: () => Decider
    })
  | { readonly ok: false; readonly problems: readonly string[] }

/**
 * Checks the files as a broker does before they serve: in a thread of its own, which they may kill.
 *
 * @throws {Error} when the catalogue itself cannot be put into words for policies
 */
export async function checkFiles(
  files: readonly PolicyFile[],
  catalogue: Catalogue,
): Promise<CheckedFiles> {
  const vocabulary = vocabularyOf(catalogue)
  const { schema, servers } = vocabulary
  const answer = await checkInWorker({ files, schema, servers })
  if (!answer.ok) return answer
  const { policies } = answer
  return { ok: true, files, policies, decider: () => new Decider(catalogue, vocabulary, policies) }
}
