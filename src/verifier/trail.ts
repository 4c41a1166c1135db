import { type AuditRecord, cut, told } from '../audit/record.ts'
import type { Reason } from '../refusal.ts'
import type { Examination } from './check.ts'
import { actors } from './subject.ts'

/** The audit record of one request: what was established about it and nothing that was not. */
export function recordOf(
  exam: Examination,
  resource: string,
  reason: Reason | { readonly code: string } | undefined,
): AuditRecord {
  const { demand, token, holder, granted } = exam
  const claims = token?.claims
  const why = reason === undefined ? undefined : told(reason)
  return defined<AuditRecord>({
    time: new Date(exam.now * 1000).toISOString(),
    door: 'verifier',
    outcome: why === undefined ? 'allowed' : 'refused',
    reason: why?.reason,
    evidence: why?.evidence,
    workload: claims?.client_id,
    principal: claims?.sub,
    actors: claims?.act === undefined ? undefined : actors(claims.act),
    links: claims?.via,
    session: claims?.sid,
    task: claims?.txn,
    server: resource,
    method: demand?.method,
    name: demand?.token === 'action' ? cut(demand.identifier) : undefined,
    argumentsHash: granted?.arguments_hash,
    definitionHash: granted?.definition_hash,
    inputHash: granted?.input_hash,
    jti: claims?.jti,
    key: holder && ('jkt' in holder ? holder.jkt : `x5t#S256:${holder.certificate}`),
    address: exam.request.address,
  })
}

/** Sinks are other people's code: a member that is not there is not `undefined` either. */
function defined<T extends object>(members: T): T {
  const kept: Partial<T> = {}
  for (const name in members) if (members[name] !== undefined) kept[name] = members[name]
  return kept as T
}
