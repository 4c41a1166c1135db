import type { Role } from './admin.ts'

/**
 * Every expected no of the admin side, as one closed union. It stands beside `refusal.ts` because it
 * has another audience: people and their tools, who are told what to do next (RFC 9457), not agents,
 * who are told as little as possible. The reason goes to the audit as well.
 */
export type AdminReason =
  /** No sign-in, or one that is over. */
  | {
      code: 'signin_required'
      why: 'absent' | 'unknown' | 'idle' | 'ended' | 'form' | 'proof' | 'audience' | 'scope'
    }
  /** A page that is not the console may have made this request. */
  | { code: 'page_refused'; check: 'origin' | 'fetch_site' | 'csrf' }
  | { code: 'role_insufficient'; needed: Role; has: Role }
  /** Being signed in is not enough; a person has to touch a passkey for exactly this. */
  | { code: 'touch_required' }
  /** `pointer` is a JSON Pointer into the body, or the name of a parameter. */
  | { code: 'request_invalid'; pointer: string; detail: string }
  | { code: 'request_too_large'; limitBytes: number }
  | { code: 'not_found'; what: string }
  | { code: 'method_not_allowed'; allowed: readonly string[] }
  /** It is not (any longer) as the request supposes. */
  | { code: 'conflict'; detail: string }
  /** Nobody could let anyone in again. */
  | { code: 'last_admin' }
  /** A passkey ceremony that did not succeed; which check goes to the audit alone. */
  | { code: 'passkey_refused'; check: string }
  /** The link is used, too old, or was never made. */
  | { code: 'link_refused' }
  | { code: 'too_many_requests'; retryAfterSeconds: number }

export type AdminReasonCode = AdminReason['code']

/** An expected no of the admin side. */
export class AdminRefusal extends Error {
  readonly reason: AdminReason

  constructor(reason: AdminReason, options?: { cause?: unknown }) {
    super(reason.code, options)
    this.name = 'AdminRefusal'
    this.reason = reason
  }
}

/** @throws {AdminRefusal} always */
export function refuseAdmin(reason: AdminReason, cause?: unknown): never {
  throw new AdminRefusal(reason, cause === undefined ? undefined : { cause })
}
