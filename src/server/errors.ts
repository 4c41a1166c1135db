/**
 * What a caller of the token endpoint is told: one table, reason → wire.
 *
 * Which check failed goes to the audit record and not to the wire, so a prober learns nothing from
 * the difference. The codes are fixed by RFC 6749 §5.2, RFC 8693 §2.2.2 (a bad subject token is
 * `invalid_request`), RFC 7523 §3.1 (a bad assertion is `invalid_grant`), RFC 6749 §5.2 (client
 * authentication that failed is `invalid_client`), RFC 8707 §2, RFC 9396 §5 and RFC 9449 §5 and §8.
 * `docs/refusals.md` is this table in words; a test keeps the two in step.
 */
import type { Reason } from '../refusal.ts'

/** What was asked for, which decides the vocabulary. */
export interface Asked {
  readonly grant: 'token-exchange' | 'jwt-bearer' | 'client_credentials'
  readonly token: 'action' | 'session'
  /** Whether what was refused is the client's assertion or certificate, and not a token. */
  readonly client?: boolean
}

export interface WireError {
  readonly status: number
  readonly error: string
  readonly description: string
  readonly retryAfterSeconds?: number
}

export const SERVER_ERROR: WireError = {
  status: 500,
  error: 'server_error',
  description: 'the request could not be answered',
}

const INVALID_CLIENT: WireError = {
  status: 401,
  error: 'invalid_client',
  description: 'client authentication failed',
}

export function wireError(reason: Reason, asked: Asked): WireError {
  switch (reason.code) {
    case 'request_malformed':
      return no(400, 'invalid_request', 'the request is malformed')
    case 'request_too_large':
      return no(413, 'invalid_request', `the body may have ${reason.limitBytes} bytes`)
    case 'report_rejected':
      return no(400, 'invalid_request', 'the report was not accepted')
    case 'grant_unsupported':
      return no(400, 'unsupported_grant_type', 'this grant type is not supported')
    case 'client_rejected':
    case 'certificate_untrusted':
      return INVALID_CLIENT
    case 'origin_refused':
      return reason.header === 'host'
        ? no(421, 'invalid_request', 'this host is not served here')
        : no(403, 'invalid_request', 'requests from this origin are refused')

    case 'binding_missing':
      return no(
        400,
        'invalid_dpop_proof',
        'a proof of the key that will hold the token is required',
      )
    case 'proof_invalid':
    case 'proof_replayed':
    // What a store says of a proof that it cannot tell from a replay.
    case 'token_before_epoch':
    case 'token_expired':
      return no(400, 'invalid_dpop_proof', 'the DPoP proof was not accepted')
    case 'nonce_required':
      return no(400, 'use_dpop_nonce', 'use the nonce in the DPoP-Nonce header')

    case 'identity_invalid':
    case 'identity_unknown_issuer':
    case 'identity_key_changed':
    case 'identity_missing':
    case 'identity_conflict':
    case 'delegation_refused':
    case 'revoked':
      return notAccepted(asked)

    case 'ceiling_exceeded':
      return no(400, 'invalid_authorization_details', 'this action is not permitted')
    case 'server_unknown':
      return no(400, 'invalid_target', 'no token is issued for this resource')
    case 'details_invalid':
    case 'message_malformed':
    case 'method_unknown':
    case 'action_unknown':
      return no(400, 'invalid_authorization_details', 'no such action can be asked for')
    case 'arguments_invalid':
    case 'arguments_too_costly':
      return no(400, 'invalid_authorization_details', 'the arguments do not fit the action')
    // A denial that a person could turn into a permit is answered like any other (the caller did
    // not offer to wait), so nobody can map which actions are worth asking a person for.
    case 'policy_denied':
    case 'approval_required':
      return asked.token === 'action'
        ? no(400, 'invalid_authorization_details', 'this action is not permitted')
        : no(400, 'invalid_target', 'no token is issued for this resource')

    case 'revocations_stale':
    case 'policy_unavailable':
    case 'ledger_unavailable':
    case 'audit_unavailable':
    case 'keys_unavailable':
    case 'trust_unavailable':
      return { ...no(503, 'temporarily_unavailable', 'try again shortly'), retryAfterSeconds: 1 }

    // Only a verifier says these. Here they would be a bug, and are answered like one.
    case 'path_refused':
    case 'batch_refused':
    case 'header_mismatch':
    case 'token_missing':
    case 'token_invalid':
    case 'token_unbound':
    case 'key_mismatch':
    case 'scope_insufficient':
    case 'action_mismatch':
    case 'definition_unknown':
    case 'session_mismatch':
    case 'token_spent':
      return SERVER_ERROR
  }
}

/** Who asks, or on whose behalf, was not believed. One sentence for each door, whatever the reason. */
function notAccepted({ grant, client }: Asked): WireError {
  if (client || grant === 'client_credentials') return INVALID_CLIENT
  return grant === 'jwt-bearer'
    ? no(400, 'invalid_grant', 'the assertion was not accepted')
    : no(400, 'invalid_request', 'the tokens were not accepted')
}

function no(status: number, error: string, description: string): WireError {
  return { status, error, description }
}
