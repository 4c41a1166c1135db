// The forms of token requests, by what they prove. What a test adds replaces what is there.
import assert from 'node:assert/strict'
import { generateSenderKey, type SenderKey } from '../../src/token/proof.ts'
import {
  AGENT,
  assertion,
  type Fixture,
  JWT_BEARER,
  JWT_TYPE,
  postToken,
  RESOURCE,
  startFixture,
  TOKEN_EXCHANGE,
  testClient,
  transfer,
} from './fixture.ts'
import { CEILING, DELEGATION, ID_TOKEN, idToken, openPeople } from './people.ts'

export const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'
/** The agent that work is handed on to. */
export const NEXT = 'spiffe://corp.test/agents/next'
export const bot = testClient('bot', { workload: AGENT })
export const plain = testClient('plain', {})
export const admin = testClient('admin', { scopes: ['writ:admin', 'writ:introspect'] })

export type Fields = Record<string, string>

/** A broker that knows these clients, and an identity provider. */
export function startWithPeople(): Promise<Fixture> {
  return startFixture({
    clients: [bot, plain, admin].map(({ client }) => client),
    users: async (issuer) => [await openPeople(issuer)],
  })
}

export function asksOf(fixture: Fixture) {
  const svid = (path?: string) => fixture.svid(path === undefined ? {} : { path })
  const target = (): Fields => ({ resource: RESOURCE, authorization_details: transfer() })
  const spiffe = async (path?: string): Promise<Fields> => ({
    client_assertion_type: JWT_SPIFFE,
    client_assertion: await svid(path),
  })
  const exchange = (subject: string, type: string, more: Fields = {}): Fields => ({
    grant_type: TOKEN_EXCHANGE,
    subject_token: subject,
    subject_token_type: type,
    ...target(),
    ...more,
  })
  const bearer = (token: string, more: Fields = {}): Fields => ({
    grant_type: JWT_BEARER,
    assertion: token,
    ...target(),
    ...more,
  })
  const actor = async (path?: string): Promise<Fields> => ({
    actor_token: await svid(path),
    actor_token_type: JWT_TYPE,
  })
  const alice = (claims = {}) => idToken(fixture.issuer, claims)
  const post = (fields: Fields, options: Parameters<typeof postToken>[2] = {}) =>
    postToken(fixture, new URLSearchParams(fields), options)
  const keyOf = (who = bot, claims = {}) => assertion(fixture.issuer, who, claims)

  /** Alice's work, which the agent hands on. */
  async function delegated(nextKey: SenderKey = generateSenderKey()) {
    const { resource: _, ...asked } = exchange(alice(), ID_TOKEN, {
      ...(await actor()),
      requested_token_type: DELEGATION,
      authorization_details: CEILING,
      may_act: NEXT,
      may_act_jkt: nextKey.jkt,
    })
    const answer = await post(asked)
    assert.equal(answer.status, 200, answer.text)
    return { answer, nextKey, token: String(answer.body.access_token) }
  }
  const byNext = async (token: string) => exchange(token, DELEGATION, await actor('/agents/next'))

  return { target, spiffe, exchange, bearer, actor, alice, post, keyOf, delegated, byNext }
}
