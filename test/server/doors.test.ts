// Every way to ask for a token, and what each is told when it is not believed.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import {
  AGENT,
  assertion,
  claimsOf,
  exchangeForm,
  type Fixture,
  JWT_BEARER,
  JWT_TYPE,
  postToken,
  RESOURCE,
  send,
  startFixture,
  TOKEN_EXCHANGE,
  testClient,
  transfer,
} from './fixture.ts'
import {
  ACCESS_TOKEN,
  ALICE,
  CEILING,
  DELEGATION,
  ID_TOKEN,
  idJag,
  idToken,
  openPeople,
} from './people.ts'

const JWT_SPIFFE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe'
const NEXT = 'spiffe://corp.test/agents/next'
const bot = testClient('bot', { workload: AGENT })
const plain = testClient('plain', {})
const admin = testClient('admin', { scopes: ['writ:admin', 'writ:introspect'] })

let fixture: Fixture
before(async () => {
  fixture = await startFixture({
    clients: [bot, plain, admin].map(({ client }) => client),
    users: async (issuer) => [await openPeople(issuer)],
  })
})
after(() => fixture.close())

type Fields = Record<string, string>
const target = (): Fields => ({ resource: RESOURCE, authorization_details: transfer() })
const spiffe = async (path?: string): Promise<Fields> => ({
  client_assertion_type: JWT_SPIFFE,
  client_assertion: await fixture.svid(path === undefined ? {} : { path }),
})
const exchange = (subject: string, type: string, more: Fields = {}): Fields => ({
  grant_type: TOKEN_EXCHANGE,
  subject_token: subject,
  subject_token_type: type,
  ...target(),
  ...more,
})
const alice = (claims = {}) => idToken(fixture.issuer, claims)
const actor = async (path?: string): Promise<Fields> => ({
  actor_token: await fixture.svid(path === undefined ? {} : { path }),
  actor_token_type: JWT_TYPE,
})
const bearer = (token: string, more: Fields = {}): Fields => ({
  grant_type: JWT_BEARER,
  assertion: token,
  ...target(),
  ...more,
})
const post = (fields: Fields, options: Parameters<typeof postToken>[2] = {}) =>
  postToken(fixture, new URLSearchParams(fields), options)

/** Each: who asks how, and on whose behalf. */
const granted: [string, () => Promise<Fields> | Fields, string, string][] = [
  [
    'a workload’s own token as assertion',
    async () => bearer(await fixture.svid()),
    AGENT,
    'jwt-bearer',
  ],
  [
    'its own token, and a JWT-SVID as client assertion beside it',
    async () => bearer(await fixture.svid(), await spiffe()),
    AGENT,
    'jwt-bearer',
  ],
  [
    'a JWT-SVID as client assertion alone',
    async () => ({ grant_type: 'client_credentials', ...target(), ...(await spiffe()) }),
    AGENT,
    'client_credentials',
  ],
  [
    'the same with its client_id',
    async () => ({
      grant_type: 'client_credentials',
      client_id: AGENT,
      ...target(),
      ...(await spiffe()),
    }),
    AGENT,
    'client_credentials',
  ],
  [
    'the key of a registered client that is a workload',
    () => ({ grant_type: 'client_credentials', ...target(), ...assertion(fixture.issuer, bot) }),
    AGENT,
    'client_credentials',
  ],
  [
    'an ID token, and the agent’s own token as actor',
    async () => exchange(alice(), ID_TOKEN, await actor()),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID token, and client authentication by JWT-SVID',
    async () => exchange(alice(), JWT_TYPE, await spiffe()),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID token, and client authentication by a registered key',
    () => exchange(alice(), ID_TOKEN, assertion(fixture.issuer, bot)),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID-JAG as assertion, and client authentication',
    async () => bearer(idJag(fixture.issuer), await spiffe()),
    ALICE,
    'jwt-bearer',
  ],
]
for (const [title, make, principal, door] of granted) {
  test(`by ${title} there is a token for ${principal}`, async () => {
    const key = generateSenderKey()
    const { status, body, text } = await post(await make(), { key })
    assert.equal(status, 200, text)
    assert.deepEqual(
      [body.token_type, body.issued_token_type],
      ['DPoP', 'urn:ietf:params:oauth:token-type:access_token'],
    )
    const claims = claimsOf(body.access_token)
    assert.deepEqual(
      [claims.sub, claims.client_id, claims.cnf],
      [principal, AGENT, { jkt: key.jkt }],
    )
    assert.equal(
      (claims.act as { sub: string } | undefined)?.sub,
      principal === ALICE ? AGENT : undefined,
    )
    const record = fixture.records.at(-1)!
    assert.deepEqual([record.outcome, record.door, record.jti], ['issued', door, claims.jti])
  })
}

/** A session of Alice's with the agent, handed on. */
async function delegated(nextKey = generateSenderKey()) {
  const fields = {
    ...exchange(alice(), ID_TOKEN, await actor()),
    requested_token_type: DELEGATION,
    authorization_details: CEILING,
    may_act: NEXT,
    may_act_jkt: nextKey.jkt,
  }
  const { resource: _, ...asked } = fields as Fields
  const answer = await post(asked)
  assert.equal(answer.status, 200, answer.text)
  return { answer, nextKey, token: String(answer.body.access_token) }
}
const byNext = async (token: string) => exchange(token, DELEGATION, await actor('/agents/next'))

test('a delegation token is what it says, and leads to a token of the next agent', async () => {
  const { answer, nextKey, token } = await delegated()
  assert.deepEqual(
    [answer.body.token_type, answer.body.issued_token_type, 'scope' in answer.body],
    ['N_A', DELEGATION, false],
  )
  assert.deepEqual(answer.body.authorization_details, JSON.parse(CEILING))
  const { status, body, text } = await post(await byNext(token), { key: nextKey })
  assert.equal(status, 200, text)
  const { sub, client_id, act, via } = claimsOf(body.access_token)
  assert.deepEqual([sub, client_id], [ALICE, NEXT])
  const chain = act as { sub: string; act: { sub: string } }
  assert.deepEqual([chain.sub, chain.act.sub], [NEXT, AGENT])
  assert.ok((via as string[]).includes(String(claimsOf(token).jti)))

  // Introspection says the same, and of the delegation token that it gives access to nothing.
  const described = await introspect(String(body.access_token))
  assert.deepEqual([described.body.act, described.body.via], [act, via])
  assert.deepEqual((await introspect(token)).body, { active: false })
})

const introspect = (token: string, who = admin) =>
  send(`${fixture.issuer}/introspect`, {
    body: new URLSearchParams({ token, ...assertion(fixture.issuer, who) }),
  })
const revoke = (token: string, who: typeof admin) =>
  send(`${fixture.issuer}/revoke`, {
    body: new URLSearchParams({ token, ...assertion(fixture.issuer, who) }),
  })

for (const who of [bot, admin]) {
  test(`${who.client.clientId} stops a delegation, and with it everything that hangs on it`, async () => {
    const { nextKey, token } = await delegated()
    const { body } = await post(await byNext(token), { key: nextKey })
    const issued = String(body.access_token)
    assert.equal((await introspect(issued)).body.active, true)
    assert.equal((await revoke(token, who)).status, 200)
    let active: unknown = true
    for (let i = 0; i < 50 && active === true; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      active = (await introspect(issued)).body.active
    }
    assert.equal(active, false)
    const again = await post(await byNext(token), { key: nextKey })
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_request'])
    assert.equal(fixture.records.at(-1)!.reason, 'revoked')
  })
}

test('a client that is another workload stops no delegation', async () => {
  const { nextKey, token } = await delegated()
  const refused = await revoke(token, plain)
  assert.deepEqual([refused.status, refused.body.error], [400, 'unauthorized_client'])
  assert.equal((await post(await byNext(token), { key: nextKey })).status, 200)
})

/** Each: what is asked, what is told, what the audit says. */
const refused: [string, () => Promise<Fields> | Fields, number, string, string, string?][] = [
  [
    'no client authentication',
    () => ({ grant_type: 'client_credentials', ...target() }),
    401,
    'invalid_client',
    'identity_missing',
  ],
  [
    'a client_id alone',
    () => ({ grant_type: 'client_credentials', client_id: AGENT, ...target() }),
    401,
    'invalid_client',
    'identity_missing',
  ],
  [
    'an assertion without its type',
    async () => bearer(await fixture.svid(), { client_assertion: await fixture.svid() }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a type without its assertion',
    async () => bearer(await fixture.svid(), { client_assertion_type: JWT_SPIFFE }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion of an unknown type',
    async () => bearer(await fixture.svid(), { ...(await spiffe()), client_assertion_type: 'x' }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion and a secret',
    async () => exchange(alice(), ID_TOKEN, { ...(await spiffe()), client_secret: 'x' }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion and another client_id',
    async () => exchange(alice(), ID_TOKEN, { ...(await spiffe()), client_id: `${AGENT}/x` }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a registered client that is no workload',
    () => ({ grant_type: 'client_credentials', ...target(), ...assertion(fixture.issuer, plain) }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a client assertion for another audience, at token exchange',
    () => exchange(alice(), ID_TOKEN, assertion(fixture.issuer, bot, { aud: 'https://x.test' })),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a JWT-SVID for another audience as client assertion, at token exchange',
    async () =>
      exchange(alice(), ID_TOKEN, {
        client_assertion_type: JWT_SPIFFE,
        client_assertion: await fixture.svid({ audience: 'https://x.test' }),
      }),
    401,
    'invalid_client',
    'identity_invalid',
    'audience',
  ],
  [
    'the same at jwt-bearer',
    async () =>
      bearer(await fixture.svid(), {
        client_assertion_type: JWT_SPIFFE,
        client_assertion: await fixture.svid({ audience: 'https://x.test' }),
      }),
    401,
    'invalid_client',
    'identity_invalid',
    'audience',
  ],
  [
    'the same at client_credentials',
    async () => ({
      grant_type: 'client_credentials',
      ...target(),
      client_assertion_type: JWT_SPIFFE,
      client_assertion: await fixture.svid({ audience: 'https://x.test' }),
    }),
    401,
    'invalid_client',
    'identity_invalid',
    'audience',
  ],
  [
    'a user’s token and nobody who acts',
    () => exchange(alice(), ID_TOKEN),
    400,
    'invalid_request',
    'identity_missing',
  ],
  [
    'an ID-JAG and nobody who acts',
    () => bearer(idJag(fixture.issuer)),
    400,
    'invalid_grant',
    'identity_missing',
  ],
  [
    'an ID-JAG that is another client’s',
    async () => bearer(idJag(fixture.issuer, { client_id: NEXT }), await spiffe()),
    400,
    'invalid_grant',
    'delegation_refused',
    'client',
  ],
  [
    'a user’s token for somebody else',
    async () => exchange(alice({ aud: 'https://x.test' }), ID_TOKEN, await actor()),
    400,
    'invalid_request',
    'identity_invalid',
    'audience',
  ],
  [
    'a bad actor token',
    () => exchange(alice(), ID_TOKEN, { actor_token: 'x', actor_token_type: JWT_TYPE }),
    400,
    'invalid_request',
    'identity_invalid',
    'form',
  ],
  [
    'an actor token without its type',
    async () => exchange(alice(), ID_TOKEN, { actor_token: await fixture.svid() }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an actor token’s type alone',
    () => exchange(alice(), ID_TOKEN, { actor_token_type: JWT_TYPE }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an actor token at jwt-bearer',
    async () => bearer(idJag(fixture.issuer), await actor()),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a subject token at client_credentials',
    async () => ({
      ...exchange(alice(), ID_TOKEN),
      grant_type: 'client_credentials',
      ...(await spiffe()),
    }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an actor that is not the client',
    async () => exchange(alice(), ID_TOKEN, { ...(await actor()), ...(await spiffe('/agents/x')) }),
    401,
    'invalid_client',
    'identity_conflict',
  ],
  [
    'an ID token declared to be an access token',
    async () => exchange(alice(), ACCESS_TOKEN, await actor()),
    400,
    'invalid_request',
    'identity_invalid',
    'token_type',
  ],
  [
    'our own action token as subject',
    async () => {
      const { body } = await post(exchange(await fixture.svid(), JWT_TYPE))
      return exchange(String(body.access_token), JWT_TYPE, await actor())
    },
    400,
    'invalid_request',
    'identity_invalid',
    'typ',
  ],
  [
    'a delegation token in the hands of a third agent',
    async () => exchange((await delegated()).token, DELEGATION, await actor('/agents/third')),
    400,
    'invalid_request',
    'delegation_refused',
    'may_act',
  ],
  [
    'a delegation token with another key than it names',
    async () => byNext((await delegated()).token),
    400,
    'invalid_request',
    'delegation_refused',
    'key',
  ],
  [
    'a delegation that is asked for with a resource',
    async () => ({
      ...exchange(alice(), ID_TOKEN, await actor()),
      requested_token_type: DELEGATION,
      authorization_details: CEILING,
      may_act: NEXT,
      may_act_jkt: generateSenderKey().jkt,
    }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'may_act without asking for a delegation',
    async () => exchange(await fixture.svid(), JWT_TYPE, { may_act: NEXT }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a delegation token at the jwt-bearer door',
    async () => bearer(await fixture.svid(), { requested_token_type: DELEGATION }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'no target, by a client that only an SVID speaks for',
    async () => ({ grant_type: 'client_credentials', ...(await spiffe()) }),
    400,
    'invalid_target',
    'server_unknown',
  ],
]
for (const [title, make, status, error, reason, check] of refused) {
  test(`${title} is refused as ${error} and recorded as ${reason}`, async () => {
    const form = await make()
    const { length } = fixture.records
    const answer = await post(form)
    assert.deepEqual([answer.status, answer.body.error], [status, error], answer.text)
    const written = fixture.records.slice(length).filter(({ outcome }) => outcome !== 'event')
    assert.deepEqual(
      written.map((record) => [record.outcome, record.reason, record.evidence?.check]),
      [['refused', reason, check]],
    )
  })
}

test('no answer says which check a caller failed', async () => {
  const said = new Set<string>()
  for (const [, make, status, error, reason] of refused) {
    if (error !== 'invalid_client' || reason === 'request_malformed') continue
    assert.equal(status, 401)
    said.add((await post(await make())).text)
  }
  assert.equal(said.size, 1, [...said].join())
})

test('an assertion of a registered client buys one token', async () => {
  const form = {
    grant_type: 'client_credentials',
    ...target(),
    ...assertion(fixture.issuer, bot),
  }
  const answers = await Promise.all(Array.from({ length: 10 }, () => post(form)))
  const statuses = answers.map(({ status }) => status)
  assert.deepEqual(statuses.toSorted(), [200, ...Array(9).fill(401)])
})

test('the Authorization header is refused at every door', async () => {
  const headers = { authorization: 'Basic YTpi' }
  for (const fields of [
    exchange(await fixture.svid(), JWT_TYPE),
    bearer(await fixture.svid()),
    { grant_type: 'client_credentials', ...target(), ...(await spiffe()) },
  ]) {
    const { status, body } = await post(fields, { headers })
    assert.deepEqual([status, body.error], [401, 'invalid_client'])
  }
})

test('a client’s own token for the broker is still oidc-provider’s to give', async () => {
  for (const more of [{}, { resource: fixture.issuer }] as Fields[]) {
    const form = { grant_type: 'client_credentials', ...assertion(fixture.issuer, admin), ...more }
    const { status, body } = await post(form)
    assert.equal(status, 200)
    const { aud, client_id } = claimsOf(body.access_token)
    assert.deepEqual([aud, client_id], [fixture.issuer, 'admin'])
  }
})

test('the answer names the SPIFFE ID that the server must prove, where there is one', async () => {
  const { catalogue } = fixture.broker
  const servers = new Map(catalogue.servers)
  const spiffeId = 'spiffe://corp.test/servers/bank'
  servers.set(RESOURCE, { ...servers.get(RESOURCE)!, spiffeId })
  const hit = await startFixture({ broker: { catalogue: { ...catalogue, servers } } })
  const { body } = await postToken(hit, await exchangeForm(hit))
  assert.equal(body.server_spiffe_id, spiffeId)
  await hit.close()
})
