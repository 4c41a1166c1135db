import { parseSpiffeId } from './spiffe-id.ts'
import { proven, type Workload } from './workload.ts'

/**
 * A workload that nobody has proven, to ask policies about: “might this agent do that?”. It serves
 * `writ policy explain` and nothing else (a test holds that); no token can come of the answer.
 *
 * @throws {Refusal} `identity_invalid`, check `spiffe_id`
 */
export function hypotheticalWorkload(id: string): Workload {
  const { trustDomain, text } = parseSpiffeId(id)
  return proven({
    id: text,
    kind: 'spiffe',
    issuer: trustDomain,
    expiresAt: 0,
    credential: '',
    attributes: {},
  })
}
