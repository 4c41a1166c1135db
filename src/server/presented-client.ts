/**
 * How the sender of a token request authenticated itself (RFC 6749 §2.3), read and not believed.
 *
 * One way or none. Anything else that looks like client authentication is refused.
 */
import type { PresentedClient } from '../identity/presented.ts'
import type { Form } from '../lib/form.ts'
import { refuse } from '../refusal.ts'
import { ASSERTION_TYPE, refuseOtherWays } from './client-auth.ts'

const JWT_SPIFFE_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'

/** What an assertion of each type is. */
const METHODS = new Map<string, 'private_key_jwt' | 'spiffe_jwt'>([
  [ASSERTION_TYPE, 'private_key_jwt'],
  [JWT_SPIFFE_ASSERTION, 'spiffe_jwt'],
])

/**
 * An assertion, or else the certificate together with a `client_id` (RFC 8705 §2). With an assertion
 * the certificate is no second way to authenticate: it is the key, and further evidence of who holds
 * it. A `client_id` with neither authenticates nobody and means nothing.
 *
 * @param proved whether the request comes with a certificate
 * @throws {Refusal} `client_rejected`
 */
export function readClient(
  form: Form,
  { authorization, proved }: { authorization: string | undefined; proved: boolean },
): PresentedClient | undefined {
  refuseOtherWays(form, authorization)
  const clientId = form.get('client_id')
  const assertion = form.get('client_assertion')
  const type = form.get('client_assertion_type')
  if (assertion === undefined && type === undefined) {
    return clientId !== undefined && proved ? { method: 'spiffe_x509', clientId } : undefined
  }
  const method = METHODS.get(type ?? '')
  if (method === undefined) reject('client_assertion_type is missing or unknown')
  if (assertion === undefined) reject('client_assertion is missing')
  return { method, assertion, clientId }
}

/** Whether the request says that the certificate is its client authentication. */
export function namesCertificate(form: Form): boolean {
  return !form.has('client_assertion') && (form.get('client_id') ?? '').startsWith('spiffe://')
}

/** Whether it is a client that no registration is needed for: what it has is an SVID. */
export function isSpiffeClient(form: Form): boolean {
  return form.get('client_assertion_type') === JWT_SPIFFE_ASSERTION || namesCertificate(form)
}

function reject(detail: string): never {
  refuse({ code: 'client_rejected', detail })
}
