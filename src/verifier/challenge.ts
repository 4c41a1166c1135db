/**
 * What the caller is told, for every reason: one exhaustive table.
 *
 * The words say what to do differently ("this token was issued for other arguments") and never
 * which key, id or name was expected. The full reason goes to the audit record.
 */
import { JsonError, type JsonObject } from '../lib/json.ts'
import type { ActionPart, Reason, Refusal, TokenCheck } from '../refusal.ts'
import { ACTION_SCOPE, SESSION_SCOPE } from '../token/claims.ts'
import { PROOF_ALGORITHMS } from '../token/dpop.ts'
import type { Headers, Refused } from './request.ts'

/** JSON-RPC 2.0 §5.1, and MCP 2026-07-28 for the last two. */
const PARSE_ERROR = -32700
const INVALID_REQUEST = -32600
const METHOD_NOT_FOUND = -32601
const HEADER_MISMATCH = -32020
/** What both SDKs answer for a session id they do not know. */
const SESSION_NOT_FOUND = -32001

const RETRY_AFTER_SECONDS = '1'

type DpopError = 'invalid_token' | 'invalid_dpop_proof' | 'use_dpop_nonce' | 'insufficient_scope'

/** How a reason is answered. */
export type Answer =
  | { kind: 'message'; status: 400 | 403 | 404 | 413; code: number; words: string }
  | { kind: 'token'; status: 401 | 403; error: DpopError | undefined; words: string }
  | { kind: 'elsewhere'; status: 404; words: string }
  | { kind: 'unavailable'; status: 500 | 503; words: string }

/** What surrounds a refusal on the wire. */
export interface AnswerContext {
  readonly metadataUrl: string
  /** The scope this request needs, when the request could be read. */
  readonly scope: string | undefined
  /** What every answer of this server carries: a fresh DPoP nonce, when it demands them. */
  readonly headers: Headers
  /** The JSON-RPC id of the request, when it could be read. */
  readonly id: string | number | undefined
}

/** As the table says; JSON-RPC has a code of its own for what is no JSON at all. */
export function answerToRefusal({ reason, cause }: Refusal): Answer {
  const answer = answerTo(reason)
  return answer.kind === 'message' && cause instanceof JsonError && answer.status === 400
    ? { ...answer, code: PARSE_ERROR }
    : answer
}

/** The one table: reason → status, error code, words. */
export function answerTo(reason: Reason): Answer {
  switch (reason.code) {
    case 'request_malformed':
      return message(400, INVALID_REQUEST, reason.detail)
    case 'request_too_large':
      return message(413, INVALID_REQUEST, `the body is larger than ${reason.limitBytes} bytes`)
    case 'origin_refused':
      return message(
        403,
        INVALID_REQUEST,
        `the ${reason.header} header is not one this server allows`,
      )
    // Nothing here is for this request, so nothing is said about tokens either.
    case 'path_refused':
      return { kind: 'elsewhere', status: 404, words: 'there is nothing at this path' }
    case 'message_malformed':
      return message(400, INVALID_REQUEST, 'the body is not one well-formed JSON-RPC message')
    case 'batch_refused':
      return message(400, INVALID_REQUEST, 'a batch is not accepted: send one message per request')
    case 'header_mismatch':
      return message(400, HEADER_MISMATCH, `the ${reason.header} header does not equal the body`)
    case 'method_unknown':
      return message(404, METHOD_NOT_FOUND, 'no token exists for this method')
    case 'session_mismatch':
      return message(404, SESSION_NOT_FOUND, 'this session does not exist: initialize a new one')

    case 'token_missing':
      return token(401, undefined, 'a token is needed: one per action, bound to your key')
    case 'token_invalid':
      return token(401, 'invalid_token', TOKEN_WORDS[reason.check])
    case 'token_expired':
      return token(401, 'invalid_token', 'this token has expired')
    case 'token_unbound':
      return token(
        401,
        'invalid_token',
        'this token is bound to a key and was sent without its proof: use the DPoP scheme',
      )
    case 'key_mismatch':
      return token(401, 'invalid_token', 'this token was issued to another key')
    case 'token_before_epoch':
      return token(
        401,
        'invalid_token',
        'this token is older than what this server remembers: get a new one',
      )
    case 'token_spent':
      return token(401, 'invalid_token', 'this token has already been used')
    case 'revoked':
      return token(401, 'invalid_token', 'this token has been revoked')
    case 'certificate_untrusted':
      return token(
        401,
        'invalid_token',
        'this token is bound to a certificate, and a header is no proof of one from this peer',
      )
    // Whose certificate it is, the broker has said; here it can only have expired, or be none.
    case 'identity_invalid':
      return token(
        401,
        'invalid_token',
        'the certificate this token is bound to is not valid now: get a token with a new one',
      )
    case 'binding_missing':
      return token(401, 'invalid_dpop_proof', "a proof of the token's key is needed")
    case 'proof_invalid':
      return token(401, 'invalid_dpop_proof', 'the DPoP proof was not accepted')
    case 'proof_replayed':
      return token(401, 'invalid_dpop_proof', 'this DPoP proof has already been used')
    case 'nonce_required':
      return token(401, 'use_dpop_nonce', 'use the nonce of this response in the DPoP proof')
    case 'scope_insufficient':
      return token(403, 'insufficient_scope', 'this request needs a token of another scope')
    case 'action_mismatch':
      return token(403, 'insufficient_scope', PART_WORDS[reason.part])
    case 'definition_unknown':
      return token(403, 'insufficient_scope', 'this server has no checked definition of that tool')

    case 'revocations_stale':
      return unavailable('this server has not heard in time which tokens are revoked')
    case 'ledger_unavailable':
      return unavailable('this server cannot tell whether this token was used')
    case 'keys_unavailable':
      return unavailable('this server has no keys to check tokens with')
    case 'audit_unavailable':
      return unavailable('this server cannot record what it does')

    // Only a broker says these; here they can only mean that something is put together wrongly.
    case 'grant_unsupported':
    case 'client_rejected':
    case 'report_rejected':
    case 'identity_unknown_issuer':
    case 'identity_missing':
    case 'identity_conflict':
    case 'trust_unavailable':
    case 'delegation_refused':
    case 'ceiling_exceeded':
    case 'identity_key_changed':
    case 'server_unknown':
    case 'details_invalid':
    case 'action_unknown':
    case 'arguments_invalid':
    case 'arguments_too_costly':
    case 'policy_denied':
    case 'policy_unavailable':
    case 'approval_required':
      return UNEXPECTED
  }
}

/** For everything that is no `Refusal`: a bug or a broken dependency, about which nothing is said. */
export const UNEXPECTED: Answer = {
  kind: 'unavailable',
  status: 500,
  words: 'the request could not be checked',
}

const TOKEN_WORDS: Record<TokenCheck, string> = {
  count: 'exactly one Authorization header is needed',
  form: 'the token is not well-formed',
  typ: 'the token was not accepted',
  algorithm: 'the token was not accepted',
  key: 'the token was not accepted',
  signature: 'the token was not accepted',
  issuer: 'this token was issued by another issuer',
  audience: 'this token was issued for another server',
  claims: 'the token was not accepted',
  lifetime: 'the token was not accepted',
}

const PART_WORDS: Record<ActionPart, string> = {
  location: 'this token was issued for another server',
  method: 'this token was issued for another method',
  identifier: 'this token was issued for another tool, prompt or resource',
  arguments: 'this token was issued for other arguments',
  definition: 'the definition of this tool is not the one this token was issued for',
  input: 'this token was issued for another round of this call',
  element: 'this token grants nothing this server understands',
}

/** The response that carries an answer: RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1. */
export function responseTo(answer: Answer, context: AnswerContext): Refused {
  const json: [string, string] = ['content-type', 'application/json']
  const noStore: [string, string] = ['cache-control', 'no-store']
  switch (answer.kind) {
    case 'message': {
      const error = { code: answer.code, message: answer.words }
      const closing: Headers = answer.status === 413 ? [['connection', 'close']] : []
      return refused(answer.status, [json, noStore, ...closing], {
        jsonrpc: '2.0',
        id: context.id ?? null,
        error,
      })
    }
    case 'token':
      return refused(answer.status, [json, noStore, ...challenges(answer, context)], {
        error: answer.error ?? 'invalid_token',
        error_description: answer.words,
      })
    case 'elsewhere':
      return refused(answer.status, [json, noStore], {
        error: 'invalid_request',
        error_description: answer.words,
      })
    case 'unavailable': {
      const retry: Headers = answer.status === 503 ? [['retry-after', RETRY_AFTER_SECONDS]] : []
      return refused(answer.status, [json, noStore, ...retry], {
        error: answer.status === 503 ? 'temporarily_unavailable' : 'server_error',
        error_description: answer.words,
      })
    }
  }
}

/**
 * Two headers and not one: the SDKs read a challenge only when its first scheme is `Bearer`, and
 * take the first of each parameter they find. So `Bearer` goes first and carries everything.
 */
function challenges(
  answer: Answer & { kind: 'token' },
  { metadataUrl, scope, headers }: AnswerContext,
): Headers {
  const nonceWanted = answer.error === 'use_dpop_nonce'
  const shared: Record<string, string> = {
    resource_metadata: metadataUrl,
    scope: scope ?? `${ACTION_SCOPE} ${SESSION_SCOPE}`,
  }
  const described = { error_description: answer.words }
  const bearer =
    answer.error === undefined || nonceWanted
      ? shared
      : { ...shared, error: bearerError(answer.error), ...described }
  const dpop = {
    algs: PROOF_ALGORITHMS.join(' '),
    ...shared,
    ...(answer.error === undefined ? {} : { error: answer.error, ...described }),
  }
  return [
    ['www-authenticate', `Bearer ${parameters(bearer)}`],
    ['www-authenticate', `DPoP ${parameters(dpop)}`],
    ...headers,
  ]
}

/** `invalid_dpop_proof` is not an error of RFC 6750. */
function bearerError(error: DpopError): string {
  return error === 'invalid_dpop_proof' ? 'invalid_token' : error
}

function parameters(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${value}"`)
    .join(', ')
}

function refused(status: number, headers: Headers, body: JsonObject): Refused {
  return { allowed: false, status, headers, body }
}

function message(status: 400 | 403 | 404 | 413, code: number, words: string): Answer {
  return { kind: 'message', status, code, words }
}

function token(status: 401 | 403, error: DpopError | undefined, words: string): Answer {
  return { kind: 'token', status, error, words }
}

function unavailable(words: string): Answer {
  return { kind: 'unavailable', status: 503, words }
}
