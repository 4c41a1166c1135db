/** What to do about each way in which a proof of identity can fall short: one line each, in words. */
import type { DelegationCheck, IdentityCheck, Reason } from '../refusal.ts'

const IDENTITY: Readonly<Record<IdentityCheck, string>> = {
  form: 'give it as it was issued: three parts in base64url, nothing between or around them',
  header:
    'have it issued without header parameters that choose a key or change what is signed (jku, x5u, x5c, jwk, crit …)',
  algorithm:
    'have it signed with an algorithm that is listed for its issuer; shared secrets never are',
  key: 'compare the key it names with those its issuer publishes now; after a rotation, ask for a new one',
  signature: 'ask its issuer for a new one: this one was changed, or somebody else has signed it',
  spiffe_id:
    'register the workload under a SPIFFE ID with a path, such as spiffe://corp.example/agents/x',
  audience:
    "ask for one whose audience is this broker's issuer, or what the trust entry says, alone",
  expiry: 'ask for a new one; if this is new, compare the clocks, and its lifetime with 24 hours',
  claims:
    'compare its claims with what its kind must have; an attribute must be text or a list of text',
  token_type:
    'send it with the token type it has, or list that type in token_types of its trust entry',
  typ: "send the workload's or the user's own token: one of the broker's, or of another kind, proves no identity",
  issuer: 'have it issued with iss exactly as the trust entry writes it',
  age: 'ask for a new one right before it is used, or raise max_age_seconds of its trust entry',
  subject:
    'have it issued for a subject of the kind its trust entry is about, with nothing invisible in it',
  active: 'the cluster says that its pod or service account is gone: ask from a pod that runs',
  certificate:
    'issue it as RFC 5280 and X509-SVID say: version 3, strict DER, no unknown critical extension',
  chain:
    'give its intermediates with it, and compare its root with the bundle of its own trust domain',
  key_usage:
    'issue it with critical digitalSignature, for both sides of TLS, and not to sign certificates',
  uri_san: 'issue it with exactly one URI in its subject alternative name: the SPIFFE ID',
  resumed: 'connect anew: a resumed TLS session proves nothing',
}

const DELEGATION: Readonly<Record<DelegationCheck, string>> = {
  may_act:
    'have it issued with a may_act that names one workload of this configuration, and nothing else',
  actor: 'the token of whoever acts must be a workload’s own',
  client: 'the client it was issued to must be the workload that acts',
  depth: 'fewer agents must act one for another',
  key: 'use the key that it names',
  resource: 'ask for a server that it is for',
  scope: 'ask for a token of a scope that it names',
}

/** @returns undefined when `docs/refusals.md` is all there is to say */
export function adviceOn(reason: Reason): string | undefined {
  switch (reason.code) {
    case 'identity_invalid':
      return IDENTITY[reason.check]
    case 'delegation_refused':
      return DELEGATION[reason.check]
    case 'identity_unknown_issuer':
      return 'add its trust domain or issuer to trust in the configuration, if it is to be believed'
    case 'client_rejected':
      return 'register the client with its public keys and a workload, and make a new assertion for each use'
    default:
      return undefined
  }
}
