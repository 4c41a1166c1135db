// Every way to ask for a token that works.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import { admin, asksOf, bot, type Fields, NEXT, plain, startWithPeople } from './asks.ts'
import {
  AGENT,
  claimsOf,
  exchangeForm,
  type Fixture,
  JWT_TYPE,
  postToken,
  RESOURCE,
  send,
  startFixture,
} from './fixture.ts'
import { ALICE, CEILING, DELEGATION, ID_TOKEN, idJag } from './people.ts'

let fixture: Fixture
let asks: ReturnType<typeof asksOf>
before(async () => {
  fixture = await startWithPeople()
  asks = asksOf(fixture)
})
after(() => fixture.close())

/** Each: who asks how, and on whose behalf. */
const granted: [string, () => Promise<Fields> | Fields, string, string][] = [
  [
    'a workload’s own token as assertion',
    async () => asks.bearer(await fixture.svid()),
    AGENT,
    'jwt-bearer',
  ],
  [
    'its own token, and a JWT-SVID as client assertion beside it',
    async () => asks.bearer(await fixture.svid(), await asks.spiffe()),
    AGENT,
    'jwt-bearer',
  ],
  [
    'a JWT-SVID as client assertion alone',
    async () => ({ grant_type: 'client_credentials', ...asks.target(), ...(await asks.spiffe()) }),
    AGENT,
    'client_credentials',
  ],
  [
    'the same with its client_id',
    async () => ({
      grant_type: 'client_credentials',
      client_id: AGENT,
      ...asks.target(),
      ...(await asks.spiffe()),
    }),
    AGENT,
    'client_credentials',
  ],
  [
    'the key of a registered client that is a workload',
    () => ({ grant_type: 'client_credentials', ...asks.target(), ...asks.keyOf() }),
    AGENT,
    'client_credentials',
  ],
  [
    'an ID token, and the agent’s own token as actor',
    async () => asks.exchange(asks.alice(), ID_TOKEN, await asks.actor()),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID token, and client authentication by JWT-SVID',
    async () => asks.exchange(asks.alice(), JWT_TYPE, await asks.spiffe()),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID token, and client authentication by a registered key',
    () => asks.exchange(asks.alice(), ID_TOKEN, asks.keyOf()),
    ALICE,
    'token-exchange',
  ],
  [
    'an ID-JAG as assertion, and client authentication',
    async () => asks.bearer(idJag(fixture.issuer), await asks.spiffe()),
    ALICE,
    'jwt-bearer',
  ],
]
for (const [title, make, principal, door] of granted) {
  test(`by ${title} there is a token for ${principal}`, async () => {
    const key = generateSenderKey()
    const { status, body, text } = await asks.post(await make(), { key })
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

test('a delegation token is what it says, and leads to a token of the next agent', async () => {
  const { answer, nextKey, token } = await asks.delegated()
  assert.deepEqual(
    [answer.body.token_type, answer.body.issued_token_type, 'scope' in answer.body],
    ['N_A', DELEGATION, false],
  )
  assert.deepEqual(answer.body.authorization_details, JSON.parse(CEILING))
  const { status, body, text } = await asks.post(await asks.byNext(token), { key: nextKey })
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
    body: new URLSearchParams({ token, ...asks.keyOf(who) }),
  })
const revoke = (token: string, who: typeof admin) =>
  send(`${fixture.issuer}/revoke`, {
    body: new URLSearchParams({ token, ...asks.keyOf(who) }),
  })

for (const who of [bot, admin]) {
  test(`${who.client.clientId} stops a delegation, and with it everything that hangs on it`, async () => {
    const { nextKey, token } = await asks.delegated()
    const { body } = await asks.post(await asks.byNext(token), { key: nextKey })
    const issued = String(body.access_token)
    assert.equal((await introspect(issued)).body.active, true)
    assert.equal((await revoke(token, who)).status, 200)
    let active: unknown = true
    for (let i = 0; i < 50 && active === true; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      active = (await introspect(issued)).body.active
    }
    assert.equal(active, false)
    const again = await asks.post(await asks.byNext(token), { key: nextKey })
    assert.deepEqual([again.status, again.body.error], [400, 'invalid_request'])
    assert.equal(fixture.records.at(-1)!.reason, 'revoked')
  })
}

test('a client that is another workload stops no delegation', async () => {
  const { nextKey, token } = await asks.delegated()
  const refused = await revoke(token, plain)
  assert.deepEqual([refused.status, refused.body.error], [400, 'unauthorized_client'])
  assert.equal((await asks.post(await asks.byNext(token), { key: nextKey })).status, 200)
})

test('an assertion of a registered client buys one token', async () => {
  const form = {
    grant_type: 'client_credentials',
    ...asks.target(),
    ...asks.keyOf(),
  }
  const answers = await Promise.all(Array.from({ length: 10 }, () => asks.post(form)))
  const statuses = answers.map(({ status }) => status)
  assert.deepEqual(statuses.toSorted(), [200, ...Array(9).fill(401)])
})

test('the Authorization header is refused at every door', async () => {
  const headers = { authorization: 'Basic YTpi' }
  const challenge = 'Basic realm="clients"'
  for (const fields of [
    asks.exchange(await fixture.svid(), JWT_TYPE),
    asks.bearer(await fixture.svid()),
    { grant_type: 'client_credentials', ...asks.target(), ...(await asks.spiffe()) },
  ]) {
    const answer = await asks.post(fields, { headers })
    assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'])
    assert.equal(answer.headers['www-authenticate'], challenge)
  }
})

test('a client’s own token for the broker is still oidc-provider’s to give', async () => {
  const { issuer } = fixture
  for (const more of [{}, { resource: issuer }, { audience: issuer }] as Fields[]) {
    const form = { grant_type: 'client_credentials', ...asks.keyOf(admin), ...more }
    const { status, body } = await asks.post(form)
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
