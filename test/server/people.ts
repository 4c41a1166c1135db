// An identity provider's tokens, and what else a delegation is asked for with.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openUserIssuer } from '../../src/identity/issuers/user-token.ts'
import { jwks, jwksKey, token } from '../identity/tokens.ts'
import { AGENT, RESOURCE, seconds } from './fixture.ts'

export const IDP = 'https://idp.test'
export const ALICE = 'user:corp:alice'
export const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token'
export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token'
export const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag'
export const DELEGATION = 'urn:writ:params:oauth:token-type:delegation'

const key = jwksKey('ES256', 'idp-1')

/** Trusted by a broker as `corp`. */
export async function openPeople(issuer: string) {
  const directory = await mkdtemp(join(tmpdir(), 'writ-idp-'))
  const jwksFile = join(directory, 'jwks.json')
  await writeFile(jwksFile, jwks(key))
  const opened = await openUserIssuer({
    alias: 'corp',
    issuer: IDP,
    keys: { jwksFile },
    audiences: [issuer],
    broker: issuer,
  })
  await rm(directory, { recursive: true })
  return opened
}

/** Alice's ID token for the broker; what is undefined is left out. */
export function idToken(audience: string, claims: Record<string, unknown> = {}): string {
  return signed({ aud: audience, ...claims }, 'JWT')
}

/** Alice's word that the agent may act for her at this broker. */
export function idJag(audience: string, claims: Record<string, unknown> = {}): string {
  return signed(
    { aud: audience, client_id: AGENT, jti: crypto.randomUUID(), resource: RESOURCE, ...claims },
    'oauth-id-jag+jwt',
  )
}

function signed(claims: Record<string, unknown>, typ: string): string {
  const iat = Math.floor(seconds())
  const all = { iss: IDP, sub: 'alice', iat, exp: iat + 200, ...claims }
  return token(key, all, { header: { typ } })
}

export const CEILING = JSON.stringify([
  {
    type: 'mcp_ceiling',
    locations: [RESOURCE],
    actions: ['tools/call'],
    identifiers: ['transfer_funds'],
  },
])
