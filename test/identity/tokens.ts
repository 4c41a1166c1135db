// Tokens of OpenID Connect issuers, right and wrong ones, made without the code under test.

import type { PresentedToken, ProvenToken, Prover } from '../../src/identity/presented.ts'
import type { Refusal } from '../../src/refusal.ts'
import { ISSUER, type IssuerKey, makeKey, NOW, signTexts } from './svids.ts'

export const JWT = 'urn:ietf:params:oauth:token-type:jwt'
export const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token'
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
export const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag'

/** A key as key sets publish it; `use` is left out unless it is given. */
export function jwksKey(
  alg: string,
  kid: string,
  members: Record<string, unknown> = {},
): IssuerKey {
  const key = makeKey(alg, kid)
  const { use: _, ...jwk } = key.jwk
  return { ...key, jwk: { ...jwk, ...members } }
}

export function jwks(...keys: readonly IssuerKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })
}

export interface Changes {
  readonly header?: Record<string, unknown>
  readonly claims?: Record<string, unknown>
}

/** A member set to undefined is left out. */
export function token(key: IssuerKey, claims: Record<string, unknown>, changes: Changes = {}) {
  const header = { alg: key.alg, kid: key.kid, typ: 'JWT', ...changes.header }
  const times = { aud: ISSUER, iat: NOW - 10, exp: NOW + 290 }
  const payload = { ...times, ...claims, ...changes.claims }
  return signTexts(JSON.stringify(header), JSON.stringify(payload), key)
}

export const presented = (text: string, tokenType = JWT): PresentedToken => ({
  token: text,
  tokenType,
})

export async function workloadOf(prover: Prover, text: string, now = NOW) {
  const result = await prover.proveToken(presented(text), now)
  if (result.kind !== 'workload') throw new Error('expected a workload')
  return result.workload
}

export async function userOf(prover: Prover, text: string, tokenType = JWT, now = NOW) {
  const result = await prover.proveToken(presented(text, tokenType), now)
  if (result.kind !== 'user') throw new Error('expected a user')
  return result.user
}

/** What the refusal says, as in `identity_invalid key`; the text of the token must not be in it. */
export async function refusalOf(
  prove: () => ProvenToken | Promise<ProvenToken>,
  text: string,
): Promise<string> {
  try {
    await prove()
  } catch (error) {
    const { reason } = error as Refusal
    if (reason === undefined) throw error
    const words = JSON.stringify(reason)
    for (const part of text.split('.').filter((one) => one.length > 8)) {
      if (words.includes(part)) throw new Error('the refusal repeats the token')
    }
    const evidence = 'check' in reason ? reason.check : 'issuer' in reason ? reason.issuer : ''
    return `${reason.code} ${evidence}`.trim()
  }
  return 'proven'
}
