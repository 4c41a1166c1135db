import { type AuditRecord, cut, told } from '../audit/record.ts'
import type { Reason } from '../refusal.ts'
import { actors, type Examination } from './check.ts'

/** The audit record of one request: what was established about it and nothing that was not. */
export function recordOf(
  exam: Examination,
  resource: string,
  reason: Reason | { readonly code: string } | undefined,
): AuditRecord {
  const { demand, token, holder, granted } = exam
  const claims = token?.claims
  return {
    time: new Date(exam.now * 1000).toISOString(),
    door: 'verifier',
    outcome: reason === undefined ? 'allowed' : 'refused',
    ...(reason === undefined ? {} : told(reason)),
    ...defined({
      workload: claims?.client_id,
      principal: claims?.sub,
      actors: claims?.act === undefined ? undefined : actors(claims.act),
      session: claims?.sid,
      task: claims?.txn,
      server: resource,
      method: demand?.method,
      name: demand?.token === 'action' ? cut(demand.identifier) : undefined,
      argumentsHash: granted?.arguments_hash,
      definitionHash: granted?.definition_hash,
      inputHash: granted?.input_hash,
      jti: claims?.jti,
      key: holder === undefined ? undefined : 'jkt' in holder ? holder.jkt : holder.certificate,
      address: exam.request.address,
    }),
  }
}

function defined<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Partial<T>
}
