/** Which keys a request has proved to hold. A token names exactly one of them. */
import { refuse } from '../refusal.ts'
import { certificateThumbprint, type PresentedCertificate } from '../token/certificate.ts'
import type { Binding } from '../token/claims.ts'
import type { VerifiedProof } from '../token/dpop.ts'
import { keyName } from '../token/key-name.ts'

export interface KeyCandidate {
  /** As policies name it. */
  readonly kind: 'dpop' | 'mtls'
  readonly binding: Binding
}

/** The preferred one first; never none. */
export type Candidates = readonly [KeyCandidate, ...KeyCandidate[]]

/**
 * The keys of a request, the preferred one first: who sends a DPoP proof wants that key.
 *
 * @throws {Refusal} binding_missing
 */
export function keysOf(
  proof: VerifiedProof | undefined,
  certificate: PresentedCertificate | undefined,
): Candidates {
  const keys: KeyCandidate[] = []
  if (proof !== undefined) keys.push({ kind: 'dpop', binding: { jkt: proof.jkt } })
  if (certificate !== undefined) {
    const [leaf] = certificate.chain
    if (leaf === undefined) refuse({ code: 'identity_invalid', check: 'certificate' })
    keys.push({ kind: 'mtls', binding: { 'x5t#S256': certificateThumbprint(leaf) } })
  }
  const [first, ...others] = keys
  if (first === undefined) refuse({ code: 'binding_missing' })
  return [first, ...others]
}

/**
 * Of these keys the ones that a token presented by the caller is bound to itself.
 *
 * @throws {Refusal} delegation_refused, check `key`, when it is bound to another
 */
export function keysNamedBy(cnf: Binding | undefined, keys: Candidates): Candidates {
  if (cnf === undefined) return keys
  const [key] = keys.filter(({ binding }) => keyName(binding) === keyName(cnf))
  if (key === undefined) refuse({ code: 'delegation_refused', check: 'key' })
  return [key]
}
