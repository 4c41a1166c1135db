import type { AuditRecord } from '../audit/record.ts'
import type { Revocation, Target } from '../revocation/target.ts'

/**
 * The audit's line about a revocation, the same whichever way it was asked for.
 *
 * @param door which way that was: `cli`, `revocation`, `admin`
 */
export function revocationRecord(revocation: Revocation, door: string): AuditRecord {
  const { target } = revocation
  return {
    time: new Date(revocation.at * 1000).toISOString(),
    door,
    outcome: 'event',
    reason: 'revoked',
    evidence: { ...revocation, target: { ...target } },
    by: revocation.by,
    ...namesOf(target),
  }
}

/** The members of a record by which a search for what was stopped finds it. */
function namesOf({ kind, value, principal }: Target): Partial<AuditRecord> {
  switch (kind) {
    case 'agent':
      return principal === undefined ? { workload: value } : { workload: value, principal }
    case 'jti':
    case 'session':
    case 'principal':
    case 'task':
    case 'key':
    case 'server':
      return { [kind]: value }
    case 'issuer':
    case 'before':
      return {}
  }
}
