/**
 * `private_key_jwt` (RFC 7523 §2.2, §3) at the introspection and revocation endpoints.
 *
 * oidc-provider checks it at the token endpoint, but its own introspection and revocation refuse
 * every JWT before they look who asks, and our tokens are JWTs. Both spend the same id, so an
 * assertion is good once, wherever it is sent.
 */
import type { Ledger } from '../ledger/ledger.ts'
import type { JsonObject } from '../lib/json.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { Algorithm } from '../token/algorithm.ts'
import { hashStrings } from '../token/hash-strings.ts'
import { JwsError, parseJws, verifyJws } from '../token/jws.ts'
import { type LocalKeySet, localKeySet } from '../token/key-set.ts'
import type { Form } from './form.ts'
import { CLIENT_ALGORITHMS } from './metadata.ts'
import type { Client } from './parts.ts'

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const ASSERTION_MAX_SECONDS = 300
export const CLOCK_SKEW_SECONDS = 5
const MAX_ASSERTION_BYTES = 8 * 1024

/** When an assertion can have been made at the earliest; one that does not say may be as old as its end allows. */
export function madeFrom({ iat, exp }: { readonly iat?: unknown; readonly exp: number }): number {
  return (typeof iat === 'number' ? iat : exp - ASSERTION_MAX_SECONDS) - CLOCK_SKEW_SECONDS
}

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
  const id = `a:${hashStrings([assertion.clientId, assertion.jti])}`
  try {
    return await ledger.spend(id, assertion.until, earliest)
  } catch (error) {
    if (error instanceof Refusal && error.reason.code === 'token_before_epoch') return false
    throw error
  }
}

/** Why this assertion's claims are not acceptable; `undefined` when they are. One rule for all doors. */
export function assertionFault(
  payload: Readonly<Record<string, unknown>>,
  { issuer, now }: { readonly issuer: string; readonly now: number },
): string | undefined {
  const { iss, sub, aud, exp, nbf, iat, jti } = payload
  if (typeof sub !== 'string' || iss !== sub) return 'iss and sub must be the client id'
  // The issuer alone: an assertion made for two servers could be replayed by one at the other.
  const audience = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  if (audience !== issuer) return 'aud must be the issuer alone'
  if (typeof exp !== 'number' || !(now < exp + CLOCK_SKEW_SECONDS)) return 'exp is missing or past'
  if (exp > now + ASSERTION_MAX_SECONDS + CLOCK_SKEW_SECONDS) return 'exp is too far ahead'
  for (const from of [nbf, iat]) {
    if (from === undefined) continue
    if (typeof from !== 'number' || from > now + CLOCK_SKEW_SECONDS) return 'it is not valid yet'
  }
  if (typeof jti !== 'string' || jti.length === 0 || jti.length > 256) return 'jti is missing'
  return undefined
}

/** Authenticates the sender of a form. */
export type AuthenticateClient = (form: Form, now: number) => Promise<Client>

/** @returns a check that throws `Refusal` `client_rejected` or `ledger_unavailable` */
export function clientAuthenticator(options: {
  readonly clients: readonly Client[]
  readonly issuer: string
  readonly ledger: Pick<Ledger, 'spend'>
}): AuthenticateClient {
  const { issuer, ledger } = options
  const known = new Map<string, { client: Client; keys: LocalKeySet }>(
    options.clients.map((client) => [
      client.clientId,
      {
        client,
        keys: localKeySet(
          client.jwks as unknown as JsonObject,
          CLIENT_ALGORITHMS as readonly Algorithm[],
        ),
      },
    ]),
  )
  return async (form, now) => {
    const text = form.get('client_assertion')
    if (text === undefined || form.get('client_assertion_type') !== ASSERTION_TYPE) {
      reject('expected private_key_jwt')
    }
    const { header, payload, ...jws } = parse(text)
    const found = typeof payload.sub === 'string' ? known.get(payload.sub) : undefined
    if (found === undefined) reject('unknown client')
    const kid = typeof header.kid === 'string' ? header.kid : undefined
    const key = found.keys.find(kid, String(header.alg))
    if (key === undefined || !verifyJws({ header, ...jws }, key)) reject('signature')
    const fault = assertionFault(payload, { issuer, now })
    if (fault !== undefined) reject(fault)
    const { clientId } = found.client
    if ((form.get('client_id') ?? clientId) !== clientId) reject('client_id differs')
    const { jti, exp, iat } = payload as { jti: string; exp: number; iat?: number }
    const used = { clientId, jti, until: exp + CLOCK_SKEW_SECONDS }
    if (!(await spendAssertion(ledger, used, madeFrom({ iat, exp })))) reject('assertion replayed')
    return found.client
  }
}

function parse(text: string) {
  try {
    return parseJws(text, { maxBytes: MAX_ASSERTION_BYTES })
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    reject('assertion form')
  }
}

function reject(detail: string): never {
  refuse({ code: 'client_rejected', detail })
}
