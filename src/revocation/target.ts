import type { Json } from '../lib/json.ts'

/** What can be stopped. */
export type TargetKind = 'jti' | 'session' | 'agent' | 'principal'

export const TARGET_KINDS: readonly TargetKind[] = ['jti', 'session', 'agent', 'principal']

const MAX_VALUE_LENGTH = 2048

export interface Target {
  readonly kind: TargetKind
  /** A token's `jti`, a session's `sid`, an agent's workload id, or a principal. */
  readonly value: string
  /** For agents: also every id beneath this path (`spiffe://a/b` stops `spiffe://a/b/c`, not `spiffe://a/b-c`). */
  readonly beneath?: boolean
}

/** Who and what a token or a request is about: every name under which it may have been stopped. */
export interface Subject {
  readonly jti?: string | undefined
  readonly session: string
  /** The workload that asks, and every actor before it. */
  readonly agents: readonly string[]
  readonly principal: string
  /**
   * What it hangs on besides: the `jti` of each delegation token and the `sid` of each session before
   * it. Each is looked for under both kinds.
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
  const { kind, value, beneath, ...others } = json
  if (!TARGET_KINDS.includes(kind as TargetKind)) {
    throw new TypeError(`a target's kind must be one of ${TARGET_KINDS.join(', ')}`)
  }
  if (typeof value !== 'string' || value === '' || value.length > MAX_VALUE_LENGTH) {
    throw new TypeError(`a target's value must be text of 1 to ${MAX_VALUE_LENGTH} characters`)
  }
  if (beneath !== undefined && typeof beneath !== 'boolean') {
    throw new TypeError('beneath must be true or false')
  }
  if (beneath && kind !== 'agent') throw new TypeError('beneath is for agents only')
  if (beneath && value.endsWith('/')) throw new TypeError('a path must not end in a slash')
  if (Object.keys(others).length > 0) throw new TypeError('a target has an unknown member')
  return { kind: kind as TargetKind, value, ...(beneath ? { beneath } : {}) }
}
