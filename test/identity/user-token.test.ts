import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { openOidcIssuer } from '../../src/identity/issuers/oidc.ts'
import { openUserIssuer, type UserIssuerOptions } from '../../src/identity/issuers/user-token.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createProver } from '../../src/identity/prover.ts'
import { provenUser, User } from '../../src/identity/user.ts'
import { bundleOf, ISSUER, makeKey, NOW, temporaryDirectory, writeBundle } from './svids.ts'
import {
  ACCESS_TOKEN,
  type Changes,
  ID_JAG,
  ID_TOKEN,
  JWT,
  jwks,
  jwksKey,
  presented,
  refusalOf,
  token,
  userOf,
} from './tokens.ts'

const IDP = 'https://idp.test/realm'
const CI = 'https://ci.test'
const CONSOLE = 'console'
const directory = await temporaryDirectory({ after })
const key = jwksKey('ES256', 'one')
const file = join(directory, 'idp.json')
await writeFile(file, jwks(key))
const bundleFile = join(directory, 'corp.json')
await writeBundle(bundleFile, bundleOf(makeKey('ES256')))
const bundles = await openBundles([{ trustDomain: 'corp.test', file: bundleFile }])
const jwtSvid = createJwtSvidProver({ bundles, audience: ISSUER })

const options: UserIssuerOptions = {
  alias: 'staff',
  issuer: IDP,
  keys: { jwksFile: file },
  audiences: [ISSUER, CONSOLE],
  broker: ISSUER,
  attributes: { groups: '/groups', verified: '/email_verified' },
}
const staff = await openUserIssuer(options)
const idTokensOnly = await openUserIssuer({ ...options, tokenTypes: ['id_token'] })
const ci = await openOidcIssuer({
  alias: 'ci',
  issuer: CI,
  keys: { jwksFile: file },
  audience: ISSUER,
})
after(async () => {
  bundles.close()
  for (const one of [staff, idTokensOnly, ci]) await one.close()
})
const prover = (users = staff) =>
  createProver({ issuer: ISSUER, jwtSvid, issuers: [ci], users: [users] })

const idToken = (changes?: Changes) => token(key, { iss: IDP, sub: 'alice' }, changes)
const accessToken = (changes: Changes = {}) =>
  token(
    key,
    { iss: IDP, sub: 'alice', client_id: 'app', jti: 'j' },
    {
      ...changes,
      header: { typ: 'at+jwt', ...changes.header },
    },
  )
const BOT = 'spiffe://corp.test/agents/bot'
const idJag = (changes: Changes = {}) =>
  token(
    key,
    { iss: IDP, sub: 'alice', client_id: BOT, jti: 'j' },
    {
      ...changes,
      header: { typ: 'oauth-id-jag+jwt', ...changes.header },
    },
  )
const JKT = 'A'.repeat(43)

test('an ID token proves a user', async () => {
  const user = await userOf(
    prover(),
    idToken({ claims: { groups: ['a', 'b'], email_verified: true, nonce: 'n' } }),
  )
  assert.ok(User.isProven(user))
  assert.equal(user.id, 'user:staff:alice')
  assert.equal(user.issuer, 'staff')
  assert.equal(user.expiresAt, NOW + 290)
  assert.deepEqual({ ...user.attributes }, { groups: ['a', 'b'], verified: 'true' })
  for (const name of ['cnf', 'mayAct', 'act', 'clientId', 'resources'] as const) {
    assert.equal(user[name], undefined)
  }
})

test('each kind of token may be declared as what it is, or as a JWT, and as nothing else', async () => {
  const kinds: readonly (readonly [string, string])[] = [
    [ID_TOKEN, idToken()],
    [ID_TOKEN, idToken({ header: { typ: undefined } })],
    [ACCESS_TOKEN, accessToken()],
    [ACCESS_TOKEN, accessToken({ header: { typ: 'application/at+jwt' } })],
    [ID_JAG, idJag()],
  ]
  for (const [own, text] of kinds) {
    const one = prover()
    for (const type of [JWT, ID_TOKEN, ACCESS_TOKEN, ID_JAG]) {
      const answer = await refusalOf(() => one.proveToken(presented(text, type), NOW), text)
      const fits = type === JWT || type === own
      assert.equal(answer, fits ? 'proven' : 'identity_invalid token_type')
    }
  }
})

test('an ID-JAG names the client that may use it, and the resources and scopes it is for', async () => {
  const user = await userOf(
    prover(),
    idJag({ claims: { resource: ['https://a.test/mcp', 'https://b.test/mcp'] } }),
  )
  assert.equal(user.clientId, BOT)
  assert.deepEqual(user.resources, ['https://a.test/mcp', 'https://b.test/mcp'])
  assert.deepEqual(
    (await userOf(prover(), idJag({ claims: { resource: 'https://a.test/mcp' } }))).resources,
    ['https://a.test/mcp'],
  )
  assert.equal((await userOf(prover(), idJag())).resources, undefined)
  const { scopes } = await userOf(prover(), idJag({ claims: { scope: 'mcp:session other' } }))
  assert.deepEqual(scopes, ['mcp:session', 'other'])
  assert.equal((await userOf(prover(), idJag())).scopes, undefined)
  assert.equal((await userOf(prover(), accessToken())).clientId, undefined)
})

const ACTORS: readonly (readonly [string, unknown, string])[] = [
  ['a SPIFFE ID', { sub: BOT }, BOT],
  ['a SPIFFE ID and its trust domain', { sub: BOT, iss: 'spiffe://corp.test' }, BOT],
  ['a subject of a workload issuer', { sub: 'project:7', iss: CI }, 'oidc:ci:project:7'],
  ['a workload id', { sub: 'oidc:ci:project:7' }, 'oidc:ci:project:7'],
]
for (const [name, may_act, id] of ACTORS) {
  test(`may_act can be ${name}`, async () => {
    assert.equal((await userOf(prover(), idToken({ claims: { may_act } }))).mayAct, id)
  })
}

const UNREADABLE: readonly (readonly [string, unknown])[] = [
  ['text', BOT],
  ['null', null],
  ['a list', [{ sub: BOT }]],
  ['nobody', {}],
  ['an empty name', { sub: '' }],
  ['a trust domain', { sub: 'spiffe://corp.test' }],
  ['a broken SPIFFE ID', { sub: 'spiffe://corp.test/a//b' }],
  ['a SPIFFE ID of another domain than iss', { sub: BOT, iss: 'spiffe://other.test' }],
  ['a SPIFFE ID of an issuer', { sub: BOT, iss: CI }],
  ['a subject of an unknown issuer', { sub: 'x', iss: 'https://x.test' }],
  ['a subject of the user issuer itself', { sub: 'x', iss: IDP }],
  ['an id of an unknown issuer', { sub: 'oidc:x:y' }],
  ['a name without an issuer', { sub: 'admin@corp.test' }],
  ['one more limit', { sub: BOT, client_id: 'x' }],
]
for (const [name, may_act] of UNREADABLE) {
  test(`refused rather than ignored: may_act that is ${name}`, async () => {
    assert.equal(await refused(idToken({ claims: { may_act } })), 'delegation_refused may_act')
  })
}

const chain = (depth: number): unknown =>
  depth === 1 ? { sub: 'a' } : { sub: 'a', act: chain(depth - 1) }

test('a chain of actors is read as it is, outermost first', async () => {
  const act = {
    sub: BOT,
    iss: 'spiffe://corp.test',
    sub_profile: 'ai_agent',
    act: { sub: 'b', amr: 'x' },
  }
  const user = await userOf(prover(), idToken({ claims: { act } }))
  assert.deepEqual(user.act, { ...act, act: { sub: 'b' } })
  assert.throws(() => Object.assign(user.act?.act ?? {}, { sub: 'c' }), TypeError)
  assert.equal(await refused(idToken({ claims: { act: chain(8) } })), 'proven')
  assert.equal(await refused(idToken({ claims: { act: chain(9) } })), 'delegation_refused depth')
})

test('a token bound to a key says which', async () => {
  for (const cnf of [{ jkt: JKT }, { 'x5t#S256': JKT }]) {
    assert.deepEqual({ ...(await userOf(prover(), idToken({ claims: { cnf } }))).cnf }, cnf)
  }
})

test('with several audiences, the one it was issued to is ours too', async () => {
  const user = await userOf(prover(), idToken({ claims: { aud: ['x', ISSUER], azp: CONSOLE } }))
  assert.equal(user.id, 'user:staff:alice')
})

const refused = (text: string) => refusalOf(() => prover().proveToken(presented(text), NOW), text)

const REFUSED: readonly (readonly [string, string, string])[] = [
  ['an unknown typ', 'typ', idToken({ header: { typ: 'secevent+jwt' } })],
  ['typ at+jwt in capitals', 'typ', accessToken({ header: { typ: 'AT+JWT' } })],
  [
    'a logout token of an older issuer',
    'typ',
    idToken({ claims: { events: { 'http://schemas.openid.net/event/backchannel-logout': {} } } }),
  ],
  ['no iat', 'claims', idToken({ claims: { iat: undefined } })],
  ['a nonce that is no text', 'claims', idToken({ claims: { nonce: 1 } })],
  ['the client of an access token', 'typ', idToken({ claims: { client_id: 'alice' } })],
  ['the scope of an access token', 'typ', idToken({ claims: { scope: 'openid' } })],
  ['the scopes of an access token', 'typ', idToken({ claims: { scp: ['openid'] } })],
  ['another audience', 'audience', idToken({ claims: { aud: 'x' } })],
  ['an empty list of audiences', 'audience', idToken({ claims: { aud: [] } })],
  [
    'an audience that is no text',
    'audience',
    idToken({ claims: { aud: [ISSUER, 1], azp: CONSOLE } }),
  ],
  ['several audiences and no azp', 'audience', idToken({ claims: { aud: [ISSUER, 'x'] } })],
  [
    'several audiences and a foreign azp',
    'audience',
    idToken({ claims: { aud: [ISSUER, 'x'], azp: 'x' } }),
  ],
  ['an azp that is no text', 'claims', idToken({ claims: { azp: 7 } })],
  [
    'an access token without client_id',
    'claims',
    accessToken({ claims: { client_id: undefined } }),
  ],
  ['an access token without jti', 'claims', accessToken({ claims: { jti: undefined } })],
  ['an access token without iat', 'claims', accessToken({ claims: { iat: undefined } })],
  [
    'an access token of a client for itself',
    'subject',
    accessToken({ claims: { client_id: 'alice' } }),
  ],
  ['an ID-JAG without client_id', 'claims', idJag({ claims: { client_id: undefined } })],
  ['an ID-JAG without jti', 'claims', idJag({ claims: { jti: undefined } })],
  ['an ID-JAG without iat', 'claims', idJag({ claims: { iat: undefined } })],
  ['an access token for another', 'audience', accessToken({ claims: { aud: 'x' } })],
  ['an access token for two', 'audience', accessToken({ claims: { aud: [ISSUER, 'x'] } })],
  ['an actor that is nobody', 'claims', idToken({ claims: { act: null } })],
  ['an ID-JAG for a client of ours', 'audience', idJag({ claims: { aud: CONSOLE } })],
  ['an ID-JAG for two', 'audience', idJag({ claims: { aud: [ISSUER, 'x'] } })],
  ['an ID-JAG that grants details', 'claims', idJag({ claims: { authorization_details: [] } })],
  ['an ID-JAG for no resource', 'claims', idJag({ claims: { resource: [] } })],
  ['an ID-JAG for a resource that is no URI', 'claims', idJag({ claims: { resource: 'mcp' } })],
  ['a binding to a whole key', 'claims', idToken({ claims: { cnf: { jwk: {} } } })],
  ['a binding to two keys', 'claims', idToken({ claims: { cnf: { jkt: JKT, 'x5t#S256': JKT } } })],
  ['a binding to a short thumbprint', 'claims', idToken({ claims: { cnf: { jkt: 'AAAA' } } })],
  ['a binding to nothing', 'claims', idToken({ claims: { cnf: {} } })],
  ['an actor without a name', 'claims', idToken({ claims: { act: { iss: 'x' } } })],
  [
    'an actor with a name in which something is invisible',
    'claims',
    idToken({ claims: { act: { sub: 'a\u202eb' } } }),
  ],
  ['an ID-JAG for no scope', 'claims', idJag({ claims: { scope: '' } })],
  ['an actor that is text', 'claims', idToken({ claims: { act: BOT } })],
  ['an actor that expires', 'claims', idToken({ claims: { act: { sub: 'a', exp: 1 } } })],
  ['a sub in the form of a SPIFFE ID', 'key', idToken({ claims: { sub: BOT } })],
  ['a sub that is nearly a SPIFFE ID', 'subject', idToken({ claims: { sub: 'Spiffe:bot' } })],
  ['a key of a workload issuer', 'key', token(jwksKey('ES256', 'ci'), { iss: IDP, sub: 'alice' })],
]
for (const [name, check, text] of REFUSED) {
  test(`refused for its ${check}: a user's token with ${name}`, async () => {
    assert.equal(await refused(text), `identity_invalid ${check}`)
  })
}

test('an issuer can be limited to some kinds of token', async () => {
  const one = prover(idTokensOnly)
  for (const text of [accessToken(), idJag()]) {
    const answer = await refusalOf(() => one.proveToken(presented(text), NOW), text)
    assert.equal(answer, 'identity_invalid token_type')
  }
  assert.equal((await userOf(one, idToken())).id, 'user:staff:alice')
})

test("the broker's own tokens never speak for a user", async () => {
  await assert.rejects(openUserIssuer({ ...options, issuer: ISSUER }), TypeError)
  for (const tokenTypes of [[], ['jwt' as never]]) {
    await assert.rejects(openUserIssuer({ ...options, tokenTypes }), TypeError)
  }
})

const FACTS = {
  id: 'user:staff:alice',
  issuer: 'staff',
  expiresAt: 1,
  credential: 'x',
  attributes: {},
  cnf: undefined,
  mayAct: undefined,
  act: undefined,
  clientId: undefined,
  resources: undefined,
  scopes: undefined,
}

test('a user cannot be constructed, imitated or changed', () => {
  const Constructor = User as unknown as new (...args: unknown[]) => User
  assert.throws(() => new Constructor(FACTS), TypeError)
  assert.throws(() => new Constructor(FACTS, Symbol('proven')), TypeError)
  assert.equal(User.isProven(provenUser(FACTS)), true)
  for (const other of [{ ...FACTS }, Object.create(User.prototype), null]) {
    assert.equal(User.isProven(other), false)
  }
  assert.throws(() => Object.assign(provenUser(FACTS), { id: 'user:staff:bob' }), TypeError)
})

test('only identity/ makes users', () => {
  const source = new URL('../../src/', import.meta.url).pathname
  const callers = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((one) => one.endsWith('.ts') && !one.startsWith('identity/'))
    .filter((one) => readFileSync(join(source, one), 'utf8').includes('provenUser'))
  assert.deepEqual(callers, [])
})
