// RFC 9440: certificates that a proxy passes on, and those that somebody else does.
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { ofConnections, ofProxies } from '../../src/server/client-certificate.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import {
  AGENT,
  claimsOf,
  exchangeForm,
  type Fixture,
  RESOURCE,
  send,
  startFixture,
  transfer,
} from './fixture.ts'
import { authorityOf, type Identity, identityOf, intermediateOf, leafOf, proofFor } from './tls.ts'

/** One behind a proxy on this machine, one that nobody stands before. */
let behind: Fixture
let open: Fixture
before(async () => {
  behind = await startFixture({ parts: { proxies: ['192.0.2.1', '127.0.0.0/8'] } })
  open = await startFixture({ parts: { proxies: ['192.0.2.1'] } })
})
after(() => Promise.all([behind.close(), open.close()]))

const items = (pem: string) =>
  [...pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----/g)].map(
    ([, body]) => `:${body!.replaceAll(/\s/g, '')}:`,
  )
function fieldsOf({ cert }: Identity): Record<string, string> {
  const [leaf, ...chain] = items(cert)
  return {
    'client-cert': leaf!,
    ...(chain.length === 0 ? {} : { 'client-cert-chain': chain.join(', ') }),
  }
}
const ownForm = (extra: Record<string, string> = {}) =>
  new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: AGENT,
    resource: RESOURCE,
    authorization_details: transfer(),
    ...extra,
  })
const post = (
  fixture: Fixture,
  body: URLSearchParams,
  headers: Record<string, string | string[]>,
) => send(`${fixture.issuer}/token`, { body, headers })
const agentOf = (fixture: Fixture) => identityOf(fixture.domain, '/agents/report-bot')

test('a listed proxy passes on who its client is', async () => {
  const headers = fieldsOf(await agentOf(behind))
  const { status, body } = await post(behind, ownForm(), headers)
  assert.deepEqual([status, body.token_type], [200, 'Bearer'])
  const der = Buffer.from(headers['client-cert']!.slice(1, -1), 'base64')
  const claims = claimsOf(body.access_token)
  assert.deepEqual([claims.sub, claims.cnf], [AGENT, { 'x5t#S256': certificateThumbprint(der) }])
  assert.equal(behind.records.at(-1)!.address, '127.0.0.1')
})

test('its chain leads to the authority, and without it there is none', async () => {
  const intermediate = await intermediateOf(authorityOf(behind.domain), 'corp.test')
  const leaf = await leafOf(intermediate, AGENT)
  const whole = fieldsOf({ ...leaf, cert: leaf.cert + intermediate.caPem })
  assert.equal((await post(behind, ownForm(), whole)).status, 200)
  const { status } = await post(behind, ownForm(), fieldsOf(leaf))
  assert.equal(status, 401)
  assert.deepEqual(behind.records.at(-1)!.evidence, { check: 'chain' })
})

test('behind a proxy everything else is as it was', async () => {
  const proof = proofFor(`${behind.issuer}/token`, generateSenderKey())
  const { status, body } = await post(behind, await exchangeForm(behind), proof)
  assert.deepEqual([status, body.token_type], [200, 'DPoP'])
  const none = await post(behind, ownForm(), {})
  assert.deepEqual([none.status, none.body.error], [400, 'invalid_dpop_proof'])
})

const unreadable: [string, Record<string, string | string[]>][] = [
  ['no structured field', { 'client-cert': 'AAAA' }],
  ['two certificates in one', { 'client-cert': ':AAAA:, :AAAA:' }],
  ['the field twice', { 'client-cert': [':AAAA:', ':AAAA:'] }],
  ['a chain without its leaf', { 'client-cert-chain': ':AAAA:' }],
  ['an empty field', { 'client-cert': '' }],
  ['bytes that are no certificate', { 'client-cert': ':AAAA:' }],
]
for (const [title, fields] of unreadable) {
  test(`${title} from a proxy is refused, also of who does not need it`, async () => {
    const proof = proofFor(`${behind.issuer}/token`, generateSenderKey())
    for (const [form, headers] of [
      [ownForm(), fields],
      [await exchangeForm(behind), { ...proof, ...fields }],
    ] as const) {
      const { status, body } = await post(behind, form, headers)
      assert.deepEqual([status, body.error], [401, 'invalid_client'])
      const { outcome, reason, door } = behind.records.at(-1)!
      assert.deepEqual([outcome, reason], ['refused', 'identity_invalid'])
      assert.ok(door === 'client_credentials' || door === 'token-exchange')
    }
  })
}

test('a stranger’s Client-Cert proves nothing, and who needs it is told so', async () => {
  const fields = fieldsOf(await agentOf(open))
  const proof = () => proofFor(`${open.issuer}/token`, generateSenderKey())
  const form = await exchangeForm(open)
  for (const [title, body, headers] of [
    ['as the only proof', ownForm(), fields],
    ['as the key', form, fields],
    ['as client authentication', ownForm(), { ...fields, ...proof() }],
    ['the chain alone', ownForm(), { 'client-cert-chain': fields['client-cert']! }],
    [
      'for no server',
      new URLSearchParams({ grant_type: 'client_credentials', client_id: AGENT }),
      fields,
    ],
    ['in another case', ownForm(), { 'CLIENT-Cert': fields['client-cert']! }],
  ] as const) {
    const answer = await post(open, body, headers)
    assert.deepEqual([answer.status, answer.body.error], [401, 'invalid_client'], title)
    const { outcome, reason, evidence } = open.records.at(-1)!
    assert.deepEqual(
      [outcome, reason, evidence],
      ['refused', 'certificate_untrusted', { peer: '127.0.0.1' }],
      title,
    )
  }
})

test('a stranger’s Client-Cert changes nothing for who does not need it', async () => {
  const key = generateSenderKey()
  const assertion = {
    client_id: AGENT,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe',
    client_assertion: await open.svid(),
  }
  for (const form of [await exchangeForm(open), ownForm(assertion)]) {
    const headers = { 'client-cert': ':AAAA:', ...proofFor(`${open.issuer}/token`, key) }
    const { status, body } = await post(open, form, headers)
    assert.equal(status, 200)
    assert.deepEqual(claimsOf(body.access_token).cnf, { jkt: key.jkt })
  }
})

test('the metadata says so where a certificate can come by proxy', async () => {
  const url = `${behind.issuer}/.well-known/oauth-authorization-server`
  const { body } = await send(url)
  assert.ok((body.token_endpoint_auth_methods_supported as string[]).includes('spiffe_x509'))
  assert.equal(body.tls_client_certificate_bound_access_tokens, true)
  assert.ok(!('mtls_endpoint_aliases' in body))
  const bare = await startFixture()
  const without = (await send(`${bare.issuer}/.well-known/oauth-authorization-server`)).body
  assert.deepEqual(without.token_endpoint_auth_methods_supported, [
    'none',
    'private_key_jwt',
    'spiffe_jwt',
  ])
  assert.ok(!('tls_client_certificate_bound_access_tokens' in without))
  await bare.close()
})

test('a list of proxies with a mistake in it is refused', () => {
  assert.throws(() => ofProxies(['192.0.2.1', '10.0.0.0/40']), /"10\.0\.0\.0\/40"/)
})

for (const [title, certificates, stranger] of [
  ['a TLS listener', ofConnections(), '127.0.0.1'],
  ['a listed proxy', ofProxies(['127.0.0.1']), undefined],
  ['a stranger', ofProxies([]), '127.0.0.1'],
] as const) {
  test(`nothing after the first look sees the fields of ${title}`, async (t) => {
    const { promise, resolve } = Promise.withResolvers<IncomingMessage>()
    const strangers: unknown[] = []
    const server = createServer((request, response) => {
      certificates.receive(request)
      strangers.push(certificates.strangerOf(request))
      if (strangers.length === 1) assert.equal(certificates.of(request), undefined)
      else resolve(request)
      response.end()
    })
    t.after(() => {
      server.closeAllConnections()
      server.close()
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const { port } = server.address() as AddressInfo
    const headers = {
      'Client-Cert': [':AAAA:', ':BBBB:'],
      'CLIENT-CERT-CHAIN': ':CCCC:',
      'x-a': 'b',
    }
    await send(`http://127.0.0.1:${port}/`)
    await send(`http://127.0.0.1:${port}/`, { headers })
    assert.deepEqual(strangers, [undefined, stranger])
    const { headers: left, rawHeaders } = await promise
    assert.ok(!Object.keys(left).some((name) => name.startsWith('client-cert')))
    assert.doesNotMatch(rawHeaders.join(), /client-cert|AAAA|BBBB|CCCC/i)
    assert.deepEqual([left['x-a'], rawHeaders.includes('x-a')], ['b', true])
  })
}
