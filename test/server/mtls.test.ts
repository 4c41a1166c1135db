import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createDevelopmentDomain, type DevelopmentDomain } from '../../src/identity/development.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import {
  AGENT,
  assertion,
  claimsOf,
  exchangeForm,
  type Fixture,
  RESOURCE,
  seconds,
  send,
  startFixture,
  testClient,
  transfer,
} from './fixture.ts'
import {
  authorityOf,
  type Identity,
  identityOf,
  intermediateOf,
  leafOf,
  mtlsPart,
  proofFor,
  sendTls,
  tlsOptions,
} from './tls.ts'

const admin = testClient('admin', { scopes: ['writ:admin', 'writ:introspect'] })

let fixture: Fixture
let part: Awaited<ReturnType<typeof mtlsPart>>
let other: DevelopmentDomain
let directory: string
let agent: Identity
/** How far the broker's clock has gone on. */
let laterSeconds = 0
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-mtls-'))
  other = await createDevelopmentDomain({ directory, trustDomain: 'other.test' })
  fixture = await startFixture({
    domains: [other],
    clients: [admin.client],
    withDomain: async (domain) => {
      part = await mtlsPart(domain)
      return { mtls: part, clock: () => seconds() + laterSeconds }
    },
  })
  agent = await identityOf(fixture.domain, '/agents/report-bot')
})
after(async () => {
  await fixture.close()
  await rm(directory, { recursive: true })
})

const tokenUrl = () => `${part.url}/token`
const derOf = ({ cert }: Identity) =>
  Buffer.from(cert.split('-----')[2]!.replaceAll(/\s/g, ''), 'base64')

/** What an agent sends that has nothing but its certificate. */
const ownForm = (extra: Record<string, string> = {}) =>
  new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: AGENT,
    resource: RESOURCE,
    authorization_details: transfer(),
    ...extra,
  })

const post = (
  body: URLSearchParams,
  identity: Identity | undefined = agent,
  headers: Record<string, string | string[]> = {},
) => sendTls(tokenUrl(), { tls: tlsOptions(fixture.domain, identity), body, headers })

test('a certificate alone gets a token that is bound to it', async () => {
  const { status, body } = await post(ownForm())
  assert.deepEqual([status, body.token_type], [200, 'Bearer'])
  const claims = claimsOf(body.access_token)
  assert.deepEqual(claims.cnf, { 'x5t#S256': certificateThumbprint(derOf(agent)) })
  assert.deepEqual([claims.sub, claims.client_id, claims.iss], [AGENT, AGENT, fixture.issuer])
  const record = fixture.records.at(-1)!
  assert.deepEqual(
    [record.outcome, record.door, record.workload],
    ['issued', 'client_credentials', AGENT],
  )
})

test('introspection names the certificate, and the token as Bearer', async () => {
  const token = String((await post(ownForm())).body.access_token)
  const body = new URLSearchParams({ token, ...assertion(fixture.issuer, admin) })
  const answer = await send(`${fixture.issuer}/introspect`, { body })
  const { active, token_type, cnf } = answer.body
  assert.deepEqual([active, token_type], [true, 'Bearer'])
  assert.deepEqual(cnf, { 'x5t#S256': certificateThumbprint(derOf(agent)) })
})

test('with a DPoP proof beside the certificate the token is bound to the proof', async () => {
  const key = generateSenderKey()
  const { status, body } = await post(ownForm(), agent, proofFor(tokenUrl(), key))
  assert.deepEqual([status, body.token_type], [200, 'DPoP'])
  assert.deepEqual(claimsOf(body.access_token).cnf, { jkt: key.jkt })
})

test('a client without a certificate proves itself as it would elsewhere', async () => {
  const form = await exchangeForm(fixture)
  const key = generateSenderKey()
  const headers = proofFor(tokenUrl(), key)
  const tls = tlsOptions(fixture.domain)
  const { status, body } = await sendTls(tokenUrl(), { tls, body: form, headers })
  assert.deepEqual([status, body.token_type], [200, 'DPoP'])
})

test('a proof for the one token endpoint is none for the other', async () => {
  const form = await exchangeForm(fixture)
  const headers = proofFor(`${fixture.issuer}/token`, generateSenderKey())
  const { status, body } = await post(form, agent, headers)
  assert.deepEqual([status, body.error], [400, 'invalid_dpop_proof'])
  const there = await send(`${fixture.issuer}/token`, {
    body: await exchangeForm(fixture),
    headers: proofFor(tokenUrl(), generateSenderKey()),
  })
  assert.deepEqual([there.status, there.body.error], [400, 'invalid_dpop_proof'])
})

test('by JWT-SVID and by X509-SVID it is one principal', async () => {
  const byToken = await send(`${fixture.issuer}/token`, {
    body: await exchangeForm(fixture),
    headers: proofFor(`${fixture.issuer}/token`, generateSenderKey()),
  })
  const byCertificate = await post(ownForm())
  const names = [byToken, byCertificate].map(({ body }) => {
    const { sub, client_id, aud, scope } = claimsOf(body.access_token)
    return { sub, client_id, aud, scope }
  })
  assert.deepEqual(names[0], names[1])
})

test('intermediates that the client sends lead to the authority', async () => {
  const intermediate = await intermediateOf(authorityOf(fixture.domain), 'corp.test')
  const { cert, key } = await leafOf(intermediate, AGENT)
  assert.equal((await post(ownForm(), { cert: cert + intermediate.caPem, key })).status, 200)
  // Nothing is filled in: without the intermediate there is no path.
  const { status } = await post(ownForm(), { cert, key })
  assert.equal(status, 401)
  assert.deepEqual(fixture.records.at(-1)!.evidence, { check: 'chain' })
})

/** Each: who connects, what it asks, what it is told, and what the audit says. */
const refused: [
  string,
  () => Promise<{ identity?: Identity; form?: URLSearchParams; headers?: Record<string, string> }>,
  [number, string],
  [string, Record<string, unknown>],
][] = [
  [
    'a certificate of one trust domain that another authority signed',
    async () => ({ identity: await leafOf(authorityOf(other), AGENT) }),
    [401, 'invalid_client'],
    ['identity_invalid', { check: 'chain' }],
  ],
  [
    'the certificate of an authority itself',
    async () => {
      const cert = readFileSync(join(fixture.domain.directory, 'ca.pem'), 'utf8')
      const key = readFileSync(join(fixture.domain.directory, 'ca.key'), 'utf8')
      return { identity: { cert, key } }
    },
    [401, 'invalid_client'],
    ['identity_invalid', { check: 'spiffe_id' }],
  ],
  [
    'a client_id that is not the one in the certificate',
    async () => ({ form: ownForm({ client_id: `${AGENT}/other` }) }),
    [401, 'invalid_client'],
    ['identity_conflict', { between: 'client_id and certificate' }],
  ],
  [
    'such a client_id in a token exchange',
    async () => ({ form: await exchangeForm(fixture, { client_id: `${AGENT}/other` }) }),
    [401, 'invalid_client'],
    ['identity_conflict', { between: 'client_id and certificate' }],
  ],
  [
    'a JWT-SVID of another workload as subject',
    async () => ({
      form: await exchangeForm(fixture, {
        subject_token: await fixture.svid({ path: '/agents/other' }),
      }),
    }),
    [400, 'invalid_request'],
    ['identity_conflict', { between: 'subject_token and certificate' }],
  ],
  [
    'a JWT-SVID of another workload as client assertion',
    async () => ({
      form: ownForm({
        client_id: `${AGENT}/other`,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
        client_assertion: await fixture.svid({ path: '/agents/report-bot/other' }),
      }),
    }),
    [401, 'invalid_client'],
    ['identity_conflict', { between: 'client authentication and certificate' }],
  ],
  [
    'a Client-Cert field on the TLS listener, instead of a certificate',
    async () => ({
      identity: undefined,
      headers: { 'client-cert': `:${derOf(agent).toString('base64')}:` },
    }),
    [401, 'invalid_client'],
    ['certificate_untrusted', { peer: '127.0.0.1' }],
  ],
]
for (const [title, make, [status, error], [reason, evidence]] of refused) {
  test(`${title} is refused as ${error} and recorded as ${reason}`, async () => {
    const made = await make()
    const identity = 'identity' in made ? made.identity : agent
    const tls = tlsOptions(fixture.domain, identity)
    const { form: body = ownForm(), headers = {} } = made
    const answer = await sendTls(tokenUrl(), { tls, body, headers })
    assert.deepEqual([answer.status, answer.body.error], [status, error])
    const record = fixture.records.at(-1)!
    assert.deepEqual(
      [record.outcome, record.reason, record.evidence],
      ['refused', reason, evidence],
    )
  })
}

test('a Client-Cert field changes nothing for who does not need it', async () => {
  const headers = { 'client-cert': ':AAAA:', 'client-cert-chain': ':AAAA:' }
  const { status, body } = await post(ownForm(), agent, headers)
  assert.equal(status, 200)
  const { cnf } = claimsOf(body.access_token)
  assert.deepEqual(cnf, { 'x5t#S256': certificateThumbprint(derOf(agent)) })
})

test('a certificate that ends during a connection ends what it is good for, not the connection', async () => {
  const brief = await identityOf(fixture.domain, '/agents/report-bot', 60)
  const keptOpen = new Agent({
    ...tlsOptions(fixture.domain, brief),
    keepAlive: true,
    maxSockets: 1,
  })
  const ask = () => sendTls(tokenUrl(), { tls: {}, agent: keptOpen, body: ownForm() })
  assert.equal((await ask()).status, 200)
  const [socket] = Object.values(keptOpen.freeSockets).flat()
  laterSeconds = 61
  const { status, body } = await ask()
  assert.deepEqual([status, body.error], [401, 'invalid_client'])
  const { reason, evidence } = fixture.records.at(-1)!
  assert.deepEqual([reason, evidence], ['identity_invalid', { check: 'expiry' }])
  laterSeconds = 0
  // The same connection serves what needs no certificate.
  assert.equal((await sendTls(`${part.url}/healthz`, { tls: {}, agent: keptOpen })).status, 200)
  assert.deepEqual(Object.values(keptOpen.freeSockets).flat(), [socket])
  keptOpen.destroy()
})

test('an emptied bundle distrusts open connections at once, and a restored one trusts them again', async () => {
  const workload = await identityOf(other, '/agents/guest')
  const tls = { ...tlsOptions(fixture.domain, workload), keepAlive: true, maxSockets: 1 }
  const keptOpen = new Agent(tls)
  const body = ownForm({ client_id: 'spiffe://other.test/agents/guest' })
  const ask = () => sendTls(tokenUrl(), { tls: {}, agent: keptOpen, body })
  assert.equal((await ask()).status, 200)
  const [socket] = Object.values(keptOpen.freeSockets).flat()
  const bundle = readFileSync(other.bundleFile, 'utf8')
  const become = async (text: string, status: number) => {
    writeFileSync(other.bundleFile, text)
    let answer = await ask()
    for (let i = 0; i < 100 && answer.status !== status; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      answer = await ask()
    }
    assert.equal(answer.status, status)
  }
  await become(JSON.stringify({ ...JSON.parse(bundle), spiffe_sequence: 2, keys: [] }), 401)
  assert.match(fixture.records.at(-1)!.reason!, /^identity_/)
  await become(JSON.stringify({ ...JSON.parse(bundle), spiffe_sequence: 3 }), 200)
  assert.deepEqual(Object.values(keptOpen.freeSockets).flat(), [socket])
  keptOpen.destroy()
})

test('a new certificate of the listener serves new connections and cuts no old one', async () => {
  const tls = tlsOptions(fixture.domain, agent)
  const keptOpen = new Agent({ ...tls, keepAlive: true, maxSockets: 1 })
  const health = `${part.url}/healthz`
  const serverCertificate = async (agentOf?: Agent) => {
    const options = agentOf ?? new Agent({ ...tls, keepAlive: true })
    await sendTls(health, { tls: {}, agent: options })
    const [socket] = Object.values(options.freeSockets).flat()
    const { fingerprint256 } = (socket as import('node:tls').TLSSocket).getPeerCertificate()
    if (agentOf === undefined) options.destroy()
    return fingerprint256
  }
  const first = await serverCertificate(keptOpen)
  assert.equal(await serverCertificate(), first)
  part.credentials.replace(await identityOf(fixture.domain, '/broker'))
  const second = await serverCertificate()
  assert.notEqual(second, first)
  assert.equal(await serverCertificate(keptOpen), first)
  // Everything else about the listener is as before.
  assert.equal((await post(ownForm())).status, 200)
  // What cannot be used is not used, and what could be goes on.
  part.credentials.replace({ ...(await identityOf(fixture.domain, '/broker')), key: agent.key })
  assert.equal(await serverCertificate(), second)
  part.credentials.replace(await identityOf(fixture.domain, '/broker'))
  assert.notEqual(await serverCertificate(), second)
  keptOpen.destroy()
})

test('the listener serves the exchange alone', async () => {
  const tls = tlsOptions(fixture.domain, agent)
  for (const path of [
    '/jwks',
    '/introspect',
    '/revoke',
    '/revocations',
    '/metrics',
    '/authorize',
  ]) {
    assert.equal((await sendTls(part.url + path, { tls })).status, 404, path)
  }
  const document = '/.well-known/oauth-authorization-server'
  const here = await sendTls(part.url + document, { tls })
  assert.deepEqual(here.body, (await send(fixture.issuer + document)).body)
  assert.deepEqual(here.body.mtls_endpoint_aliases, { token_endpoint: tokenUrl() })
  assert.equal(here.body.tls_client_certificate_bound_access_tokens, true)
  const methods = here.body.token_endpoint_auth_methods_supported as string[]
  assert.ok(methods.includes('spiffe_x509') && methods.includes('spiffe_jwt'))
  // What oidc-provider answers elsewhere has no target here.
  const proof = proofFor(tokenUrl(), generateSenderKey())
  for (const [who, headers] of [
    [{ client_id: AGENT }, {}],
    [assertion(fixture.issuer, admin), proof],
  ] as const) {
    const form = new URLSearchParams({ grant_type: 'client_credentials', ...who })
    const { status, body } = await post(form, agent, headers)
    assert.deepEqual([status, body.error], [400, 'invalid_target'])
  }
})

test('a foreign Host and a foreign Origin are refused here too', async () => {
  const tls = tlsOptions(fixture.domain, agent)
  for (const [headers, status] of [
    [{ host: 'evil.example' }, 421],
    [{ host: new URL(fixture.issuer).host }, 421],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: fixture.issuer }, 403],
    [{ origin: part.url }, 200],
    [{ origin: `https://localhost:${part.address.port}` }, 200],
    [{ origin: `http://localhost:${part.address.port}` }, 403],
  ] as const) {
    assert.equal((await sendTls(`${part.url}/healthz`, { tls, headers })).status, status)
  }
})

test('an exchange by certificate is the subject of revocation like any other', async () => {
  const identity = await identityOf(fixture.domain, '/agents/stopped')
  const value = 'spiffe://corp.test/agents/stopped'
  await fixture.parts.publisher.revoke({
    target: { kind: 'agent', value },
    reason: 'a test',
    by: 'a test',
  })
  const form = ownForm({ client_id: value })
  let answer = await post(form, identity)
  for (let i = 0; i < 50 && answer.status === 200; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    answer = await post(form, identity)
  }
  assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'])
  assert.equal(fixture.records.at(-1)!.reason, 'revoked')
})

test('a workload’s own assertion and its certificate are proofs of one caller', async () => {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: await fixture.svid(),
    resource: RESOURCE,
    authorization_details: transfer(),
  })
  assert.equal((await post(form)).body.token_type, 'Bearer')
})
