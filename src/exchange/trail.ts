import type { Action } from '../action/action.ts'
import type { Ceiling } from '../action/ceiling.ts'
import { hashArguments, hashInput } from '../action/hash.ts'
import type { GrantedDetail } from '../action/mcp-action.ts'
import { type AuditRecord, cut, told } from '../audit/record.ts'
import type { Workload } from '../identity/workload.ts'
import type { SessionIdentity } from '../ledger/session-book.ts'
import type { Decision } from '../policy/engine.ts'
import type { Reason } from '../refusal.ts'
import type { ExchangeRequest } from './broker.ts'

/**
 * What is known so far of one exchange, gathered as the steps prove it, so that a refusal at any
 * step leaves a record of everything that was established before it and of nothing that was not.
 */
export interface Trail {
  readonly request: ExchangeRequest
  workload?: Workload
  principal?: string
  /** Who acts, outermost first; empty when the workload acts for itself. */
  actors?: readonly string[]
  /** The delegations and sessions before this one. */
  links?: readonly string[]
  session?: string
  key?: string
  /** Of the action, or of the delegation it is under. */
  task?: string | undefined
  action?: Action
  definitionHash?: string | undefined
  /** What was about to be granted: it holds the hashes of the action already. */
  granted?: GrantedDetail | undefined
  /** What was asked to be handed on at most. */
  ceiling?: Ceiling
  decision?: Decision
}

/** The part of a record that every outcome of an exchange shares. */
function base(trail: Trail, recordArguments: boolean): Omit<AuditRecord, 'outcome'> {
  const { action, decision, granted } = trail
  return {
    time: new Date(trail.request.now * 1000).toISOString(),
    door: trail.request.door,
    kind: trail.request.delegateTo === undefined ? undefined : 'delegation',
    delegate: trail.request.delegateTo && cut(trail.request.delegateTo.workload),
    workload: trail.workload?.id,
    principal: trail.principal,
    actors: trail.actors?.length ? trail.actors : undefined,
    links: trail.links?.length ? trail.links : undefined,
    session: trail.session,
    task: trail.task,
    server: trail.request.resource === undefined ? undefined : cut(trail.request.resource),
    method: action?.method,
    name: action?.identifier,
    argumentsHash:
      granted?.arguments_hash ?? (action?.arguments && hashArguments(action.arguments)),
    definitionHash: trail.definitionHash,
    ceiling: trail.ceiling,
    inputHash: granted?.input_hash ?? (action?.input && hashInput(action.input)),
    arguments: recordArguments ? action?.arguments : undefined,
    decision: decision?.effect,
    policies: decision?.policies,
    policyVersion: decision?.version,
    key: trail.key,
    address: trail.request.address,
  }
}

export function issuedRecord(
  trail: Trail,
  token: { readonly jti: string; readonly exp: number },
  recordArguments: boolean,
): AuditRecord {
  return {
    ...base(trail, recordArguments),
    outcome: 'issued',
    jti: token.jti,
    expiresAt: token.exp,
  }
}

export function refusedRecord(trail: Trail, reason: Reason, recordArguments: boolean): AuditRecord {
  return { ...base(trail, recordArguments), outcome: 'refused', ...told(reason) }
}

/** Something worth knowing that is neither a token nor a refusal. */
export function eventRecord(trail: Trail, event: string): AuditRecord {
  return { ...base(trail, false), outcome: 'event', reason: event }
}

/** What is shown of an identity: many times what a real one has, and less than a book takes. */
const MAX_SHOWN = { attributes: 32, values: 16, bytes: 12 * 1024 }

/** A workload that is remembered asks many times. */
const shownIdentities = new WeakMap<Workload, SessionIdentity>()

/** How the workload proved who it is, as the book of sessions shows it. */
export function identityOf(workload: Workload): SessionIdentity {
  let identity = shownIdentities.get(workload)
  if (identity === undefined) {
    identity = readIdentity(workload)
    shownIdentities.set(workload, identity)
  }
  return identity
}

function readIdentity({ kind, issuer, expiresAt, attributes }: Workload): SessionIdentity {
  const shown: Record<string, string | readonly string[]> = {}
  let bytes = 0
  for (const [name, value] of Object.entries(attributes).slice(0, MAX_SHOWN.attributes)) {
    const given = Array.isArray(value) ? value.slice(0, MAX_SHOWN.values).map(text) : text(value)
    bytes += Buffer.byteLength(JSON.stringify([name, given]))
    if (bytes <= MAX_SHOWN.bytes) shown[name] = given
  }
  return { kind, issuer, attributes: shown, endsAt: expiresAt }
}

function text(value: unknown): string {
  return cut(typeof value === 'string' ? value : JSON.stringify(value)).toWellFormed()
}
