import type { JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { parseSpiffeId } from './spiffe-id.ts'
import { proven, type Workload } from './workload.ts'
import { oidcAliasOf } from './workload-id.ts'

/**
 * A workload that nobody has proven, to ask policies about: “might this agent do that?”. It serves
 * the explaining of policies and nothing else (a test holds that); no token can come of the answer.
 *
 * @param attributes what its issuer is supposed to say of it
 * @throws {Refusal} `identity_invalid`, check `spiffe_id` or `subject`
 */
export function hypotheticalWorkload(id: string, attributes: JsonObject = {}): Workload {
  const unproven = { expiresAt: 0, credential: '', attributes }
  if (id.startsWith('oidc:')) {
    const issuer = oidcAliasOf(id)
    if (issuer === undefined) return refuse({ code: 'identity_invalid', check: 'subject' })
    return proven({ ...unproven, id, kind: 'oidc', issuer })
  }
  const { trustDomain, text } = parseSpiffeId(id)
  return proven({ ...unproven, id: text, kind: 'spiffe', issuer: trustDomain })
}
