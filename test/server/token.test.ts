import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { generateSenderKey, makeProof } from '../../src/token/proof.ts'
import {
  AGENT,
  claimsOf,
  exchangeForm,
  type Fixture,
  JWT_BEARER,
  JWT_TYPE,
  postToken,
  RESOURCE,
  seconds,
  send,
  startFixture,
  TOKEN_EXCHANGE,
  transfer,
} from './fixture.ts'

let fixture: Fixture
before(async () => {
  fixture = await startFixture()
})
after(() => fixture.close())

const proof = (key = generateSenderKey()) =>
  makeProof(key, { method: 'POST', url: `${fixture.issuer}/token`, now: seconds() })

test('an identity goes in and one action comes out', async () => {
  const key = generateSenderKey()
  const { status, body, headers } = await postToken(fixture, await exchangeForm(fixture), { key })
  assert.equal(status, 200)
  assert.equal(headers['cache-control'], 'no-store')
  assert.match(headers['content-type']!, /^application\/json/)
  const { access_token, authorization_details, ...rest } = body
  assert.deepEqual(rest, {
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'DPoP',
    expires_in: 60,
    scope: 'mcp:action',
  })
  const claims = claimsOf(access_token)
  assert.equal(claims.iss, fixture.issuer)
  assert.equal(claims.aud, RESOURCE)
  assert.equal(claims.client_id, AGENT)
  assert.deepEqual(claims.cnf, { jkt: key.jkt })
  assert.deepEqual(authorization_details, claims.authorization_details)
  assert.ok(!JSON.stringify(authorization_details).includes('"arguments"'))
  const record = fixture.records.at(-1)!
  assert.deepEqual(
    [record.outcome, record.jti, record.door],
    ['issued', claims.jti, 'token-exchange'],
  )
})

test('the jwt-bearer door gives the same token', async () => {
  const form = new URLSearchParams({
    grant_type: JWT_BEARER,
    assertion: await fixture.svid(),
    resource: RESOURCE,
    authorization_details: transfer(),
  })
  const { status, body } = await postToken(fixture, form)
  assert.equal(status, 200)
  assert.equal(claimsOf(body.access_token).client_id, AGENT)
  assert.equal(fixture.records.at(-1)!.door, 'jwt-bearer')
})

test('without an action only a session token is given', async () => {
  const form = await exchangeForm(fixture)
  form.delete('authorization_details')
  const { body } = await postToken(fixture, form)
  assert.equal(body.scope, 'mcp:session')
  assert.ok(!('authorization_details' in body))
})

test('a megabyte of arguments passes', async () => {
  const note = 'ü'.repeat(250_000)
  const form = await exchangeForm(fixture, { authorization_details: transfer({ note }) })
  assert.ok(form.toString().length > 1_500_000)
  const tooMuch = await postToken(fixture, form)
  assert.equal(tooMuch.status, form.toString().length > 1536 * 1024 ? 413 : 200)
  const plain = await exchangeForm(fixture, {
    authorization_details: transfer({ note: 'u'.repeat(1_000_000) }),
  })
  assert.equal((await postToken(fixture, plain)).status, 200)
})

/** Each: what is changed in a good request, and what is answered. */
type Change = (
  form: URLSearchParams,
) => string | URLSearchParams | Promise<string | URLSearchParams>
const set =
  (name: string, value: string | (() => Promise<string>)): Change =>
  async (form) => {
    form.set(name, typeof value === 'string' ? value : await value())
    return form
  }
const remove =
  (name: string): Change =>
  (form) => {
    form.delete(name)
    return form
  }
const refused: [string, Change, number, string, string][] = [
  ['no grant type', remove('grant_type'), 400, 'invalid_request', 'request_malformed'],
  [
    'an unknown grant type',
    set('grant_type', 'password'),
    400,
    'unsupported_grant_type',
    'grant_unsupported',
  ],
  [
    'a code grant',
    set('grant_type', 'authorization_code'),
    400,
    'unsupported_grant_type',
    'grant_unsupported',
  ],
  ['no subject token', remove('subject_token'), 400, 'invalid_request', 'request_malformed'],
  [
    'no subject token type',
    remove('subject_token_type'),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'another subject token type',
    set('subject_token_type', 'urn:x'),
    400,
    'invalid_request',
    'identity_invalid',
  ],
  [
    'a subject token that is no JWT',
    set('subject_token', 'x'),
    400,
    'invalid_request',
    'identity_invalid',
  ],
  [
    'a subject token for another audience',
    set('subject_token', () => fixture.svid({ audience: 'https://other.example' })),
    400,
    'invalid_request',
    'identity_invalid',
  ],
  ['an actor token', set('actor_token', 'x'), 400, 'invalid_request', 'request_malformed'],
  [
    'an actor token type alone',
    set('actor_token_type', JWT_TYPE),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a refresh token wanted',
    set('requested_token_type', 'urn:ietf:params:oauth:token-type:refresh_token'),
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'unchecked client authentication',
    set('client_assertion', 'x'),
    401,
    'invalid_client',
    'client_rejected',
  ],
  ['a client secret', set('client_secret', 'x'), 401, 'invalid_client', 'client_rejected'],
  ['no resource', remove('resource'), 400, 'invalid_target', 'server_unknown'],
  [
    'an unknown resource',
    set('resource', 'https://other.example/mcp'),
    400,
    'invalid_authorization_details',
    'details_invalid',
  ],
  [
    'another audience',
    set('audience', 'https://other.example'),
    400,
    'invalid_target',
    'server_unknown',
  ],
  [
    'details that are not JSON',
    set('authorization_details', '[{'),
    400,
    'invalid_authorization_details',
    'details_invalid',
  ],
  [
    'details with a member twice',
    set('authorization_details', transfer().replace('"actions"', '"type":"x","actions"')),
    400,
    'invalid_authorization_details',
    'details_invalid',
  ],
  [
    'details of another type',
    set('authorization_details', '[{"type":"payment"}]'),
    400,
    'invalid_authorization_details',
    'details_invalid',
  ],
  [
    'an unknown tool',
    set('authorization_details', transfer({}, 'rm_rf')),
    400,
    'invalid_authorization_details',
    'action_unknown',
  ],
  [
    'arguments of the wrong type',
    set('authorization_details', transfer({ amount: 'x' })),
    400,
    'invalid_authorization_details',
    'arguments_invalid',
  ],
  [
    'a denied action',
    set('authorization_details', transfer({}, 'close_account')),
    400,
    'invalid_authorization_details',
    'policy_denied',
  ],
  [
    'an action a person must approve',
    set('authorization_details', transfer({}, 'ask_first')),
    400,
    'invalid_authorization_details',
    'approval_required',
  ],
  [
    'a parameter twice',
    (form) => `${form}&resource=x`,
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'an unknown parameter twice',
    (form) => `${form}&a=1&a=2`,
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a parameter twice in two spellings',
    (form) => `${form}&re%73ource=x`,
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a broken percent-encoding',
    (form) => `${form}&a=%zz`,
    400,
    'invalid_request',
    'request_malformed',
  ],
  [
    'a cut percent-encoding',
    (form) => `${form}&a=%e2%82`,
    400,
    'invalid_request',
    'request_malformed',
  ],
  ['overlong UTF-8', (form) => `${form}&a=%c0%af`, 400, 'invalid_request', 'request_malformed'],
  ['raw bytes', (form) => `${form}&a=ü`, 400, 'invalid_request', 'request_malformed'],
  ['a line break', (form) => `${form}&a=1\n`, 400, 'invalid_request', 'request_malformed'],
  ['an empty pair', (form) => `${form}&&a=1`, 400, 'invalid_request', 'request_malformed'],
  ['an empty body', () => '', 400, 'invalid_request', 'request_malformed'],
]
for (const [title, change, status, error, code] of refused) {
  test(`${title} is refused as ${error} and recorded as ${code}`, async () => {
    const changed = await change(await exchangeForm(fixture))
    const before = fixture.records.length
    const answer = await postToken(fixture, changed)
    assert.deepEqual([answer.status, answer.body.error], [status, error])
    assert.ok(!('access_token' in answer.body))
    assert.equal(typeof answer.body.error_description, 'string')
    assert.equal(answer.headers['cache-control'], 'no-store')
    const written = fixture.records.slice(before).filter(({ outcome }) => outcome !== 'event')
    assert.deepEqual(
      written.map(({ outcome, reason }) => [outcome, reason]),
      [['refused', code]],
    )
    assert.equal(written[0]!.address, '127.0.0.1')
  })
}

test('the jwt-bearer door calls a bad assertion invalid_grant', async () => {
  const form = new URLSearchParams({ grant_type: JWT_BEARER, assertion: 'x', resource: RESOURCE })
  const { status, body } = await postToken(fixture, form)
  assert.deepEqual([status, body.error], [400, 'invalid_grant'])
})

test('a session token that policy denies is an invalid target', async () => {
  const form = await exchangeForm(fixture, {
    subject_token: await fixture.svid({ path: '/agents/nobody' }),
  })
  form.delete('authorization_details')
  const { status, body } = await postToken(fixture, form)
  assert.deepEqual([status, body.error], [400, 'invalid_target'])
})

test('a body of another type is refused, whatever it holds', async () => {
  const body = (await exchangeForm(fixture)).toString()
  for (const type of [
    'application/json',
    'text/plain',
    'application/x-www-form-urlencoded; charset=latin1',
  ]) {
    const { status } = await postToken(fixture, body, { headers: { 'content-type': type } })
    assert.equal(status, 400, type)
  }
  const zipped = await postToken(fixture, body, { headers: { 'content-encoding': 'gzip' } })
  assert.equal(zipped.status, 400)
  const utf8 = { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' }
  assert.equal((await postToken(fixture, body, { headers: utf8 })).status, 200)
})

const proofs: [string, () => string | string[], string, string][] = [
  ['no proof', () => [], 'invalid_dpop_proof', 'binding_missing'],
  ['two proofs', () => [proof(), proof()], 'invalid_dpop_proof', 'proof_invalid'],
  ['one proof twice', () => Array(2).fill(proof()), 'invalid_dpop_proof', 'proof_invalid'],
  [
    'two proofs in one field',
    () => `${proof()}, ${proof()}`,
    'invalid_dpop_proof',
    'proof_invalid',
  ],
  [
    'a proof for another URL',
    () =>
      makeProof(generateSenderKey(), {
        method: 'POST',
        url: 'https://evil.example/token',
        now: seconds(),
      }),
    'invalid_dpop_proof',
    'proof_invalid',
  ],
  [
    'a proof for another method',
    () =>
      makeProof(generateSenderKey(), {
        method: 'GET',
        url: `${fixture.issuer}/token`,
        now: seconds(),
      }),
    'invalid_dpop_proof',
    'proof_invalid',
  ],
]
for (const [title, make, error, code] of proofs) {
  for (const grant of [TOKEN_EXCHANGE, 'client_credentials']) {
    test(`${title} buys nothing with ${grant.split(':').at(-1)}`, async () => {
      const form = await exchangeForm(fixture, { grant_type: grant })
      // Without a target it is one of oidc-provider's.
      if (grant === 'client_credentials') {
        for (const name of ['subject_token', 'subject_token_type']) form.delete(name)
        for (const name of ['resource', 'authorization_details']) form.delete(name)
      }
      const { status, body } = await postToken(fixture, form, { proof: make() })
      assert.deepEqual([status, body.error], [400, error])
      assert.equal(fixture.records.at(-1)!.reason, code)
    })
  }
}

test('a Host that lies changes neither htu nor the issuer', async () => {
  const port = new URL(fixture.issuer).port
  const { status } = await postToken(fixture, await exchangeForm(fixture), {
    headers: {
      host: `localhost:${port}`,
      'x-forwarded-host': 'evil.example',
      forwarded: 'host=evil.example',
    },
  })
  assert.equal(status, 200)
})

test('client authentication in the Authorization header is not passed over in silence', async () => {
  const headers = { authorization: 'Basic YTpi' }
  const { status, body } = await postToken(fixture, await exchangeForm(fixture), { headers })
  assert.deepEqual([status, body.error], [401, 'invalid_client'])
})

test('of forty uses of one proof at once exactly one succeeds, in twenty rounds', async () => {
  for (let round = 0; round < 20; round += 1) {
    const form = await exchangeForm(fixture)
    const one = proof()
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => postToken(fixture, form, { proof: one })),
    )
    const statuses = answers.map(({ status }) => status)
    assert.equal(statuses.filter((status) => status === 200).length, 1, statuses.join())
    assert.ok(
      answers.every(({ status, body }) => status === 200 || body.error === 'invalid_dpop_proof'),
    )
  }
})

test('a refusal never repeats what it was sent', async () => {
  const secret = `eyJhbGciOiJFUzI1NiJ9.${'x'.repeat(40)}.${'y'.repeat(86)}`
  const form = await exchangeForm(fixture, { subject_token: secret })
  const { text } = await postToken(fixture, form)
  assert.ok(!text.includes('xxxx'))
  assert.ok(!JSON.stringify(fixture.records.at(-1)).includes('xxxx'))
})

test('another method at the token endpoint is 405 and names the right one', async () => {
  const { status, headers } = await send(`${fixture.issuer}/token`)
  assert.deepEqual([status, headers.allow], [405, 'POST'])
})
