// Clients that others wrote, at every door.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { auth, CrossAppAccessProvider, PrivateKeyJwtProvider } from '@modelcontextprotocol/client'
import { auth as authV1 } from '@modelcontextprotocol/sdk/client/auth.js'
import { PrivateKeyJwtProvider as PrivateKeyJwtProviderV1 } from '@modelcontextprotocol/sdk/client/auth-extensions.js'
import * as oauth from 'oauth4webapi'
import { Agent, fetch as undiciFetch } from 'undici'
import { createDpopFetch } from '../../src/agent/index.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import {
  AGENT,
  claimsOf,
  type Fixture,
  JWT_BEARER,
  JWT_TYPE,
  RESOURCE,
  startFixture,
  TOKEN_EXCHANGE,
  testClient,
  transfer,
} from './fixture.ts'
import { ALICE, ID_TOKEN, idJag, idToken, openPeople } from './people.ts'
import { authorityOf, identityOf, mtlsPart } from './tls.ts'

const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'
const bot = testClient('bot', { workload: AGENT })

let fixture: Fixture
let as: oauth.AuthorizationServer
let dispatcher: Agent
let thumbprint: string
before(async () => {
  fixture = await startFixture({
    nonces: true,
    clients: [bot.client],
    users: async (issuer) => [await openPeople(issuer)],
    withDomain: async (domain) => ({ mtls: await mtlsPart(domain) }),
  })
  const issuer = new URL(fixture.issuer)
  as = await oauth
    .discoveryRequest(issuer, { algorithm: 'oauth2', [oauth.allowInsecureRequests]: true })
    .then((response) => oauth.processDiscoveryResponse(issuer, response))
  const { cert, key } = await identityOf(fixture.domain, '/agents/report-bot')
  const ca = authorityOf(fixture.domain).caPem
  dispatcher = new Agent({ connect: { cert, key, ca, checkServerIdentity: () => undefined } })
  const der = Buffer.from(cert.split('-----')[2]!.replaceAll(/\s/g, ''), 'base64')
  thumbprint = certificateThumbprint(der)
})
after(async () => {
  await dispatcher.close()
  await fixture.close()
})

/** Sends over TLS, with the agent's certificate. */
const withCertificate = ((url: string, init: object) =>
  undiciFetch(url, { ...init, dispatcher } as never)) as unknown as typeof fetch

const client: oauth.Client = { client_id: AGENT }
const target = { resource: RESOURCE, authorization_details: transfer() }

/** draft-ietf-oauth-spiffe-client-auth, which the library leaves to its users. */
const spiffeJwt =
  (svid: string): oauth.ClientAuth =>
  (_as, { client_id }, body) => {
    body.set('client_id', client_id)
    body.set('client_assertion_type', JWT_SPIFFE)
    body.set('client_assertion', svid)
  }

interface Ask {
  readonly grant: string
  readonly fields?: Record<string, string>
  readonly clientAuth?: oauth.ClientAuth
  readonly client?: oauth.Client
  readonly certificate?: boolean
  readonly dpop?: boolean
}

async function ask({ grant, fields, certificate, dpop = true, ...asked }: Ask) {
  const who = { ...(asked.client ?? client), use_mtls_endpoint_aliases: certificate === true }
  const DPoP = dpop ? oauth.DPoP(who, await oauth.generateKeyPair('ES256')) : undefined
  const process = async () => {
    const response = await oauth.genericTokenEndpointRequest(
      as,
      who,
      asked.clientAuth ?? oauth.None(),
      grant,
      new URLSearchParams({ ...target, ...fields }),
      {
        [oauth.allowInsecureRequests]: true,
        ...(DPoP === undefined ? {} : { DPoP }),
        ...(certificate ? { [oauth.customFetch]: withCertificate as never } : {}),
      },
    )
    return oauth.processGenericTokenEndpointResponse(as, who, response)
  }
  try {
    return await process()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return await process()
  }
}

/** A new one for each request: the library signs it when the request is made. */
async function botKey(): Promise<oauth.ClientAuth> {
  const jwk = bot.privateKey.export({ format: 'jwk' })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const key = await crypto.subtle.importKey('jwk', jwk, algorithm, false, ['sign'])
  return oauth.PrivateKeyJwt({ key, kid: bot.kid })
}

const svid = () => fixture.svid()
/** Each: the door, and how oauth4webapi goes through it. */
const doors: [string, () => Promise<Ask>, string][] = [
  [
    'jwt-bearer with a workload token',
    async () => ({ grant: JWT_BEARER, fields: { assertion: await svid() } }),
    AGENT,
  ],
  [
    'jwt-bearer with an ID-JAG, the client authenticated by its JWT-SVID',
    async () => ({
      grant: JWT_BEARER,
      fields: { assertion: idJag(fixture.issuer) },
      clientAuth: spiffeJwt(await svid()),
    }),
    ALICE,
  ],
  [
    'token exchange with a user’s token and the agent’s as actor',
    async () => ({
      grant: TOKEN_EXCHANGE,
      fields: {
        subject_token: idToken(fixture.issuer),
        subject_token_type: ID_TOKEN,
        actor_token: await svid(),
        actor_token_type: JWT_TYPE,
      },
    }),
    ALICE,
  ],
  [
    'token exchange with a user’s token, the client authenticated by its certificate',
    async () => ({
      grant: TOKEN_EXCHANGE,
      fields: { subject_token: idToken(fixture.issuer), subject_token_type: ID_TOKEN },
      clientAuth: oauth.TlsClientAuth(),
      certificate: true,
    }),
    ALICE,
  ],
  [
    'client_credentials by jwt-spiffe',
    async () => ({ grant: 'client_credentials', clientAuth: spiffeJwt(await svid()) }),
    AGENT,
  ],
  [
    'client_credentials by private_key_jwt',
    async () => ({
      grant: 'client_credentials',
      clientAuth: await botKey(),
      client: { client_id: 'bot' },
    }),
    AGENT,
  ],
  [
    'client_credentials by a certificate, with DPoP',
    async () => ({
      grant: 'client_credentials',
      clientAuth: oauth.TlsClientAuth(),
      certificate: true,
    }),
    AGENT,
  ],
]
for (const [title, make, principal] of doors) {
  test(`oauth4webapi gets a token by ${title}`, async () => {
    const result = await ask(await make())
    assert.equal(result.token_type, 'dpop')
    assert.equal(result.authorization_details?.[0]?.type, 'mcp_action')
    const { sub, client_id, cnf } = claimsOf(result.access_token)
    assert.deepEqual([sub, client_id, Object.keys(cnf as object)], [principal, AGENT, ['jkt']])
  })
}

test('oauth4webapi gets a token that is bound to its certificate', async () => {
  const result = await ask({
    grant: 'client_credentials',
    clientAuth: oauth.TlsClientAuth(),
    certificate: true,
    dpop: false,
  })
  assert.equal(result.token_type, 'bearer')
  assert.deepEqual(claimsOf(result.access_token).cnf, { 'x5t#S256': thumbprint })
})

test('oauth4webapi understands every refusal', async () => {
  const refused = async (asked: Ask, error: string, status: number) =>
    assert.rejects(ask(asked), (thrown) => {
      assert.ok(thrown instanceof oauth.ResponseBodyError)
      assert.deepEqual([thrown.error, thrown.status], [error, status])
      return true
    })
  const other = await fixture.svid({ audience: 'https://other.test' })
  await refused({ grant: JWT_BEARER, fields: { assertion: other } }, 'invalid_grant', 400)
  const fields = { subject_token: other, subject_token_type: JWT_TYPE }
  await refused({ grant: TOKEN_EXCHANGE, fields }, 'invalid_request', 400)
  const clientAuth = spiffeJwt(other)
  await refused({ grant: 'client_credentials', clientAuth }, 'invalid_client', 401)
})

// ── The providers of MCP's SDKs ─────────────────────────────────────────────────────────────────

/** The metadata of a resource that names this broker; everything else goes where it is sent. */
function throughMetadata(send: typeof fetch): typeof fetch {
  return async (input, init) => {
    const url = String(input)
    if (!url.startsWith(new URL(RESOURCE).origin)) return await send(input, init)
    return url.includes('/.well-known/oauth-protected-resource')
      ? Response.json({ resource: RESOURCE, authorization_servers: [fixture.issuer] })
      : new Response(null, { status: 404 })
  }
}
const sdkFetch = () => throughMetadata(createDpopFetch() as typeof fetch)
const botOptions = () => ({
  clientId: 'bot',
  privateKey: bot.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
  algorithm: 'ES256',
  expectedIssuer: fixture.issuer,
})

function assertSession(token: string | undefined, principal: string): void {
  const { sub, client_id, aud, scope, cnf } = claimsOf(token)
  assert.deepEqual([sub, client_id, aud, scope], [principal, AGENT, RESOURCE, 'mcp:session'])
  assert.deepEqual(Object.keys(cnf as object), ['jkt'])
}

test('the private_key_jwt provider of MCP’s SDK v2 gets a session token', async () => {
  const provider = new PrivateKeyJwtProvider(botOptions())
  const result = await auth(provider, { serverUrl: RESOURCE, fetchFn: sdkFetch() })
  assert.equal(result, 'AUTHORIZED')
  assertSession(provider.tokens()?.access_token, AGENT)
})

test('the private_key_jwt provider of MCP’s SDK v1 gets a session token', async () => {
  const provider = new PrivateKeyJwtProviderV1(botOptions())
  const result = await authV1(provider, { serverUrl: RESOURCE, fetchFn: sdkFetch() })
  assert.equal(result, 'AUTHORIZED')
  assertSession(provider.tokens()?.access_token, AGENT)
})

test('the cross-app access provider of MCP’s SDK v2 gets a token on a user’s behalf', async () => {
  const assertionOfClient = await svid()
  // It knows only client secrets, so the way its SDK has for others is used: `addClientAuthentication`.
  class Provider extends CrossAppAccessProvider {
    addClientAuthentication(_headers: Headers, body: URLSearchParams): void {
      body.set('client_assertion_type', JWT_SPIFFE)
      body.set('client_assertion', assertionOfClient)
    }
  }
  const provider = new Provider({
    clientId: AGENT,
    clientSecret: '',
    expectedIssuer: fixture.issuer,
    assertion: ({ authorizationServerUrl, resourceUrl }) =>
      idJag(authorizationServerUrl.replace(/\/$/, ''), { resource: resourceUrl }),
  })
  const result = await auth(provider, { serverUrl: RESOURCE, fetchFn: sdkFetch() })
  assert.equal(result, 'AUTHORIZED')
  assertSession(provider.tokens()?.access_token, ALICE)
})
