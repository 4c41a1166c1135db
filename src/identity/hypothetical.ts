import type { JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import { parseSpiffeId } from './spiffe-id.ts'
import { proven, type Workload } from './workload.ts'

/** `oidc:<alias of the issuer>:<sub>`, as the issuers of tokens write it. */
const OIDC_ID = /^oidc:([A-Za-z0-9._-]{1,64}):[^\p{C}]{1,1024}$/u

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
    const issuer = OIDC_ID.exec(id)?.[1]
    if (issuer === undefined) return refuse({ code: 'identity_invalid', check: 'subject' })
    return proven({ ...unproven, id, kind: 'oidc', issuer })
  }
  const { trustDomain, text } = parseSpiffeId(id)
  return proven({ ...unproven, id: text, kind: 'spiffe', issuer: trustDomain })
}
