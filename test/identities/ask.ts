// Token requests by every door, and what the broker answered and wrote down.
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { JsonObject } from '../../src/lib/json.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { pem } from '../identity/x509-maker.ts'
import { assertion, claimsOf, type TestClient } from '../server/fixture.ts'
import type { Identity } from '../server/tls.ts'
import { seconds } from './domain.ts'
import { AGENT_PATH, botClient, type World } from './world.ts'

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'
const TYPE = 'urn:ietf:params:oauth:token-type:'
export const JWT = `${TYPE}jwt`
export const DELEGATION = 'urn:writ:params:oauth:token-type:delegation'

export type Fields = Readonly<Record<string, string>>

/** One token request. */
export interface Ask {
  readonly fields: Fields
  /** Makes the proof; null sends none. A new key when not given. */
  readonly key?: SenderKey | null
  /** The whole proof, instead of one by `key`. */
  readonly proof?: string
  /** Goes over mutual TLS, with this certificate or with none. */
  readonly by?: Identity | 'nobody'
  readonly headers?: Readonly<Record<string, string>>
  /** Our own address on the way. */
  readonly from?: string
}

export interface Answered {
  readonly status: number
  readonly body: JsonObject
  readonly claims: JsonObject
}

export function send(
  url: string,
  options: {
    readonly body: string
    readonly headers: Readonly<Record<string, string>>
    readonly from?: string | undefined
    readonly tls?: object
  },
): Promise<{ status: number; text: string }> {
  const { body, headers, from, tls } = options
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const make = url.startsWith('https:') ? httpsRequest : httpRequest
  const local = from === undefined ? {} : { localAddress: from }
  const request = make(url, { agent: false, ...local, ...tls, method: 'POST', headers })
  request.on('error', reject)
  request.on('response', (response) => {
    const chunks: Buffer[] = []
    response.on('error', reject)
    response.on('data', (chunk) => chunks.push(chunk))
    response.on('end', () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
    )
  })
  request.end(body)
  return promise
}

/** How a client connects to the mTLS listener. */
export const tlsOf = (world: World, by: Identity | 'nobody') => ({
  ca: pem(world.corp.authority),
  // Its name is a SPIFFE ID; no test here is about who the broker is.
  checkServerIdentity: () => undefined,
  ...(by === 'nobody' ? {} : by),
})

export async function ask(world: World, asked: Ask): Promise<Answered> {
  const { by, key, from } = asked
  const url = `${by === undefined ? world.issuer : world.mtlsUrl}/token`
  const proof =
    asked.proof ??
    (key === null
      ? undefined
      : makeProof(key ?? generateSenderKey(), { method: 'POST', url, now: seconds() }))
  const { status, text } = await send(url, {
    body: new URLSearchParams(asked.fields).toString(),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(proof === undefined ? {} : { dpop: proof }),
      ...asked.headers,
    },
    from,
    ...(by === undefined ? {} : { tls: tlsOf(world, by) }),
  })
  const body = JSON.parse(text) as JsonObject
  const claims = typeof body.access_token === 'string' ? claimsOf(body.access_token) : {}
  return { status, body, claims: claims as JsonObject }
}

/** What is asked for when nothing else is. */
export const target = (world: World, text = 'hello', name = 'add'): Fields => {
  const resource = world.resources[0]!
  const detail = { locations: [resource], identifier: name, arguments: { text } }
  return {
    resource,
    authorization_details: JSON.stringify([
      { type: 'mcp_action', actions: ['tools/call'], ...detail },
    ]),
  }
}

/** The fields by which somebody says who asks. */
export const forms = (world: World) => ({
  exchange: (token: string, more: Fields = {}, type = JWT): Fields => ({
    grant_type: TOKEN_EXCHANGE,
    subject_token: token,
    subject_token_type: type,
    ...target(world),
    ...more,
  }),
  bearer: (token: string, more: Fields = {}): Fields => ({
    grant_type: JWT_BEARER,
    assertion: token,
    ...target(world),
    ...more,
  }),
  alone: (more: Fields = {}): Fields => ({
    grant_type: 'client_credentials',
    ...target(world),
    ...more,
  }),
  actor: (token: string = world.corp.svid(AGENT_PATH)): Fields => ({
    actor_token: token,
    actor_token_type: JWT,
  }),
  spiffe: (token: string): Fields => ({
    client_assertion_type: JWT_SPIFFE,
    client_assertion: token,
  }),
  keyed: (client: TestClient = botClient): Fields => assertion(world.issuer, client),
  /** Asks for a delegation token instead. */
  delegating: (to: string, jkt: string, resource = world.resources[0]!): Fields => ({
    requested_token_type: DELEGATION,
    may_act: to,
    may_act_jkt: jkt,
    authorization_details: JSON.stringify([
      {
        type: 'mcp_ceiling',
        locations: [resource],
        actions: ['tools/call'],
        identifiers: ['add'],
      },
    ]),
  }),
})

/** A delegation token for `to` with `key`, asked for with these proofs. */
export async function delegation(
  world: World,
  proofs: Fields,
  to: string,
  key: SenderKey,
  by: { readonly key?: SenderKey } = {},
): Promise<string> {
  const { resource: _, ...fields } = {
    ...proofs,
    ...forms(world).delegating(to, key.jkt),
  } as Record<string, string>
  const { status, body } = await ask(world, { fields, ...by })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return String(body.access_token)
}
