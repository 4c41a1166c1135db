import type { AuditRecord } from '../audit/record.ts'
import type { Revocation } from '../revocation/target.ts'

/**
 * The audit's line about a revocation, the same whichever way it was asked for.
 *
 * @param door which way that was: `cli`, `revocation`
 */
export function revocationRecord(revocation: Revocation, door: string): AuditRecord {
  const { target } = revocation
  return {
    time: new Date(revocation.at * 1000).toISOString(),
    door,
    outcome: 'event',
    reason: 'revoked',
    evidence: { ...revocation, target: { ...target } },
    ...(target.kind === 'jti' ? { jti: target.value } : {}),
    ...(target.kind === 'session' ? { session: target.value } : {}),
    ...(target.kind === 'agent' ? { workload: target.value } : {}),
    ...(target.kind === 'principal' ? { principal: target.value } : {}),
  }
}
