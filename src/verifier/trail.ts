import type { AuditRecord } from '../audit/record.ts'
import type { Reason } from '../refusal.ts'
import { actors, type Examination } from './check.ts'

/** Longest text of a caller's choosing that goes into a record. */
const MAX_TEXT = 512

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
    ...(reason === undefined ? {} : evidenceOf(reason)),
    ...defined({
      workload: claims?.client_id,
      principal: claims?.sub,
      actors: claims?.act === undefined ? undefined : actors(claims.act),
      session: claims?.sid,
      task: claims?.txn,
      server: resource,
      method: cut(demand?.method),
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

function evidenceOf(reason: Reason | { readonly code: string }) {
  const { code, ...evidence } = reason
  const short = Object.entries(evidence).map(([name, value]) => [
    name,
    typeof value === 'string' ? cut(value) : value,
  ])
  return { reason: code, evidence: Object.fromEntries(short) as Record<string, unknown> }
}

function cut(text: string | undefined): string | undefined {
  return text !== undefined && text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

function defined<T extends object>(members: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(members).filter(([, value]) => value !== undefined),
  ) as Partial<T>
}
