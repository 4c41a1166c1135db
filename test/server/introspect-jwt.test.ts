// RFC 9701, checked by two libraries that nobody here wrote.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'
import { Refusal } from '../../src/refusal.ts'
import { FeedTextError, verifyFeedText } from '../../src/revocation/feed-text.ts'
import { answerForm, INTROSPECTION_JWT } from '../../src/server/introspect-jwt.ts'
import { createTokenVerifier } from '../../src/token/access-token.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import {
  assertion,
  claimsOf,
  exchangeForm,
  type Fixture,
  postToken,
  RESOURCE,
  seconds,
  send,
  startFixture,
  testClient,
  tokenFrom,
} from './fixture.ts'

const admin = testClient('admin', { scopes: ['writ:admin'] })
const server = testClient('notes-server', { scopes: ['writ:introspect'], resources: [RESOURCE] })
const stranger = testClient('other-server', {
  scopes: ['writ:introspect'],
  resources: ['https://other.example/mcp'],
})
const unscoped = testClient('unscoped', { resources: [RESOURCE] })
const spent = new Set<unknown>()

let fixture: Fixture
before(async () => {
  fixture = await startFixture({
    clients: [admin, server, stranger, unscoped].map(({ client }) => client),
    parts: { isSpent: async ({ jti }) => spent.has(jti) },
  })
})
after(() => fixture.close())

const issueToken = (key = generateSenderKey()) => tokenFrom(fixture, { key })

const ask = (token: string, who = server, accept: string | null = INTROSPECTION_JWT) =>
  send(`${fixture.issuer}/introspect`, {
    body: new URLSearchParams({ token, ...assertion(fixture.issuer, who) }),
    headers: accept === null ? {} : { accept },
  })

/** What a server that uses jose makes of it. */
async function verified(text: string, audience = 'notes-server') {
  const jwks = jose.createRemoteJWKSet(new URL(`${fixture.issuer}/jwks`))
  return jose.jwtVerify<{ token_introspection: Record<string, unknown> }>(text, jwks, {
    algorithms: ['ES256'],
    typ: 'token-introspection+jwt',
    issuer: fixture.issuer,
    audience,
    requiredClaims: ['iat', 'token_introspection'],
    maxTokenAge: 5,
  })
}

test('the audience of a token is told what it is, signed, and addressed to it alone', async () => {
  const token = await issueToken()
  const { status, headers, text } = await ask(token)
  assert.equal(status, 200)
  assert.equal(headers['content-type'], 'application/token-introspection+jwt')
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(headers.vary, 'Accept')
  const { payload } = await verified(text)
  assert.deepEqual(payload.token_introspection, {
    active: true,
    ...claimsOf(token),
    token_type: 'DPoP',
  })
  assert.deepEqual(Object.keys(payload).sort(), ['aud', 'iat', 'iss', 'token_introspection'])
  await assert.rejects(verified(text, 'other-server'), jose.errors.JWTClaimValidationFailed)
  const changed = text.replace(/\.[^.]+\./, (part) => `.${part.slice(1, -2)}A.`)
  await assert.rejects(verified(changed), jose.errors.JOSEError)
})

test('oauth4webapi takes the answer as the metadata leads it to expect it', async () => {
  const insecure = { [oauth.allowInsecureRequests]: true }
  const issuer = new URL(fixture.issuer)
  const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
  const as = await oauth.processDiscoveryResponse(issuer, found)
  assert.ok(as.introspection_signing_alg_values_supported?.includes('ES256'))
  const key = await crypto.subtle.importKey(
    'jwk',
    server.privateKey.export({ format: 'jwk' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  )
  const client = { client_id: 'notes-server' }
  const response = await oauth.introspectionRequest(
    as,
    client,
    oauth.PrivateKeyJwt({ key, kid: server.kid }),
    await issueToken(),
    { requestJwtResponse: true, ...insecure },
  )
  const told = await oauth.processIntrospectionResponse(as, client, response)
  assert.equal(told.active, true)
  await oauth.validateApplicationLevelSignature(as, response, insecure)
})

/** Each: why a token is not active for this asker. */
const inactive: [string, () => Promise<[string, typeof admin?]>][] = [
  ['a text that is no token', async () => ['x']],
  ['a token for another server', async () => [await issueToken(), stranger]],
  ['a client without the scope', async () => [await issueToken(), unscoped]],
  [
    'a spent token',
    async () => {
      const token = await issueToken()
      spent.add(claimsOf(token).jti)
      return [token]
    },
  ],
  [
    'a revoked token',
    async () => {
      const token = await issueToken()
      const body = new URLSearchParams({ token, ...assertion(fixture.issuer, admin) })
      assert.equal((await send(`${fixture.issuer}/revoke`, { body })).status, 200)
      return [token]
    },
  ],
]
for (const [title, make] of inactive) {
  test(`${title}: signed, inactive, and nothing else`, async () => {
    const [token, who = server] = await make()
    const { payload } = await verified((await ask(token, who)).text, who.client.clientId)
    assert.deepEqual(payload.token_introspection, { active: false })
  })
}

test('an admin is told of every token', async () => {
  const { payload } = await verified((await ask(await issueToken(), admin)).text, 'admin')
  assert.equal(payload.token_introspection.active, true)
})

test('a signed answer is no access token, nothing of the feed, and leads to nothing', async () => {
  const { text } = await ask(await issueToken())
  const now = seconds()
  // Even for somebody who asked under the very name of a resource.
  const { issuer } = fixture
  const keys = fixture.parts.keys.verification(now)
  const tokens = createTokenVerifier({ issuer, audience: 'notes-server', keys })
  await assert.rejects(async () => tokens.verify(text, now), isRefusal('typ'))
  await assert.rejects(async () => verifyFeedText(text, issuer, keys), FeedTextError)
  const { payload } = await verified((await ask(text)).text)
  assert.deepEqual(payload.token_introspection, { active: false })
  const form = await exchangeForm(fixture, { subject_token: text })
  assert.equal((await postToken(fixture, form)).status, 400)
})

function isRefusal(check: string) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal)
    assert.deepEqual(error.reason, { code: 'token_invalid', check })
    return true
  }
}

test('without client authentication there is no answer to sign', async () => {
  const body = new URLSearchParams({ token: await issueToken() })
  const headers = { accept: INTROSPECTION_JWT }
  const answer = await send(`${fixture.issuer}/introspect`, { body, headers })
  assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'])
})

const JWT = INTROSPECTION_JWT
const forms: [string | undefined, 'json' | 'jwt' | undefined | 'malformed'][] = [
  [undefined, 'json'],
  ['*/*', 'json'],
  ['application/*', 'json'],
  ['application/json', 'json'],
  ['application/json; charset=utf-8', 'json'],
  ['application/json; charset=latin1', undefined],
  ['application/json; charset=utf-8x', undefined],
  ['application/json; charset=x-utf-8', undefined],
  ['application/json; CHARSET="UTF-8"', 'json'],
  ['application/json;Q=0.5', 'json'],
  ['application/json; profile=utf-8', undefined],
  [JWT, 'jwt'],
  [JWT.toUpperCase(), 'jwt'],
  [`${JWT}, application/json`, 'jwt'],
  [`application/json,, ${JWT} ;q=1.000,`, 'jwt'],
  [`${JWT};q=0.5, application/json`, 'json'],
  [`${JWT}, */*;q=0.1`, 'jwt'],
  [`${JWT};q=0, */*`, 'json'],
  ['application/json;q=0, */*', 'jwt'],
  [`${JWT};q=0`, undefined],
  [`${JWT};version=2`, undefined],
  [`${JWT};version="a,b;q=1", text/html`, undefined],
  ['text/html', undefined],
  ['', undefined],
  [JWT.slice(0, -1), undefined],
  [`x${JWT}`, undefined],
  [`${JWT} application/json`, 'malformed'],
  [`${JWT};`, 'malformed'],
  [`${JWT};q=2`, 'malformed'],
  [`${JWT};q="1"`, 'malformed'],
  [`${JWT};q=0.0001`, 'malformed'],
  ['application', 'malformed'],
  ['application/', 'malformed'],
  [`${JWT};a="`, 'malformed'],
  [`${JWT}${' '.repeat(2000)}`, 'malformed'],
]
for (const [accept, expected] of forms) {
  test(`Accept ${JSON.stringify(accept)?.slice(0, 70)}: ${expected ?? 'neither form'}`, () => {
    if (expected !== 'malformed') return assert.equal(answerForm(accept), expected)
    assert.throws(() => answerForm(accept), Refusal)
  })
}

test('no Accept makes the reader fail in another way, or take long', () => {
  const piece = fc.constantFrom(JWT, '*/*', 'a/b', ';q=0.5', ';', ',', ' ', '"', '\\', '=', '\t')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((all) => all.join('')),
      ),
      (accept) => {
        try {
          assert.ok([undefined, 'json', 'jwt'].includes(answerForm(accept)))
        } catch (error) {
          assert.ok(error instanceof Refusal)
        }
      },
    ),
  )
})

test('an Accept that cannot be served, or read, is refused and not guessed at', async () => {
  const token = await issueToken()
  assert.equal((await ask(token, server, 'text/html')).status, 406)
  assert.equal((await ask(token, server, `${JWT};`)).status, 400)
  assert.equal((await ask(token, server, null)).body.active, true)
})
