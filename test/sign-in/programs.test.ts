// Tokens for the admin side from the broker's own token endpoint, and what the admin side believes of them.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import type Koa from 'koa'
import type { JsonObject } from '../../src/lib/json.ts'
import { mintToken } from '../../src/mint/mint.ts'
import { refuse } from '../../src/refusal.ts'
import { ofConnections } from '../../src/server/client-certificate.ts'
import { createMetrics } from '../../src/server/metrics.ts'
import { createProvider, HOSTED_GRANTS } from '../../src/server/provider.ts'
import { router } from '../../src/server/routes.ts'
import { tokenEndpoint } from '../../src/server/token.ts'
import { DELEGATION_TYP } from '../../src/token/delegation.ts'
import { type SigningKey, signJws } from '../../src/token/jws.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../../src/token/proof.ts'
import { sessionId } from '../../src/token/session-id.ts'
import {
  assertion,
  claimsOf,
  type Fixture,
  seconds,
  send as sendBody,
  startFixture,
  testClient,
} from '../server/fixture.ts'
import { makeSigningKey } from '../support/feed-keys.ts'
import { type Answer, type Site, send, startSite } from './site.ts'

const ops = testClient('ops', { scopes: ['writ:viewer', 'writ:admin'] })
const watcher = testClient('watcher', { scopes: ['writ:viewer'] })
const server = testClient('notes', { scopes: ['writ:introspect'] })
const clients = [ops, watcher, server].map(({ client }) => client)

let broker: Fixture
let site: Site
let tokenUrl: string
const closing: (() => Promise<unknown>)[] = []

before(async () => {
  broker = await startFixture({ clients })
  site = await startSite({ issuer: broker.issuer, clients, keys: broker.parts.keys })
  const common = { broker: broker.broker, clock: seconds, adminUrl: site.url }
  const provider = createProvider({ ...common, keys: broker.parts.keys, clients })
  const koa = provider as unknown as Koa
  koa.use(
    router({
      '/token': {
        POST: tokenEndpoint({
          ...common,
          url: broker.broker.tokenEndpoint,
          metrics: createMetrics({
            feedFresh: () => true,
            feedStreams: () => 0,
            inFlight: () => 0,
          }),
          bodyBytes: 65_536,
          hosted: HOSTED_GRANTS,
          certificates: ofConnections(),
        }),
      },
    }),
  )
  const http = createServer(koa.callback()).listen(0, '127.0.0.1')
  await new Promise((resolve) => http.once('listening', resolve))
  tokenUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/token`
  closing.push(() => new Promise((resolve) => http.close(resolve)))
})
after(async () => {
  for (const close of closing) await close()
  await site.close()
  await broker.close()
})

async function askToken(who = ops, extra: Record<string, string> = {}, key = generateSenderKey()) {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    resource: site.url,
    scope: who.client.scopes.join(' '),
    ...assertion(broker.issuer, who, {}),
    ...extra,
  })
  const dpop = makeProof(key, {
    method: 'POST',
    url: broker.broker.tokenEndpoint,
    now: seconds(),
  })
  const answer = await sendBody(tokenUrl, { body: form, headers: { dpop } })
  return { answer, key, token: String(answer.body.access_token) }
}

function ask(token: string, key: SenderKey, proof: Partial<Parameters<typeof makeProof>[1]> = {}) {
  const request = { method: 'GET', url: `${site.url}/v1/me`, now: site.now(), accessToken: token }
  const dpop = makeProof(key, { ...request, ...proof })
  return send(`${site.url}/v1/me`, { headers: { authorization: `DPoP ${token}`, dpop } })
}

const whyOf = ({ status, body }: Answer) => [status, body.code, body.why]

test('a program gets a token for the admin side, and is who it says with the highest role', async () => {
  const { answer, token, key } = await askToken()
  assert.equal(answer.status, 200, answer.text)
  const claims = claimsOf(token)
  assert.deepEqual([claims.aud, claims.scope], [site.url, 'writ:viewer writ:admin'])
  assert.equal((claims.cnf as { jkt: string }).jkt, key.jkt)
  const { body } = await ask(token, key)
  const { id, kind, role, name } = body
  assert.deepEqual([id, kind, role, name], ['client:ops', 'client', 'admin', 'ops'])
  const record = broker.records.at(-1)!
  assert.deepEqual([record.outcome, record.server], ['issued', site.url])
})

test('a token for the broker is as it was, and none is issued for anyone else', async () => {
  const own = await askToken(ops, { resource: broker.issuer })
  assert.equal(claimsOf(own.token).aud, broker.issuer)
  assert.deepEqual(whyOf(await ask(own.token, own.key)), [401, 'signin_required', 'audience'])
  const other = await askToken(ops, { resource: `${site.url}/other` })
  assert.notEqual(other.answer.status, 200)
})

test('a scope without a role opens nothing', async () => {
  const none = await askToken(server, { scope: 'writ:introspect' })
  assert.equal(claimsOf(none.token).scope, '')
  assert.deepEqual(whyOf(await ask(none.token, none.key)), [401, 'signin_required', 'scope'])
  const more = await askToken(watcher, { scope: 'writ:admin' })
  assert.notEqual(more.answer.status, 200)
  const viewer = await askToken(watcher)
  assert.equal((await ask(viewer.token, viewer.key)).body.role, 'viewer')
})

test('a token is believed with a proof of its own key, for this request, once', async () => {
  const { token, key } = await askToken()
  const cases: [string, Promise<Answer>][] = [
    ['another key', ask(token, generateSenderKey())],
    ['another token', ask(token, key, { accessToken: `${token}x` })],
    ['another path', ask(token, key, { url: `${site.url}/v1/people` })],
    ['another method', ask(token, key, { method: 'POST' })],
    ['another host', ask(token, key, { url: 'http://127.0.0.1/v1/me' })],
    ['too old', ask(token, key, { now: site.now() - 120 })],
    ['no proof', send(`${site.url}/v1/me`, { headers: { authorization: `DPoP ${token}` } })],
  ]
  for (const [what, answer] of cases) {
    assert.deepEqual(whyOf(await answer), [401, 'signin_required', 'proof'], what)
  }
  const proof = () => {
    const request = { method: 'GET', url: `${site.url}/v1/me`, accessToken: token }
    return makeProof(key, { ...request, now: site.now() })
  }
  const forms = [`Bearer ${token}`, 'DPoP', `DPoP ${token} x`, [`DPoP ${token}`, `DPoP ${token}`]]
  for (const authorization of forms) {
    const answer = await send(`${site.url}/v1/me`, { headers: { authorization, dpop: proof() } })
    assert.deepEqual(whyOf(answer), [401, 'signin_required', 'form'], String(authorization))
  }
  const dpop = proof()
  const headers = { authorization: `DPoP ${token}`, dpop }
  const all = await Promise.all(
    Array.from({ length: 40 }, () => send(`${site.url}/v1/me`, { headers })),
  )
  assert.equal(all.filter(({ status }) => status === 200).length, 1)
})

test('what the broker did not sign so, or did not sign for this, is not believed', async () => {
  const key = generateSenderKey()
  const now = Math.floor(site.now())
  const claims = {
    iss: broker.issuer,
    aud: site.url,
    sub: 'ops',
    client_id: 'ops',
    jti: 'a-token',
    iat: now,
    exp: now + 60,
    sid: sessionId('ops', 'ops', { jkt: key.jkt }),
    scope: 'writ:admin',
    cnf: { jkt: key.jkt },
  }
  const minted = (change: object) =>
    mintToken({ ...claims, ...change }, broker.parts.keys.current(now))
  assert.equal((await ask(minted({}), key)).status, 200)
  const wrong: [string, object][] = [
    ['another issuer', { iss: 'https://other.example' }],
    ['another audience', { aud: `${site.url}/` }],
    ['two audiences', { aud: [site.url, broker.issuer] }],
    ['on behalf of somebody', { sub: 'user:somebody' }],
    ['over', { iat: now - 120, exp: now - 60 }],
    ['not yet', { iat: now + 60, exp: now + 120 }],
    ['for too long', { exp: now + 3600 }],
    ['bound to a certificate', { cnf: { 'x5t#S256': key.jkt } }],
    ['of a client that is not registered', { sub: 'gone', client_id: 'gone' }],
    ['with a role the client may not have', { sub: 'watcher', client_id: 'watcher' }],
    ['without an id', { jti: undefined }],
    ['with an id that no store takes', { jti: 'a token' }],
    ['without a session', { sid: undefined }],
    ['without a scope', { scope: undefined }],
    ['with a time that is text', { iat: String(now) }],
    ['that ends when it begins', { exp: now }],
  ]
  for (const [what, change] of wrong) {
    assert.equal((await ask(minted(change), key)).status, 401, what)
  }
  const current = broker.parts.keys.current(now)
  const headers: [string, object, SigningKey, string][] = [
    ['a delegation', { typ: DELEGATION_TYP }, current, 'form'],
    ['an assertion', { typ: 'JWT' }, current, 'form'],
    ['no type', {}, current, 'form'],
    ['a key of somebody else', { typ: 'at+jwt' }, makeSigningKey('other'), 'unknown'],
    ['another key of that name', { typ: 'at+jwt' }, makeSigningKey(current.kid), 'unknown'],
  ]
  for (const [what, header, by, why] of headers) {
    const signed = signJws(header as JsonObject, claims, by)
    assert.deepEqual(whyOf(await ask(signed, key)), [401, 'signin_required', why], what)
  }
  const [head, payload, signature] = minted({}).split('.') as [string, string, string]
  const forged = `${head}.${payload}.${signature.slice(0, -8)}AAAAAAAA`
  assert.deepEqual(whyOf(await ask(forged, key)), [401, 'signin_required', 'unknown'])
})

test('a token that was revoked is over, by its id, its session and its client', async () => {
  const { token, key } = await askToken()
  site.revoked.checked.length = 0
  site.revoked.refuse = () => refuse({ code: 'revoked', target: 'agent' })
  assert.deepEqual(whyOf(await ask(token, key)), [401, 'signin_required', 'ended'])
  site.revoked.refuse = () => refuse({ code: 'revocations_stale' })
  assert.equal((await ask(token, key)).status, 503)
  site.revoked.refuse = undefined
  const { jti, sid } = claimsOf(token)
  const [subject] = site.revoked.checked
  assert.deepEqual(
    [subject?.jti, subject?.session, subject?.agents, subject?.principal],
    [jti, sid, ['ops'], 'ops'],
  )
})
