import type { Json } from '../lib/json.ts'
import type { TargetKind } from '../refusal.ts'

export type { TargetKind } from '../refusal.ts'

export const TARGET_KINDS = [
  'jti',
  'session',
  'agent',
  'principal',
  'task',
  'key',
  'server',
  'issuer',
  'before',
] as const satisfies readonly TargetKind[]

const MAX_VALUE_LENGTH = 2048

/** As the configuration names issuers, and `identity/` writes them into ids. */
const ISSUER = /^(?:spiffe:\/\/[a-z0-9._-]{1,255}|(?:oidc|user):[A-Za-z0-9._-]{1,64})$/
const KEY = /^(?:x5t#S256:)?[A-Za-z0-9_-]{43}$/
/** Ten digits reach beyond the year 2200; a time in milliseconds has more. */
const SECONDS = /^\d{1,10}(?:\.\d{1,6})?$/

/**
 * What is stopped. The value is of the kind:
 *
 * - `jti`: one token, by its id; `session`: everything of one workload, principal and key (`sid`)
 * - `agent`: a workload id, whichever key it has; `principal`: on whose behalf
 * - `task`: the label in `txn`; `key`: a key's thumbprint (`jkt`, or `x5t#S256:` and a certificate's)
 * - `server`: an MCP server's resource URI, as in `aud`
 * - `issuer`: `spiffe://<trust domain>`, `oidc:<alias>` or `user:<alias>`, and so every workload, actor
 *   and principal of it
 * - `before`: seconds since the epoch, in decimal: everything issued earlier
 */
export interface Target {
  readonly kind: TargetKind
  readonly value: string
  /** For agents: also every id beneath this path (`spiffe://a/b` stops `spiffe://a/b/c`, not `spiffe://a/b-c`). */
  readonly beneath?: boolean
  /** For agents: only while they act for this principal. A workload acting for itself is its own. */
  readonly principal?: string
}

/**
 * Who and what a token or a request is about: every name under which it may have been stopped. What
 * is optional is left out only where it cannot be known.
 */
export interface Subject {
  readonly jti?: string | undefined
  readonly session: string
  /** The workload that asks, and every actor before it. */
  readonly agents: readonly string[]
  readonly principal: string
  /** The label of the task (`txn`). */
  readonly task?: string | undefined
  /** As in the audit's `key`: the thumbprint of the key that holds the token. */
  readonly key?: string | undefined
  /** The MCP server's resource URI. */
  readonly server?: string | undefined
  /** Seconds since the epoch. */
  readonly issuedAt?: number | undefined
  /**
   * What it hangs on besides: the `jti` of each delegation token, and the `sid` and the key of each
   * session before it. Each is looked for under all three kinds.
   */
  readonly links?: readonly string[] | undefined
}

export interface Revocation {
  readonly id: string
  readonly target: Target
  /** Seconds since the epoch. */
  readonly at: number
  /** Seconds since the epoch; without it the revocation has no end. */
  readonly until?: number
  readonly reason: string
  readonly by: string
  /** Whose heartbeats say that it is known, see `held.ts`; older brokers did not write it. */
  readonly origin?: string
}

/** The end of a revocation before its time. */
export interface Undo {
  /** Of the revocation. */
  readonly id: string
  /** Seconds since the epoch. */
  readonly at: number
  /** Seconds since the epoch: until then it is remembered that the revocation counts no more. */
  readonly until: number
  readonly reason: string
  readonly by: string
  readonly origin: string
}

/**
 * How long after its end a revocation still counts: verifiers accept an expired token for a few
 * seconds of clock skew, and it must not come back to life in them.
 */
export const COUNTS_AFTER_END_SECONDS = 10

/** Whether it counts no more, the seconds after its end included. */
export function hasEnded({ until }: { readonly until?: number }, now: number): boolean {
  return until !== undefined && now > until + COUNTS_AFTER_END_SECONDS
}

/** What has been stopped by its own name or its time is not to be trusted again. */
export function canUndo(target: Target): boolean {
  return target.kind !== 'jti' && target.kind !== 'before'
}

/**
 * Reads a target from untrusted JSON.
 *
 * @throws {TypeError} saying which member is wrong
 */
export function parseTarget(json: Json | undefined): Target {
  if (typeof json !== 'object' || json === null || !('kind' in json)) {
    throw new TypeError('a target must be an object with kind and value')
  }
  const { kind, value, beneath, principal, ...others } = json
  if (!TARGET_KINDS.includes(kind as TargetKind)) {
    throw new TypeError(`a target's kind must be one of ${TARGET_KINDS.join(', ')}`)
  }
  if (!isText(value)) {
    throw new TypeError(`a target's value must be text of 1 to ${MAX_VALUE_LENGTH} characters`)
  }
  checkValue(kind as TargetKind, value)
  if (beneath !== undefined && typeof beneath !== 'boolean') {
    throw new TypeError('beneath must be true or false')
  }
  if (beneath && kind !== 'agent') throw new TypeError('beneath is for agents only')
  if (beneath && value.endsWith('/')) throw new TypeError('a path must not end in a slash')
  if (principal !== undefined && (kind !== 'agent' || !isText(principal))) {
    throw new TypeError('principal is for agents only, and text')
  }
  if (Object.keys(others).length > 0) throw new TypeError('a target has an unknown member')
  return {
    kind: kind as TargetKind,
    value,
    ...(beneath ? { beneath } : {}),
    ...(principal === undefined ? {} : { principal }),
  }
}

function isText(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_VALUE_LENGTH
}

/** A value of another form would stop nothing, and whoever wrote it would think that it does. */
function checkValue(kind: TargetKind, value: string): void {
  if (kind === 'key' && !KEY.test(value)) {
    throw new TypeError('a key is named by its thumbprint, or x5t#S256: and that of a certificate')
  }
  if (kind === 'server' && !isResource(value)) {
    throw new TypeError('a server is named by its resource URI, an http or https URL')
  }
  if (kind === 'issuer' && !ISSUER.test(value)) {
    throw new TypeError('an issuer is spiffe://<trust domain>, oidc:<alias> or user:<alias>')
  }
  if (kind === 'before' && !SECONDS.test(value)) {
    throw new TypeError('a time must be seconds since the epoch')
  }
}

function isResource(value: string): boolean {
  return /^https?:\/\/[^#\s]+$/.test(value) && URL.canParse(value)
}
