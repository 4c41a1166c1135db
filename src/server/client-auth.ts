/**
 * `private_key_jwt` (RFC 7523 §2.2, §3) at the introspection and revocation endpoints.
 *
 * oidc-provider checks it at the token endpoint, but its own introspection and revocation refuse
 * every JWT before they look who asks, and our tokens are JWTs. All spend the same id, so an
 * assertion is good once, wherever it is sent. Its rules are in `identity/client-assertion.ts`.
 */
import { assertionSpendId, assertionVerifier } from '../identity/client-assertion.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Form } from '../lib/form.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { Client } from './parts.ts'

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/**
 * Uses an assertion up; two assertions never share what is spent.
 *
 * @param earliest see `madeFrom`: a store that has lost something may have seen the use before
 * @returns false when it was used before, or may have been
 */
export async function spendAssertion(
  ledger: Pick<Ledger, 'spend'>,
  assertion: { readonly clientId: string; readonly jti: string; readonly until: number },
  earliest: number,
): Promise<boolean> {
  const { clientId, jti, until } = assertion
  return await spendOnce(ledger, { id: assertionSpendId(clientId, jti), until, earliest })
}

async function spendOnce(
  ledger: Pick<Ledger, 'spend'>,
  { id, until, earliest }: { id: string; until: number; earliest: number },
): Promise<boolean> {
  try {
    return await ledger.spend(id, until, earliest)
  } catch (error) {
    if (error instanceof Refusal && error.reason.code === 'token_before_epoch') return false
    throw error
  }
}

/**
 * Authenticates the sender of a form.
 *
 * @param authorization the request's header of that name
 * @param now seconds since the epoch
 */
export type AuthenticateClient = (
  form: Form,
  authorization: string | undefined,
  now: number,
) => Promise<Client>

/** How the ids of workloads and people begin, beside which clients stand in tokens and in the audit. */
const ID_OF_ANOTHER = /^(?:spiffe:\/\/|oidc:|user:)/i

/**
 * @returns a check that throws `Refusal` `client_rejected` or `ledger_unavailable`
 * @throws {TypeError} for a client named as a workload or a person that it is not: what was issued to
 *   that one would be its own to revoke
 */
export function clientAuthenticator(options: {
  readonly clients: readonly Client[]
  readonly issuer: string
  readonly ledger: Pick<Ledger, 'spend'>
}): AuthenticateClient {
  for (const { clientId, workload } of options.clients) {
    if (ID_OF_ANOTHER.test(clientId) && clientId !== workload) {
      throw new TypeError(`client ${clientId}: its id is that of a workload or a person`)
    }
  }
  const verify = assertionVerifier(options)
  return async (form, authorization, now) => {
    refuseOtherWays(form, authorization)
    const text = form.get('client_assertion')
    if (text === undefined || form.get('client_assertion_type') !== ASSERTION_TYPE) {
      reject('expected private_key_jwt')
    }
    const { client, spend } = verify(text, form.get('client_id'), now)
    if (!(await spendOnce(options.ledger, spend))) reject('assertion replayed')
    return client
  }
}

/**
 * A client authenticates in one way (RFC 6749 §2.3), and neither of these is one of ours: what nobody
 * checks must not look as if it had been accepted.
 *
 * @throws {Refusal} `client_rejected`
 */
export function refuseOtherWays(form: Form, authorization: string | undefined): void {
  if (authorization !== undefined) reject('no Authorization header is taken here')
  if (form.has('client_secret')) reject('no client secrets are taken here')
}

function reject(detail: string): never {
  refuse({ code: 'client_rejected', detail })
}
