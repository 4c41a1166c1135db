/** Introspection and the revocation endpoint look for a token under the very names that verifiers do. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { readIssued } from '../../src/server/issued.ts'
import { signJws } from '../../src/token/jws.ts'
import { subjectOf } from '../../src/verifier/subject.ts'
import { AGENT, brokerKey, brokerKeys, claimsFor, clock, ISSUER, mint } from '../verifier/rig.ts'

const keys = { verification: () => brokerKeys }
const read = (text: string) => readIssued(text, { issuer: ISSUER, keys, now: clock.now() })
const full = {
  sub: 'user:corp:alice',
  act: { sub: AGENT, act: { sub: 'spiffe://corp.example/agents/planner' } },
  txn: 'invoice-1',
  via: ['sid-0', 'k'.repeat(43), 'jti-0'],
}

for (const [what, claims] of [
  ['with everything', claimsFor({}, full)],
  ['of a certificate', claimsFor({}, { ...full, cnf: { 'x5t#S256': 'k'.repeat(43) } })],
  ['of a workload for itself', claimsFor('session')],
] as const) {
  test(`a token ${what} may have been stopped under the same names here and at its server`, () => {
    const { links, task, ...names } = read(mint(claims))?.subject ?? assert.fail()
    const expected = subjectOf({ claims })
    assert.deepEqual({ ...names, links, task }, { links: undefined, ...expected })
    assert.ok(Object.values(names).every((each) => each !== undefined))
  })
}

test('a delegation token has a key and a time, and is for no server', () => {
  const claims = { ...claimsFor({}, full), aud: ISSUER }
  const text = signJws({ typ: 'writ-delegation+jwt' }, { ...claims } as never, brokerKey)
  const { subject, kind } = read(text) ?? assert.fail()
  assert.equal(kind, 'delegation')
  assert.equal(subject.server, undefined)
  assert.ok(subject.key !== undefined && subject.issuedAt === claims.iat && subject.task)
})

for (const [what, spoilt] of [
  ['without a key', { cnf: undefined }],
  ['with a task that is no text', { txn: 7 }],
  ['without a time', { iat: undefined }],
  ['of another broker', { iss: 'https://other.example' }],
  ['that is over', { exp: Math.floor(clock.now()) - 1 }],
  ['that ends at a time in words', { exp: '4102444800' }],
  ['for several servers', { aud: [ISSUER] }],
  ['of nobody', { sub: undefined }],
  ['without a client', { client_id: undefined }],
  ['without an id', { jti: undefined }],
  ['without a session', { sid: undefined }],
  ['that hangs on what is no list', { via: 'sid-0' }],
] as const) {
  test(`a token ${what} is none of ours`, () => {
    const claims = { ...claimsFor({}, full), ...spoilt } as never
    assert.equal(read(signJws({ typ: 'at+jwt' }, claims, brokerKey)), undefined)
  })
}

const stranger = {
  ...brokerKey,
  key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
}
for (const [what, forge] of [
  ['of another type', () => signJws({ typ: 'JWT' }, claims(), brokerKey)],
  ['of no type', () => signJws({}, claims(), brokerKey)],
  ['signed by somebody else', () => signJws({ typ: 'at+jwt' }, claims(), stranger)],
  ['of a key nobody knows', () => signJws({ typ: 'at+jwt' }, claims(), { ...brokerKey, kid: 'x' })],
  [
    'that names no key',
    () => signJws({ typ: 'at+jwt', kid: 1 }, claims(), { ...brokerKey, kid: 1 as never }),
  ],
  ['that is no JWS', () => 'a.b'],
] as const) {
  test(`a token ${what} is none of ours`, () => assert.equal(read(forge()), undefined))
}

function claims(): never {
  return { ...claimsFor({}, full) } as never
}

test('all who act are the token’s, and what is no actor is nobody', () => {
  const agents = (act: unknown) =>
    read(signJws({ typ: 'at+jwt' }, { ...claimsFor({}, full), act } as never, brokerKey))?.subject
      .agents
  assert.deepEqual(agents(full.act)?.slice(1), [AGENT, 'spiffe://corp.example/agents/planner'])
  for (const none of [undefined, null, 'x']) assert.equal(agents(none)?.length, 1)
})
