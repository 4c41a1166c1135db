/** Each kind of problem: its status, its title, and what to do about it. */
import type { ReasonCode } from '../refusal.ts'
import type { AdminReasonCode } from '../sign-in/admin-refusal.ts'

export interface ProblemKind {
  readonly status: number
  readonly title: string
  readonly whatToDo: string
}

/** What a proof or a token lacks is told as `signin_required`; which check it was is for the audit. */
type Told = Extract<
  ReasonCode,
  | 'identity_invalid'
  | 'ledger_unavailable'
  | 'audit_unavailable'
  | 'policy_unavailable'
  | 'keys_unavailable'
  | 'trust_unavailable'
  | 'revocations_stale'
>

const WAIT = 'retry in a second; if it stays, look at GET /v1/health'

export const PROBLEM_KINDS: Readonly<
  Record<AdminReasonCode | Told | 'internal_error' | 'refused', ProblemKind>
> = {
  signin_required: kind(401, 'Sign in first', 'sign in (again): in the console, or `writ login`'),
  page_refused: kind(
    403,
    'This page may not ask that',
    'use the console; a program uses an access token and no cookie',
  ),
  role_insufficient: kind(403, 'Your role does not allow this', 'ask an admin to do it'),
  touch_required: kind(
    403,
    'Touch your passkey for this',
    'ask POST /v1/touch for options, touch, and send the answer as `touch`; or `writ login` again',
  ),
  request_invalid: kind(400, 'The request is not valid', 'mend what `pointer` names'),
  request_too_large: kind(413, 'The request is too large', 'send less at once'),
  not_found: kind(404, 'There is nothing here', 'look at the list it should be in'),
  method_not_allowed: kind(405, 'This method is not supported here', 'see the header Allow'),
  conflict: kind(
    409,
    'It is not as the request supposes',
    'read it again; with the header Retry-After, send the same request again later',
  ),
  last_admin: kind(409, 'This is the last admin', 'make somebody else an admin first'),
  passkey_refused: kind(403, 'The passkey was not accepted', 'try again with a passkey of yours'),
  link_refused: kind(404, 'The link does not count any more', 'ask an admin for a new one'),
  too_many_requests: kind(429, 'Too many at once', 'wait for the seconds in Retry-After'),
  identity_invalid: kind(400, 'This is no id of a workload', 'as in spiffe://corp.example/bot'),
  ledger_unavailable: kind(503, 'The store cannot be asked', WAIT),
  audit_unavailable: kind(
    503,
    'The audit cannot record',
    'nothing was changed; free the disk, then send the broker SIGHUP or restart it',
  ),
  policy_unavailable: kind(503, 'The policy engine cannot answer', WAIT),
  keys_unavailable: kind(503, 'There is no key to sign with', WAIT),
  trust_unavailable: kind(503, 'Something trusted cannot be reached', WAIT),
  revocations_stale: kind(503, 'The revocation feed is not heard', WAIT),
  internal_error: kind(500, 'Something went wrong', "look at the broker's log"),
  refused: kind(400, 'The request was refused', 'look at `code`'),
}

function kind(status: number, title: string, whatToDo: string): ProblemKind {
  return { status, title, whatToDo }
}

/** Of a code that has no row of its own, what holds for all of them. */
export function problemKind(code: string): ProblemKind {
  if (Object.hasOwn(PROBLEM_KINDS, code)) return PROBLEM_KINDS[code as keyof typeof PROBLEM_KINDS]
  return PROBLEM_KINDS.refused
}
