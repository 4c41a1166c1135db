/**
 * Every expected way to say no, as one closed union.
 *
 * A reason carries evidence for the audit record and never a credential. What the caller is told
 * is decided elsewhere, once per door: `server/errors.ts` for the broker's token endpoint and
 * `verifier/challenge.ts` for MCP servers. Add an arm and `tsc` lists each place that must answer.
 */
export type Reason =
  // the request as such
  | { code: 'request_malformed'; detail: string }
  | { code: 'request_too_large'; limitBytes: number }
  | { code: 'grant_unsupported'; grant: string }
  | { code: 'client_rejected'; detail: string }
  | { code: 'report_rejected'; check: ReportCheck }
  | { code: 'origin_refused'; header: 'origin' | 'host' }
  | { code: 'path_refused' }
  // the key that will hold, or holds, the token
  | { code: 'binding_missing' }
  | { code: 'proof_invalid'; check: ProofCheck }
  | { code: 'nonce_required'; why: 'absent' | 'unknown' }
  | { code: 'proof_replayed' }
  // who is asking
  | { code: 'identity_invalid'; check: IdentityCheck }
  | { code: 'identity_unknown_issuer'; issuer: string }
  | { code: 'identity_key_changed' }
  | { code: 'identity_missing' }
  | { code: 'identity_conflict'; between: string }
  | { code: 'certificate_untrusted'; peer: string }
  | { code: 'trust_unavailable'; detail: string }
  // on whose behalf
  | { code: 'delegation_refused'; check: DelegationCheck }
  | { code: 'ceiling_exceeded'; part: CeilingPart }
  // what is stopped
  | { code: 'revoked'; target: TargetKind }
  | { code: 'revocations_stale' }
  // what is asked
  | { code: 'server_unknown'; server: string }
  | { code: 'details_invalid'; detail: string }
  | { code: 'action_unknown'; method: string; identifier: string }
  | { code: 'arguments_invalid'; path: string; detail: string }
  | { code: 'arguments_too_costly'; limitMs: number }
  // the decision
  | { code: 'policy_denied'; policies: readonly string[] }
  | { code: 'policy_unavailable'; detail: string }
  | { code: 'approval_required'; policies: readonly string[] }
  // something this answer depends on is not working
  | { code: 'ledger_unavailable'; detail: string }
  | { code: 'audit_unavailable'; detail: string }
  | { code: 'keys_unavailable'; detail: string }
  // an MCP message at the verifier
  | { code: 'message_malformed'; detail: string }
  | { code: 'batch_refused' }
  | { code: 'header_mismatch'; header: string }
  | { code: 'method_unknown'; method: string }
  // a token at the verifier
  | { code: 'token_missing' }
  | { code: 'token_invalid'; check: TokenCheck }
  | { code: 'token_expired' }
  | { code: 'token_unbound' }
  | { code: 'key_mismatch' }
  | { code: 'scope_insufficient'; needed: string }
  | { code: 'action_mismatch'; part: ActionPart }
  | { code: 'definition_unknown'; identifier: string }
  | { code: 'session_mismatch' }
  | { code: 'token_before_epoch' }
  | { code: 'token_spent' }

/** What can be stopped; see `revocation/target.ts`. */
export type TargetKind =
  | 'jti'
  | 'session'
  | 'agent'
  | 'principal'
  | 'task'
  | 'key'
  | 'server'
  | 'issuer'
  | 'before'

/** Which of the checks of RFC 9449 §4.3 a DPoP proof failed. */
export type ProofCheck =
  | 'count'
  | 'form'
  | 'claims'
  | 'typ'
  | 'algorithm'
  | 'signature'
  | 'key'
  | 'method'
  | 'url'
  | 'age'
  | 'token_hash'

/** Which check a proof of identity failed. */
export type IdentityCheck =
  | 'form'
  | 'header'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'spiffe_id'
  | 'audience'
  | 'expiry'
  | 'claims'
  | 'token_type'
  | 'typ'
  | 'issuer'
  | 'age'
  | 'subject'
  | 'active'
  | 'certificate'
  | 'chain'
  | 'key_usage'
  | 'uri_san'
  | 'resumed'

/** Which check a verifier's report of outcomes failed. */
export type ReportCheck =
  | 'form'
  | 'typ'
  | 'client'
  | 'algorithm'
  | 'signature'
  | 'audience'
  | 'time'
  | 'resource'
  | 'holder'
  | 'sequence'
  | 'sessions'

/** Which rule of acting for someone else a request broke. */
export type DelegationCheck =
  | 'may_act'
  | 'actor'
  | 'client'
  | 'depth'
  | 'key'
  | 'resource'
  | 'scope'

/** Which part of the request is more than the delegation allows. */
export type CeilingPart = 'location' | 'method' | 'identifier' | 'arguments' | 'element'

/** Which check an access token failed. */
export type TokenCheck =
  | 'count'
  | 'form'
  | 'typ'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'issuer'
  | 'audience'
  | 'claims'
  | 'lifetime'

/** Which part of the message is not what the token was granted for. */
export type ActionPart =
  | 'location'
  | 'method'
  | 'identifier'
  | 'arguments'
  | 'definition'
  | 'input'
  | 'element'

export type ReasonCode = Reason['code']

/** An expected no. Anything else that is thrown is a bug or a broken dependency. */
export class Refusal extends Error {
  readonly reason: Reason

  constructor(reason: Reason, options?: { cause?: unknown }) {
    // Strangers cause refusals as often as they like, and a stack costs more than the rest of one. The
    // reason says which check it was.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(reason.code, options)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'Refusal'
    this.reason = reason
  }
}

/** @throws {Refusal} always */
export function refuse(reason: Reason, cause?: unknown): never {
  throw new Refusal(reason, cause === undefined ? undefined : { cause })
}
