/**
 * Challenges of passkey ceremonies: each for one purpose and one thing, good once and for a short time.
 */
import type { Documents } from '../ledger/documents.ts'
import { keptId, newSecret } from './secret.ts'

export type Purpose = 'sign_in' | 'enrol' | 'touch'

const LIFETIME_SECONDS: Readonly<Record<Purpose, number>> = { sign_in: 300, enrol: 300, touch: 120 }
const KIND = 'challenge'

export interface Challenges {
  /** @param binding what it is for: an interaction, a link, a person and an action */
  create(purpose: Purpose, binding: string, challenge?: string): Promise<string>
  /** Takes it, so that of any number of answers to it one counts, and says whether it was for this. */
  take(challenge: string, purpose: Purpose, binding: string): Promise<boolean>
}

export function createChallenges(documents: Documents, clock: () => number): Challenges {
  return {
    async create(purpose, binding, challenge = newSecret()) {
      const expiresAt = clock() + LIFETIME_SECONDS[purpose]
      await documents.put(KIND, keptId(KIND, challenge), { purpose, binding }, { expiresAt })
      return challenge
    },
    async take(challenge, purpose, binding) {
      const taken = await documents.take(KIND, keptId(KIND, challenge))
      return taken?.value.purpose === purpose && taken.value.binding === binding
    },
  }
}
