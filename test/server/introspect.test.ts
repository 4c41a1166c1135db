// RFC 7662 and RFC 7009: who may ask, what is on record of it, and what it means when that cannot be.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import { refuse } from '../../src/refusal.ts'
import {
  type Answer,
  assertion,
  claimsOf,
  type Fixture,
  postToken,
  RESOURCE,
  send,
  startFixture,
  testClient,
  tokenFrom,
} from './fixture.ts'

const admin = testClient('admin', { scopes: ['writ:admin'] })
const server = testClient('notes-server', { scopes: ['writ:introspect'], resources: [RESOURCE] })
const approver = testClient('approver', { scopes: ['writ:approver'], resources: [RESOURCE] })

const records: AuditRecord[] = []
/** Of the records that are asked for, those that cannot be written. */
let lost: (record: AuditRecord) => boolean = () => false
let fixture: Fixture
before(async () => {
  const record = async (each: AuditRecord) => {
    if (lost(each)) refuse({ code: 'audit_unavailable', detail: 'disk full' })
    records.push(each)
  }
  const clients = [admin, server, approver].map(({ client }) => client)
  fixture = await startFixture({ clients, broker: { audit: { record } } })
})
after(() => fixture.close())

const issueToken = () => tokenFrom(fixture)

type Path = 'introspect' | 'revoke'
const ask = (
  path: Path,
  form: Record<string, string>,
  who = admin,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  send(`${fixture.issuer}/${path}`, {
    body: new URLSearchParams({ ...assertion(fixture.issuer, who), ...form }),
    headers,
  })
const told = ({ status, body }: Answer) => [status, body.error]

const refused: [string, Record<string, string>, Record<string, string>, number, string, string][] =
  [
    ['no token', { token: '' }, {}, 400, 'invalid_request', 'request_malformed'],
    [
      'a body of more than a token can need',
      { token: 'a'.repeat(70_000) },
      {},
      413,
      'invalid_request',
      'request_too_large',
    ],
    [
      'a type of assertion that another endpoint takes',
      { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe' },
      {},
      401,
      'invalid_client',
      'client_rejected',
    ],
    [
      'no type of assertion',
      { client_assertion_type: '' },
      {},
      401,
      'invalid_client',
      'client_rejected',
    ],
    ['no assertion', { client_assertion: '' }, {}, 401, 'invalid_client', 'client_rejected'],
    [
      'another client_id',
      { client_id: 'notes-server' },
      {},
      401,
      'invalid_client',
      'client_rejected',
    ],
    ['a secret beside it', { client_secret: 'x' }, {}, 401, 'invalid_client', 'client_rejected'],
    [
      'an Authorization header beside it',
      {},
      { authorization: 'Bearer x' },
      401,
      'invalid_client',
      'client_rejected',
    ],
  ]
for (const [title, form, headers, status, error, reason] of refused) {
  test(`with ${title} nothing is told and nothing stopped, and that is on record`, async () => {
    for (const path of ['introspect', 'revoke'] as const) {
      const answer = await ask(path, { token: 'x', ...form }, admin, headers)
      assert.deepEqual(told(answer), [status, error], answer.text)
      assert.equal(answer.headers['cache-control'], 'no-store')
      // RFC 6749 §5.2: in the scheme that was used, and none where none was.
      const challenge = 'authorization' in headers ? 'Bearer realm="clients"' : undefined
      assert.equal(answer.headers['www-authenticate'], challenge)
      const door = path === 'revoke' ? 'revocation' : 'introspection'
      const last = records.at(-1)
      assert.deepEqual([last?.door, last?.outcome, last?.reason], [door, 'refused', reason])
    }
  })
}

test('what a client was told is on record, and of a token that is not its business no word', async () => {
  const token = await issueToken()
  const { jti } = claimsOf(token)
  for (const [who, reason, about] of [
    [server, 'introspected_active', jti],
    [approver, 'introspected_inactive', undefined],
  ] as const) {
    const { body } = await ask('introspect', { token }, who)
    assert.equal(body.active, about !== undefined)
    const last = records.at(-1)
    const { clientId } = who.client
    assert.deepEqual([last?.reason, last?.workload, last?.jti], [reason, clientId, about])
    assert.equal(last?.address, '127.0.0.1')
  }
})

test('a token is stopped for as long as it would have been good, by whom is on record', async () => {
  const token = await issueToken()
  const { jti, exp } = claimsOf(token)
  assert.deepEqual(told(await ask('revoke', { token }, approver)), [400, 'unauthorized_client'])
  const not = records.at(-1)
  assert.deepEqual([not?.reason, not?.workload, not?.jti], ['client_rejected', 'approver', jti])
  assert.equal((await ask('revoke', { token })).status, 200)
  const { address, by, evidence } = records.at(-1)!
  assert.deepEqual([address, evidence?.until, by], ['127.0.0.1', exp, 'client:admin'])
})

test('a client stops what was issued to itself, whatever else it may not', async () => {
  const form = { grant_type: 'client_credentials', ...assertion(fixture.issuer, approver) }
  const { body } = await postToken(fixture, new URLSearchParams(form))
  const token = String(body.access_token)
  assert.equal((await ask('introspect', { token })).body.active, true)
  assert.equal((await ask('revoke', { token }, approver)).status, 200)
  assert.deepEqual((await ask('introspect', { token })).body, { active: false })
})

test('what cannot be recorded is not told, and a refusal stays one', async (t) => {
  const token = await issueToken()
  t.after(() => {
    lost = () => false
  })
  const unavailable = [503, 'temporarily_unavailable']
  lost = ({ reason }) => reason === 'introspected_active' || reason === 'revoked'
  assert.deepEqual(told(await ask('introspect', { token })), unavailable)
  assert.deepEqual(told(await ask('revoke', { token: await issueToken() })), unavailable)
  lost = ({ reason }) => reason === 'client_rejected'
  assert.deepEqual(told(await ask('revoke', { token }, approver)), unavailable)
  lost = ({ outcome }) => outcome === 'refused'
  assert.deepEqual(told(await ask('introspect', { token: '' })), [400, 'invalid_request'])
})

test('when the revocations are not heard, a token is neither active nor inactive', async () => {
  const token = await issueToken()
  assert.equal((await ask('introspect', { token })).body.active, true)
  await (fixture.broker.revocations as unknown as { close(): Promise<void> }).close()
  const answer = await ask('introspect', { token })
  assert.deepEqual([answer.status, answer.body.active], [503, undefined], answer.text)
  // What one may not see is told as ever, and says nothing.
  assert.deepEqual((await ask('introspect', { token }, approver)).body, { active: false })
  assert.equal((await ask('revoke', { token })).status, 200)
})
