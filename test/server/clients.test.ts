import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { after, before, test } from 'node:test'
import { OAuthMetadataSchema } from '@modelcontextprotocol/sdk/shared/auth.js'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import { Refusal } from '../../src/refusal.ts'
import { clientAuthenticator } from '../../src/server/client-auth.ts'
import { signJws } from '../../src/token/jws.ts'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import {
  AGENT,
  assertion,
  claimsOf,
  exchangeForm,
  type Fixture,
  JWT_TYPE,
  postToken,
  RESOURCE,
  seconds,
  send,
  startFixture,
  TOKEN_EXCHANGE,
  testClient,
  tokenFrom,
  transfer,
} from './fixture.ts'

const admin = testClient('admin', { scopes: ['writ:admin', 'writ:introspect'] })
const server = testClient('notes-server', { scopes: ['writ:introspect'], resources: [RESOURCE] })
const stranger = testClient('other-server', {
  scopes: ['writ:introspect'],
  resources: ['https://other.example/mcp'],
})

let fixture: Fixture
before(async () => {
  const clients = [admin, server, stranger].map(({ client }) => client)
  fixture = await startFixture({ nonces: true, clients })
})
after(() => fixture.close())

const nonce = () => fixture.broker.nonces!.issue(seconds())
const clientForm = (who = admin, claims = {}, extra: Record<string, string> = {}) =>
  new URLSearchParams({
    grant_type: 'client_credentials',
    ...assertion(fixture.issuer, who, claims),
    ...extra,
  })
const issueToken = (key = generateSenderKey()) => tokenFrom(fixture, { nonce: nonce(), key })
const introspect = (token: string, who = admin, claims = {}) =>
  send(`${fixture.issuer}/introspect`, {
    body: new URLSearchParams({ token, ...assertion(fixture.issuer, who, claims) }),
  })
const revoke = (token: string, who = admin) =>
  send(`${fixture.issuer}/revoke`, {
    body: new URLSearchParams({ token, ...assertion(fixture.issuer, who) }),
  })

test('oauth4webapi discovers the broker and obtains a token through the documented request', async () => {
  const issuer = new URL(fixture.issuer)
  const insecure = { [oauth.allowInsecureRequests]: true }
  const as = await oauth
    .discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    .then((response) => oauth.processDiscoveryResponse(issuer, response))
  const client = { client_id: AGENT }
  const keys = await oauth.generateKeyPair('ES256')
  const DPoP = oauth.DPoP({}, keys)
  const subjectToken = await fixture.svid()
  const request = () =>
    oauth.genericTokenEndpointRequest(
      as,
      client,
      oauth.None(),
      TOKEN_EXCHANGE,
      new URLSearchParams({
        resource: RESOURCE,
        subject_token: subjectToken,
        subject_token_type: JWT_TYPE,
        authorization_details: transfer(),
      }),
      { DPoP, ...insecure },
    )
  const process = async () => oauth.processGenericTokenEndpointResponse(as, client, await request())
  // The first answer asks for a nonce; the library has noted it, and the second succeeds.
  await assert.rejects(process(), (error) => oauth.isDPoPNonceError(error))
  const result = await process()
  assert.equal(result.token_type, 'dpop')
  assert.equal(claimsOf(result.access_token).client_id, AGENT)
  assert.equal(result.authorization_details?.[0]?.type, 'mcp_action')
})

test('openid-client obtains client credentials with private_key_jwt', async () => {
  const key = await crypto.subtle.importKey(
    'jwk',
    admin.privateKey.export({ format: 'jwk' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    true,
    ['sign'],
  )
  const config = await openid.discovery(
    new URL(fixture.issuer),
    'admin',
    undefined,
    openid.PrivateKeyJwt({ key, kid: admin.kid }),
    { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
  )
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
  const result = await openid.clientCredentialsGrant(
    config,
    { scope: 'writ:admin', resource: fixture.issuer },
    { DPoP },
  )
  assert.equal(result.token_type, 'dpop')
  const claims = claimsOf(result.access_token)
  assert.deepEqual(
    [claims.client_id, claims.scope, claims.aud],
    ['admin', 'writ:admin', fixture.issuer],
  )
  assert.ok((claims.cnf as { jkt: string }).jkt)
  const record = fixture.records.at(-1)!
  assert.deepEqual(
    [record.outcome, record.door, record.jti],
    ['issued', 'client_credentials', claims.jti],
  )

  const active = await openid.tokenIntrospection(config, result.access_token)
  assert.equal(active.active, true)
  await openid.tokenRevocation(config, result.access_token)
  assert.deepEqual(await openid.tokenIntrospection(config, result.access_token), { active: false })
})

test('what is advertised parses in the MCP SDK, and every endpoint of it exists', async () => {
  const url = `${fixture.issuer}/.well-known/oauth-authorization-server`
  const { body, headers } = await send(url)
  assert.match(headers['content-type']!, /^application\/json/)
  OAuthMetadataSchema.parse(body)
  assert.equal(body.issuer, fixture.issuer)
  for (const [name, endpoint] of Object.entries(body)) {
    if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue
    assert.notEqual((await send(String(endpoint))).status, 404, name)
  }
  const authorize = await send(String(body.authorization_endpoint))
  assert.deepEqual([authorize.status, authorize.body.error], [400, 'unauthorized_client'])
  assert.ok(!(body.grant_types_supported as string[]).includes('authorization_code'))
})

test('no route of oidc-provider is open but the token endpoint', async () => {
  for (const path of [
    '/auth',
    '/me',
    '/session/end/confirm',
    '/token/introspection',
    '/request',
    '/.well-known/openid-configuration',
    '/jwks/',
  ]) {
    const { status } = await send(`${fixture.issuer}${path}`)
    assert.equal(status, 404, path)
  }
})

test('a nonce is demanded at both paths, and every answer brings a fresh one', async () => {
  for (const form of [await exchangeForm(fixture), clientForm()]) {
    const key = generateSenderKey()
    const first = await postToken(fixture, form, { key })
    assert.deepEqual([first.status, first.body.error], [400, 'use_dpop_nonce'])
    assert.equal(fixture.records.at(-1)!.reason, 'nonce_required')
    const second = await postToken(fixture, form, {
      key,
      nonce: String(first.headers['dpop-nonce']),
    })
    assert.equal(second.status, 200, second.text)
    assert.ok(fixture.broker.nonces!.accepts(String(second.headers['dpop-nonce']), seconds()))
    const wrong = await postToken(fixture, form, { key, nonce: 'A'.repeat(32) })
    assert.equal(wrong.body.error, 'use_dpop_nonce')
  }
})

const later = () => Math.floor(seconds()) + 100_000
const badAssertions: [string, () => URLSearchParams][] = [
  ['another audience', () => clientForm(admin, { aud: 'https://other.example' })],
  [
    'the issuer and another audience',
    () => clientForm(admin, { aud: [fixture.issuer, 'https://other.example'] }),
  ],
  ['the token endpoint as audience', () => clientForm(admin, { aud: `${fixture.issuer}/token` })],
  ['no expiry', () => clientForm(admin, { exp: undefined })],
  ['a past expiry', () => clientForm(admin, { exp: 1 })],
  ['an expiry far ahead', () => clientForm(admin, { exp: later() })],
  ['a start in the future', () => clientForm(admin, { nbf: Math.floor(seconds()) + 60 })],
  ['no jti', () => clientForm(admin, { jti: undefined })],
  ['a jti that is no text', () => clientForm(admin, { jti: 7 })],
  ['another issuer', () => clientForm(admin, { iss: 'notes-server' })],
  [
    'a header that says where its key is',
    () => {
      const form = clientForm()
      const claims = claimsOf(form.get('client_assertion'))
      const { kid, privateKey: key } = admin
      const head = { typ: 'JWT', jku: 'https://other.example/jwks' }
      const signer = { kid, algorithm: 'ES256', key, publicJwk: {} } as const
      form.set('client_assertion', signJws(head, claims as never, signer))
      return form
    },
  ],
  ['an unknown client', () => clientForm(testClient('nobody', {}))],
  ['the key of another client', () => clientForm({ ...admin, privateKey: server.privateKey })],
  [
    'a key of nobody',
    () =>
      clientForm({
        ...admin,
        privateKey: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
      }),
  ],
]
for (const [title, make] of badAssertions) {
  test(`a client assertion with ${title} is refused at every endpoint`, async () => {
    const before = fixture.records.length
    const answer = await postToken(fixture, make(), { nonce: nonce() })
    assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'], answer.text)
    assert.equal(typeof fixture.records.at(-1)?.key, 'string')
    const form = make()
    form.set('token', 'x')
    for (const path of ['introspect', 'revoke']) {
      const other = await send(`${fixture.issuer}/${path}`, { body: form })
      assert.deepEqual([other.status, other.body.error], [401, 'invalid_client'], path)
    }
    const reasons = fixture.records.slice(before).map(({ reason }) => reason)
    assert.deepEqual(reasons, ['client_rejected', 'client_rejected', 'client_rejected'])
  })
}

test('client credentials without a proof are refused, so every token has a sender', async () => {
  const { status, body } = await postToken(fixture, clientForm(), { proof: [] })
  assert.deepEqual([status, body.error], [400, 'invalid_dpop_proof'])
})

test('a client gets the scopes it has and tokens for the broker alone', async () => {
  const tooMuch = await postToken(fixture, clientForm(server, {}, { scope: 'writ:admin' }), {
    nonce: nonce(),
  })
  assert.deepEqual([tooMuch.status, tooMuch.body.error], [400, 'invalid_scope'])
  const mcp = await postToken(fixture, clientForm(admin, {}, { resource: RESOURCE }), {
    nonce: nonce(),
  })
  assert.deepEqual([mcp.status, mcp.body.error], [401, 'invalid_client'])
})

test('shared secrets are not a way in', async () => {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: 'admin',
    client_secret: 'x',
  })
  const { status } = await postToken(fixture, form, { nonce: nonce() })
  assert.ok(status === 400 || status === 401)
  const headers = { authorization: `Basic ${Buffer.from('admin:x').toString('base64')}` }
  const basic = await postToken(
    fixture,
    new URLSearchParams({ grant_type: 'client_credentials' }),
    {
      nonce: nonce(),
      headers,
    },
  )
  assert.equal(basic.status, 401)
})

test('of forty uses of one client assertion at once exactly one succeeds, in twenty rounds', async () => {
  for (let round = 0; round < 20; round += 1) {
    const form = clientForm()
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => postToken(fixture, form, { nonce: nonce() })),
    )
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  }
})

test('of forty uses of one proof with forty assertions exactly one succeeds, in twenty rounds', async () => {
  for (let round = 0; round < 20; round += 1) {
    const url = `${fixture.issuer}/token`
    const proof = makeProof(generateSenderKey(), {
      method: 'POST',
      url,
      now: seconds(),
      nonce: nonce(),
    })
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => postToken(fixture, clientForm(), { proof })),
    )
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  }
})

test('an assertion that a store may have seen and forgotten is refused everywhere', async () => {
  // The fixture's store remembers one minute.
  const cases: [Record<string, unknown>, boolean][] = [
    [{ iat: seconds() - 30, exp: seconds() + 30 }, true],
    [{ iat: seconds() - 120, exp: seconds() + 30 }, false],
    [{ iat: undefined, exp: seconds() + 290 }, true],
    [{ iat: undefined, exp: seconds() + 30 }, false],
  ]
  for (const [claims, counts] of cases) {
    const answers = [
      await postToken(fixture, clientForm(admin, claims), { nonce: nonce() }),
      await introspect('x', admin, claims),
    ]
    for (const { status, body } of answers) {
      assert.equal(status, counts ? 200 : 401)
      if (!counts) assert.equal(body.error, 'invalid_client')
    }
  }
})

test('an assertion used at one endpoint is used up at the others', async () => {
  const form = clientForm()
  assert.equal((await postToken(fixture, form, { nonce: nonce() })).status, 200)
  form.set('token', 'x')
  assert.equal((await send(`${fixture.issuer}/introspect`, { body: form })).status, 401)
})

test('introspection tells the audience of a token, and an admin, what it is', async () => {
  const key = generateSenderKey()
  const token = await issueToken(key)
  for (const who of [admin, server]) {
    const { status, body, headers } = await introspect(token, who)
    assert.equal(status, 200)
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(body.active, true)
    assert.deepEqual(body.cnf, { jkt: key.jkt })
    assert.equal(body.token_type, 'DPoP')
    const { active, token_type, ...claims } = body
    assert.deepEqual(claims, claimsOf(token))
  }
})

const inactive: [string, (token: string) => string][] = [
  ['a token that is none', () => 'x'],
  ['a changed token', (token) => token.replace(/\.[^.]+\./, (part) => `.${part.slice(1, -2)}A.`)],
  ['a token with another signature', (token) => `${token.slice(0, -6)}AAAAAA`],
  ['a token in another spelling', (token) => `${token}=`],
]
for (const [title, change] of inactive) {
  test(`${title} is inactive and nothing else`, async () => {
    assert.deepEqual((await introspect(change(await issueToken()))).body, { active: false })
  })
}

const forged: [string, object, object][] = [
  ['a text of another kind signed with our key', { typ: 'writ-feed+jwt' }, {}],
  ['a token of ours that names another issuer', {}, { iss: 'https://other.example' }],
  ['a token that has expired', {}, { exp: Math.floor(seconds()) - 1 }],
  ['a token without a session', {}, { sid: undefined }],
]
for (const [title, header, change] of forged) {
  test(`${title} is inactive`, async () => {
    const claims = { ...claimsOf(await issueToken()), ...change }
    const sign = (head: object, body: object) =>
      signJws(
        { typ: 'at+jwt', ...head },
        JSON.parse(JSON.stringify(body)),
        fixture.parts.keys.current(seconds()),
      )
    assert.equal((await introspect(sign({}, claimsOf(await issueToken())))).body.active, true)
    assert.deepEqual((await introspect(sign(header, claims))).body, { active: false })
  })
}

test('a token whose use is known to be spent is inactive', async () => {
  const hit = await startFixture({
    clients: [admin.client],
    parts: { isSpent: async (claims) => claims.sub === AGENT },
  })
  const { body } = await postToken(hit, await exchangeForm(hit))
  const answer = await send(`${hit.issuer}/introspect`, {
    body: new URLSearchParams({
      token: String(body.access_token),
      ...assertion(hit.issuer, admin),
    }),
  })
  assert.deepEqual(answer.body, { active: false })
  await hit.close()
})

test('a token for another resource is nobody else’s business', async () => {
  assert.deepEqual((await introspect(await issueToken(), stranger)).body, { active: false })
})

test('introspection without client authentication is 401', async () => {
  const body = new URLSearchParams({ token: await issueToken() })
  assert.equal((await send(`${fixture.issuer}/introspect`, { body })).status, 401)
})

test('an admin revokes any token, a server none that was issued to an agent', async () => {
  const token = await issueToken()
  const refused = await revoke(token, server)
  assert.deepEqual([refused.status, refused.body.error], [400, 'unauthorized_client'])
  const record = fixture.records.findLast(({ door }) => door === 'revocation')
  assert.deepEqual([record?.outcome, record?.reason], ['refused', 'client_rejected'])
  assert.equal((await introspect(token)).body.active, true)
  assert.equal((await revoke(token)).status, 200)
  assert.deepEqual((await introspect(token)).body, { active: false })
  const event = fixture.records.findLast(({ door }) => door === 'revocation')
  const { jti } = claimsOf(token)
  assert.deepEqual([event?.outcome, event?.reason, event?.jti], ['event', 'revoked', jti])
  const { target, by, id } = (event?.evidence ?? {}) as Record<string, unknown>
  assert.deepEqual([target, by], [{ kind: 'jti', value: jti }, 'client:admin'])
  assert.equal(typeof id, 'string')
})

test('revoking what is unknown is 200 as well', async () => {
  assert.equal((await revoke('x')).status, 200)
})

test('a revoked agent gets no token', async () => {
  const path = '/agents/stopped'
  const subject_token = await fixture.svid({ path })
  const target = { kind: 'agent', value: `spiffe://corp.test${path}` } as const
  await fixture.parts.publisher.revoke({ target, reason: 'test', by: 'test' })
  let answer = await postToken(fixture, await exchangeForm(fixture, { subject_token }), {
    nonce: nonce(),
  })
  for (let i = 0; i < 50 && answer.status === 200; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    answer = await postToken(fixture, await exchangeForm(fixture, { subject_token }), {
      nonce: nonce(),
    })
  }
  assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_request'])
  assert.equal(fixture.records.at(-1)!.reason, 'revoked')
})

for (const [title, broken] of [
  [
    'a store that cannot be asked about an assertion',
    {
      ledger: {
        spend: async (id: string) => {
          if (id.startsWith('a:')) throw new Refusal({ code: 'ledger_unavailable', detail: 'x' })
          return true
        },
      },
    },
  ],
  [
    'an audit that cannot be written',
    {
      audit: {
        record: () => Promise.reject(new Refusal({ code: 'audit_unavailable', detail: 'x' })),
      },
    },
  ],
] as const) {
  test(`${title} means no client token, and 503`, async () => {
    const hit = await startFixture({ clients: [admin.client], broker: broken })
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      ...assertion(hit.issuer, admin),
    })
    const { status, body } = await postToken(hit, form)
    assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'])
    // A refusal that cannot be recorded is none either.
    const unknown = assertion(hit.issuer, testClient('nobody', {}))
    const refused = await postToken(
      hit,
      new URLSearchParams({ ...Object.fromEntries(form), ...unknown }),
    )
    assert.equal(refused.status, 'audit' in broken ? 503 : 401)
    await hit.close()
  })
}

test('a client has no name of a workload that it is not, nor of a person', () => {
  const named = (clientId: string, workload?: string) => {
    const { client } = testClient(clientId, workload === undefined ? {} : { workload })
    const { issuer, ledger } = fixture.broker
    return () => clientAuthenticator({ clients: [client], issuer, ledger })
  }
  for (const id of [
    AGENT,
    'SPIFFE://corp.test/agents/report-bot',
    'oidc:ci:1',
    'user:corp:alice',
  ]) {
    assert.throws(named(id), TypeError)
  }
  assert.throws(named(AGENT, 'spiffe://corp.test/agents/other'), TypeError)
  named(AGENT, AGENT)()
  named('users')()
})

test('a client that asks for another kind of token gets none of its own instead', async () => {
  const type = 'urn:writ:params:oauth:token-type:delegation'
  const form = clientForm(admin, {}, { requested_token_type: type })
  const { status, body } = await postToken(fixture, form, { nonce: nonce() })
  assert.equal(status, 400)
  assert.equal(body.access_token, undefined)
})
