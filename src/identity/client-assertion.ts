/** `private_key_jwt` (RFC 7523 §2.2, §3), for every door that takes it: one set of rules. */
import { hash } from 'node:crypto'
import type { JsonObject } from '../lib/json.ts'
import { refuse } from '../refusal.ts'
import type { Algorithm } from '../token/algorithm.ts'
import { hashStrings } from '../token/hash-strings.ts'
import { type Jws, JwsError, parseJws, verifyJws } from '../token/jws.ts'
import { type LocalKeySet, localKeySet } from '../token/key-set.ts'
import { REFUSED_PARAMETERS } from './issuers/issued-token.ts'

const ASSERTION_MAX_SECONDS = 300
export const CLOCK_SKEW_SECONDS = 5
/** What a registered client may sign with. */
export const CLIENT_ALGORITHMS = ['ES256', 'ES384', 'PS256', 'RS256', 'Ed25519', 'EdDSA'] as const
const MAX_ASSERTION_BYTES = 8 * 1024

/** A program that is registered with its public keys. */
export interface KeyedClient {
  readonly clientId: string
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] }
}

export interface VerifiedAssertion<C extends KeyedClient> {
  readonly client: C
  readonly expiresAt: number
  /** A hash that names the assertion; never the assertion. */
  readonly credential: string
  /** What must be spent before it counts, and from when a store must remember (`Ledger.spend`). */
  readonly spend: { readonly id: string; readonly until: number; readonly earliest: number }
}

/** When an assertion can have been made at the earliest; one that does not say may be as old as its end allows. */
export function madeFrom({ iat, exp }: { readonly iat?: unknown; readonly exp: number }): number {
  return (typeof iat === 'number' ? iat : exp - ASSERTION_MAX_SECONDS) - CLOCK_SKEW_SECONDS
}

/** The ledger id of an assertion; two of them never share it. */
export function assertionSpendId(clientId: string, jti: string): string {
  return `a:${hashStrings([clientId, jti])}`
}

/** Why this assertion's header is not acceptable: the key is the registered one, whatever it says. */
export function headerFault(header: Readonly<Record<string, unknown>>): string | undefined {
  const named = REFUSED_PARAMETERS.find((name) => Object.hasOwn(header, name))
  return named === undefined ? undefined : `the header has ${named}`
}

/** Why this assertion's claims are not acceptable; `undefined` when they are. */
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

/** @returns a check that throws `Refusal` `client_rejected`; nothing is spent yet */
export function assertionVerifier<C extends KeyedClient>(options: {
  readonly clients: readonly C[]
  readonly issuer: string
}): (text: string, clientId: string | undefined, now: number) => VerifiedAssertion<C> {
  const { issuer } = options
  const known = new Map<string, { client: C; keys: LocalKeySet }>(
    options.clients.map((client) => {
      const jwks = client.jwks as unknown as JsonObject
      const algorithms: readonly Algorithm[] = CLIENT_ALGORITHMS
      return [client.clientId, { client, keys: localKeySet(jwks, algorithms) }]
    }),
  )
  return (text, clientId, now) => {
    const jws = parse(text)
    const { header, payload } = jws
    const found = typeof payload.sub === 'string' ? known.get(payload.sub) : undefined
    if (found === undefined) reject('unknown client')
    const kid = typeof header.kid === 'string' ? header.kid : undefined
    const key = found.keys.find(kid, String(header.alg))
    if (key === undefined || !verifyJws(jws, key)) reject('signature')
    const fault = assertionFault(payload, { issuer, now })
    if (fault !== undefined) reject(fault)
    const { client } = found
    if (clientId !== undefined && clientId !== client.clientId) reject('client_id differs')
    const { jti, exp, iat } = payload as { jti: string; exp: number; iat?: number }
    return {
      client,
      expiresAt: exp,
      credential: hash('sha256', jws.signingInput, 'base64url'),
      spend: {
        id: assertionSpendId(client.clientId, jti),
        until: exp + CLOCK_SKEW_SECONDS,
        earliest: madeFrom({ iat, exp }),
      },
    }
  }
}

function parse(text: string): Jws {
  let jws: Jws
  try {
    jws = parseJws(text, { maxBytes: MAX_ASSERTION_BYTES })
  } catch (error) {
    if (!(error instanceof JwsError)) throw error
    return reject('assertion form')
  }
  if (headerFault(jws.header) !== undefined) reject('assertion form')
  return jws
}

function reject(detail: string): never {
  return refuse({ code: 'client_rejected', detail })
}
