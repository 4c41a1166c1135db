/** Every no of the admin API as a problem of RFC 9457. */
import type { Context } from 'koa'
import { Refusal } from '../refusal.ts'
import { AdminRefusal } from '../sign-in/admin-refusal.ts'
import { StillRunning } from './idempotency.ts'
import { type ProblemKind, problemKind } from './problem-kinds.ts'
import type { Problem } from './schemas/people.ts'

/** What is known of a no: what the caller is told, and what the audit is told besides. */
export interface No {
  readonly kind: ProblemKind
  readonly code: string
  readonly detail?: string | undefined
  readonly pointer?: string | undefined
  readonly headers: Readonly<Record<string, string>>
  /** For the audit; undefined for what nobody expected. */
  readonly reason: { readonly code: string } | undefined
}

/** A browser is told nothing here that would make it open a dialog of its own. */
const CHALLENGE = 'DPoP algs="ES256 Ed25519"'

export function noOf(error: unknown): No {
  if (error instanceof AdminRefusal) {
    const { reason } = error
    return { kind: problemKind(reason.code), code: reason.code, ...wordsOf(reason), reason }
  }
  if (error instanceof Refusal) {
    const { reason } = error
    const kind = problemKind(reason.code)
    const headers: No['headers'] = kind.status === 503 ? { 'Retry-After': '1' } : {}
    return { kind, code: reason.code, headers, reason }
  }
  if (error instanceof StillRunning) {
    const detail = 'the same request is still being worked on'
    const reason = { code: 'conflict', detail }
    return { kind: problemKind('conflict'), ...reason, headers: { 'Retry-After': '1' }, reason }
  }
  const code = 'internal_error'
  return { kind: problemKind(code), code, headers: {}, reason: undefined }
}

/** @param url of the admin listener: the type of a problem is an address beneath it */
export function answerProblem(ctx: Context, no: No, url: string): void {
  const { kind, code, detail, pointer } = no
  ctx.set(no.headers)
  // What follows an unread body on this connection would be taken for the next request.
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  ctx.status = kind.status
  ctx.type = 'application/problem+json'
  const problem: Problem = {
    type: `${url}/v1/problems/${code}`,
    title: kind.title,
    status: kind.status,
    code,
    ...(detail === undefined ? {} : { detail }),
    ...(pointer === undefined ? {} : { pointer }),
  }
  ctx.body = JSON.stringify(problem)
}

function wordsOf(reason: AdminRefusal['reason']): Pick<No, 'detail' | 'pointer' | 'headers'> {
  switch (reason.code) {
    case 'signin_required':
      return {
        headers: {
          'WWW-Authenticate':
            reason.why === 'absent' ? CHALLENGE : `${CHALLENGE}, error="invalid_token"`,
        },
      }
    case 'role_insufficient':
      return { detail: `this needs the role ${reason.needed}, yours is ${reason.has}`, headers: {} }
    case 'request_invalid':
      return { detail: reason.detail, pointer: reason.pointer, headers: {} }
    case 'request_too_large':
      return { detail: `at most ${reason.limitBytes} bytes`, headers: {} }
    case 'not_found':
      return { detail: `there is no such ${reason.what}`, headers: {} }
    case 'method_not_allowed':
      return { headers: { Allow: reason.allowed.join(', ') } }
    case 'conflict':
      return { detail: reason.detail, headers: {} }
    case 'too_many_requests':
      return { headers: { 'Retry-After': String(reason.retryAfterSeconds) } }
    case 'page_refused':
    case 'touch_required':
    case 'last_admin':
    case 'passkey_refused':
    case 'link_refused':
      return { headers: {} }
  }
}
