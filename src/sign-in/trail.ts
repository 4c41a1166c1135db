/** What happens to sign-ins, for the audit. Every call rejects when the record is not durable. */
import { type AuditSink, cut, told } from '../audit/record.ts'
import { type Reason, Refusal } from '../refusal.ts'
import { type AdminReason, AdminRefusal } from './admin-refusal.ts'

export interface About {
  /** Whom it concerns: `person:<id>` or `client:<id>`. */
  readonly principal?: string | undefined
  readonly address?: string | undefined
  /** Thumbprint of the sender's key. */
  readonly key?: string | undefined
  readonly evidence?: Readonly<Record<string, unknown>> | undefined
}

export interface Trail {
  event(name: string, about: About): Promise<void>
  /** For a refusal; the answer is no already, so a record that fails changes nothing for the caller. */
  refused(reason: { readonly code: string }, about: About): Promise<void>
}

export function createTrail(audit: AuditSink, clock: () => number): Trail {
  const common = ({ principal, address, key }: About) => ({
    ...(principal === undefined ? {} : { principal }),
    ...(address === undefined ? {} : { address }),
    ...(key === undefined ? {} : { key }),
  })
  const time = () => new Date(clock() * 1000).toISOString()
  return {
    event: (reason, about) =>
      audit.record({
        time: time(),
        door: 'admin',
        outcome: 'event',
        reason,
        ...(about.evidence === undefined ? {} : { evidence: short(about.evidence) }),
        ...common(about),
      }),
    async refused(reason, about) {
      const { reason: code, evidence } = told(reason)
      await audit
        .record({
          time: time(),
          door: 'admin',
          outcome: 'refused',
          ...(code === undefined ? {} : { reason: code }),
          evidence: { ...evidence, ...short(about.evidence ?? {}) },
          ...common(about),
        })
        .catch(() => undefined)
    },
  }
}

/** Why it is no: the check that failed, where the caller is told less. Undefined for what nobody expected. */
export function reasonOf(error: unknown): Reason | AdminReason | undefined {
  const said = error instanceof AdminRefusal && error.cause instanceof Refusal ? error.cause : error
  return said instanceof AdminRefusal || said instanceof Refusal ? said.reason : undefined
}

function short(evidence: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(evidence).map(([name, value]) => [
      name,
      typeof value === 'string' ? cut(value) : value,
    ]),
  )
}
