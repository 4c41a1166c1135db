// What is told, and what the audit says, of requests for tokens that are not believed.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import { asksOf, bot, type Fields, JWT_SPIFFE, NEXT, plain, startWithPeople } from './asks.ts'
import { AGENT, type Fixture, JWT_TYPE, RESOURCE } from './fixture.ts'
import { ACCESS_TOKEN, CEILING, DELEGATION, ID_TOKEN, idJag } from './people.ts'

let fixture: Fixture
let asks: ReturnType<typeof asksOf>
before(async () => {
  fixture = await startWithPeople()
  asks = asksOf(fixture)
})
after(() => fixture.close())

/** Each: what is asked, what is told, what the audit says. */
const refused: [string, () => Promise<Fields> | Fields, number, string, string, string?][] = [
  [
    'no client authentication',
    () => ({ grant_type: 'client_credentials', ...asks.target() }),
    401,
    'invalid_client',
    'identity_missing',
  ],
  [
    'a client_id alone',
    () => ({ grant_type: 'client_credentials', client_id: AGENT, ...asks.target() }),
    401,
    'invalid_client',
    'identity_missing',
  ],
  [
    'an assertion without its type',
    async () => asks.bearer(await fixture.svid(), { client_assertion: await fixture.svid() }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a type without its assertion',
    async () => asks.bearer(await fixture.svid(), { client_assertion_type: JWT_SPIFFE }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion of an unknown type',
    async () =>
      asks.bearer(await fixture.svid(), { ...(await asks.spiffe()), client_assertion_type: 'x' }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a good assertion of an unknown type',
    async () =>
      asks.exchange(asks.alice(), ID_TOKEN, { ...asks.keyOf(bot), client_assertion_type: 'x' }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a good assertion of no type',
    async () => {
      const { client_assertion = '' } = asks.keyOf(bot)
      return asks.exchange(asks.alice(), ID_TOKEN, { client_assertion })
    },
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion and a secret',
    async () =>
      asks.exchange(asks.alice(), ID_TOKEN, { ...(await asks.spiffe()), client_secret: 'x' }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'an assertion and another client_id',
    async () =>
      asks.exchange(asks.alice(), ID_TOKEN, { ...(await asks.spiffe()), client_id: `${AGENT}/x` }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a registered client that is no workload',
    () => ({ grant_type: 'client_credentials', ...asks.target(), ...asks.keyOf(plain) }),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a client assertion for another audience, at token exchange',
    () => asks.exchange(asks.alice(), ID_TOKEN, asks.keyOf(bot, { aud: 'https://x.test' })),
    401,
    'invalid_client',
    'client_rejected',
  ],
  [
    'a JWT-SVID for another audience as client assertion, at token exchange',
    async () =>
      asks.exchange(asks.alice(), ID_TOKEN, {
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
      asks.bearer(await fixture.svid(), {
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
      ...asks.target(),
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
    () => asks.exchange(asks.alice(), ID_TOKEN),
    400,
    'invalid_request',
    'identity_missing',
  ],
  [
    'an ID-JAG and nobody who acts',
    () => asks.bearer(idJag(fixture.issuer)),
    400,
    'invalid_grant',
    'identity_missing',
  ],
  [
    'an ID-JAG that is another client’s',
    async () => asks.bearer(idJag(fixture.issuer, { client_id: NEXT }), await asks.spiffe()),
    400,
    'invalid_grant',
    'delegation_refused',
    'client',
  ],
  [
    'a user’s token for somebody else',
    async () => asks.exchange(asks.alice({ aud: 'https://x.test' }), ID_TOKEN, await asks.actor()),
    400,
    'invalid_request',
    'identity_invalid',
    'audience',
  ],
  [
    'a bad actor token',
    () => asks.exchange(asks.alice(), ID_TOKEN, { actor_token: 'x', actor_token_type: JWT_TYPE }),
    400,
    'invalid_request',
    'identity_invalid',
    'form',
  ],
  [
    'an actor token without its type',
    async () => asks.exchange(asks.alice(), ID_TOKEN, { actor_token: await fixture.svid() }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an actor token’s type alone',
    () => asks.exchange(asks.alice(), ID_TOKEN, { actor_token_type: JWT_TYPE }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an actor token at jwt-bearer',
    async () => asks.bearer(idJag(fixture.issuer), await asks.actor()),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a subject token at client_credentials',
    async () => ({
      ...asks.exchange(asks.alice(), ID_TOKEN),
      grant_type: 'client_credentials',
      ...(await asks.spiffe()),
    }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an assertion at token exchange',
    async () => asks.exchange(await fixture.svid(), JWT_TYPE, { assertion: await fixture.svid() }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a type of subject token at jwt-bearer',
    async () => asks.bearer(await fixture.svid(), { subject_token_type: JWT_TYPE }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an assertion to ask with at client_credentials',
    async () => ({
      ...asks.bearer(await fixture.svid()),
      grant_type: 'client_credentials',
      ...(await asks.spiffe()),
    }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an action of no resource, by a registered client',
    () => {
      const { authorization_details = '' } = asks.target()
      return { grant_type: 'client_credentials', authorization_details, ...asks.keyOf(bot) }
    },
    400,
    'invalid_target',
    'server_unknown',
  ],
  [
    'no target at token exchange, by a registered client',
    async () => ({
      ...asks.exchange(await fixture.svid(), JWT_TYPE, asks.keyOf(bot)),
      resource: '',
      authorization_details: '',
    }),
    400,
    'invalid_target',
    'server_unknown',
  ],
  [
    'another audience than the broker, by a registered client',
    () => ({ grant_type: 'client_credentials', audience: RESOURCE, ...asks.keyOf(bot) }),
    400,
    'invalid_target',
    'server_unknown',
  ],
  [
    'another audience than the resource',
    async () => asks.exchange(await fixture.svid(), JWT_TYPE, { audience: 'https://x.test' }),
    400,
    'invalid_target',
    'server_unknown',
  ],
  [
    'an actor that is not the client',
    async () =>
      asks.exchange(asks.alice(), ID_TOKEN, {
        ...(await asks.actor()),
        ...(await asks.spiffe('/agents/x')),
      }),
    401,
    'invalid_client',
    'identity_conflict',
  ],
  [
    'an ID token declared to be an access token',
    async () => asks.exchange(asks.alice(), ACCESS_TOKEN, await asks.actor()),
    400,
    'invalid_request',
    'identity_invalid',
    'token_type',
  ],
  [
    'our own action token as subject',
    async () => {
      const { body } = await asks.post(asks.exchange(await fixture.svid(), JWT_TYPE))
      return asks.exchange(String(body.access_token), JWT_TYPE, await asks.actor())
    },
    400,
    'invalid_request',
    'identity_invalid',
    'typ',
  ],
  [
    'a delegation token in the hands of a third agent',
    async () =>
      asks.exchange((await asks.delegated()).token, DELEGATION, await asks.actor('/agents/third')),
    400,
    'invalid_request',
    'delegation_refused',
    'may_act',
  ],
  [
    'a delegation token with another key than it names',
    async () => asks.byNext((await asks.delegated()).token),
    400,
    'invalid_request',
    'delegation_refused',
    'key',
  ],
  [
    'a delegation that is asked for with a resource',
    async () => ({
      ...asks.exchange(asks.alice(), ID_TOKEN, await asks.actor()),
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
    'a delegation to a key that is no thumbprint',
    async () => {
      const { resource: _, ...fields } = asks.exchange(asks.alice(), ID_TOKEN, {
        ...(await asks.actor()),
        requested_token_type: DELEGATION,
        authorization_details: CEILING,
        may_act: NEXT,
        may_act_jkt: `${'A'.repeat(43)}=`,
      })
      return fields
    },
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'may_act without asking for a delegation',
    async () => asks.exchange(await fixture.svid(), JWT_TYPE, { may_act: NEXT }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a delegation token at the jwt-bearer door',
    async () => asks.bearer(await fixture.svid(), { requested_token_type: DELEGATION }),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'no target, by a client that only an SVID speaks for',
    async () => ({ grant_type: 'client_credentials', ...(await asks.spiffe()) }),
    400,
    'invalid_target',
    'server_unknown',
  ],
]
for (const [title, make, status, error, reason, check] of refused) {
  test(`${title} is refused as ${error} and recorded as ${reason}`, async () => {
    const form = await make()
    const { length } = fixture.records
    const answer = await asks.post(form)
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
    said.add((await asks.post(await make())).text)
  }
  assert.equal(said.size, 1, [...said].join())
})

test('what a caller makes up is on record, and not at any length', async () => {
  const long = 'x'.repeat(5_000)
  for (const [fields, name] of [
    [{ grant_type: long }, 'grant'],
    [
      asks.exchange(await fixture.svid(), JWT_TYPE, { resource: long, authorization_details: '' }),
      'server',
    ],
    [asks.exchange(await fixture.svid(), JWT_TYPE, { audience: long }), 'server'],
  ] as const) {
    assert.equal((await asks.post(fields)).status, 400)
    const said = String(fixture.records.at(-1)?.evidence?.[name])
    assert.ok(said.startsWith('xxx') && said.length < 600, `${name}: ${said.length}`)
  }
})
