import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Config, ConfigError, loadConfig } from '../../src/config/config.ts'
import { createTrustedPeers } from '../../src/token/client-cert.ts'

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-config-'))
})
after(() => rm(directory, { recursive: true }))

const BROKER = 'https://broker.example'
const MINIMAL = {
  issuer: BROKER,
  servers: [{ resource: 'https://mcp.example/mcp', catalogue: 'c.json' }],
  policies: 'policies',
}
const CORP = { spiffe: 'corp.example', bundle: { file: 'b.json' } }
const CLUSTER = {
  kubernetes: 'prod',
  issuer: 'https://kubernetes.example',
  keys: { discovery: true },
}
const PEOPLE = { users: 'staff', issuer: 'https://login.example', keys: { jwks_file: 'k.json' } }

async function load(settings: object): Promise<Config> {
  const file = join(directory, 'writ.yaml')
  await writeFile(file, JSON.stringify({ ...MINIMAL, ...settings }))
  return loadConfig({ file, env: {} })
}

test('every kind of trust is read, with its usual limits', async () => {
  const endpoint = {
    spiffe: 'partner.example',
    bundle: {
      endpoint: 'https://spire.partner.example:8443',
      profile: 'https_spiffe',
      spiffe_id: 'spiffe://partner.example/spire/server',
      bootstrap_file: 'p.json',
    },
  }
  const { trust } = await load({
    trust: [CORP, endpoint, CLUSTER, { github: 'ci' }, PEOPLE],
  })
  assert.deepEqual(trust.bundles, [
    { trustDomain: 'corp.example', kind: 'file', file: 'b.json' },
    {
      trustDomain: 'partner.example',
      kind: 'endpoint',
      url: 'https://spire.partner.example:8443',
      spiffe: { id: 'spiffe://partner.example/spire/server', bootstrapFile: 'p.json' },
      maxAgeSeconds: 3600,
      allowAddresses: [],
      caFile: undefined,
    },
  ])
  const [cluster, github] = trust.issuers
  assert.equal(cluster?.audience, BROKER)
  assert.deepEqual(cluster?.algorithms, ['RS256'])
  assert.deepEqual(cluster?.keys, { kind: 'discovery' })
  assert.equal(github?.issuer, 'https://token.actions.githubusercontent.com')
  const [people] = trust.users
  assert.deepEqual(people?.audiences, [BROKER])
  assert.deepEqual(people?.tokenTypes, ['id_token', 'access_token', 'id_jag'])
})

test("the API server's authority is the issuer's, unless another one is given", async () => {
  const token_review = { url: 'https://kubernetes.example', token_file: 't' }
  const entry = (review: object) => ({ ...CLUSTER, ca_file: 'a.pem', token_review: review })
  const caFileOf = async (review: object) =>
    (await load({ trust: [entry(review)] })).trust.issuers[0]?.tokenReview?.caFile
  assert.equal(await caFileOf(token_review), 'a.pem')
  assert.equal(await caFileOf({ ...token_review, ca_file: 'b.pem' }), 'b.pem')
})

const MTLS = {
  listen: { mtls: '127.0.0.1:4471' },
  mtls: { url: 'https://broker.example:4471', certificate_file: 'c.pem', key_file: 'c.key' },
}

const refused: readonly (readonly [title: string, settings: object, problem: string])[] = [
  [
    'an entry that is nothing',
    { trust: [{ bundle: { file: 'b' } }] },
    'trust[0]: give one of spiffe',
  ],
  ['an entry of two kinds', { trust: [{ ...CORP, oidc: 'x' }] }, 'trust[0]: give one of spiffe'],
  [
    'a setting of another kind',
    { trust: [{ ...CORP, keys: { discovery: true } }] },
    'trust[0]: keys does not belong to spiffe; known here: bundle',
  ],
  [
    'a domain without a bundle',
    { trust: [{ spiffe: 'corp.example' }] },
    'a trust domain needs a bundle',
  ],
  [
    'two sources of one bundle',
    { trust: [{ spiffe: 'a.example', bundle: { file: 'b', workload_api: 'unix:///s' } }] },
    'give one of file, endpoint and workload_api',
  ],
  [
    'an endpoint without a profile',
    { trust: [{ spiffe: 'a.example', bundle: { endpoint: 'https://a.example' } }] },
    'an endpoint needs a profile',
  ],
  [
    'an endpoint that would prove itself by a SPIFFE ID that nobody named',
    {
      trust: [
        { spiffe: 'a.example', bundle: { endpoint: 'https://a.example', profile: 'https_spiffe' } },
      ],
    },
    'https_spiffe needs spiffe_id and bootstrap_file',
  ],
  [
    'an endpoint over http',
    {
      trust: [
        { spiffe: 'a.example', bundle: { endpoint: 'http://a.example', profile: 'https_web' } },
      ],
    },
    'expected the https URL of a federation endpoint',
  ],
  [
    'an issuer without keys',
    { trust: [{ oidc: 'x', issuer: 'https://i.example' }] },
    'oidc needs keys',
  ],
  [
    'two sources of keys',
    { trust: [{ ...CLUSTER, keys: { discovery: true, jwks_file: 'k' } }] },
    'give one of jwks_file, jwks_url and discovery',
  ],
  [
    'a shared secret as an algorithm',
    { trust: [{ ...CLUSTER, algorithms: ['HS256'] }] },
    'expected one of RS256',
  ],
  [
    'one alias for two issuers of workloads, whose ids it would mix',
    { trust: [CLUSTER, { github: 'prod' }] },
    'workloads prod is listed twice',
  ],
  [
    'one issuer twice',
    { trust: [CLUSTER, { oidc: 'again', issuer: CLUSTER.issuer, keys: { discovery: true } }] },
    `issuer ${CLUSTER.issuer} is listed twice`,
  ],
  ['one trust domain twice', { trust: [CORP, CORP] }, 'spiffe corp.example is listed twice'],
  [
    'the broker itself as an issuer',
    { trust: [{ ...PEOPLE, issuer: BROKER }] },
    "the broker's own tokens prove no identity",
  ],
  [
    'an address that is none',
    { trust: [{ ...CLUSTER, allow_addresses: ['10.0.0.0/40'] }] },
    'expected an IP address, or a network such as 10.0.0.0/8',
  ],
  [
    'a pointer that is none',
    { trust: [{ ...CLUSTER, attributes: { team: 'team' } }] },
    'a JSON pointer into the claims',
  ],
  [
    'an mTLS listener without a certificate',
    { trust: [CORP], listen: MTLS.listen },
    'mtls and listen.mtls go together',
  ],
  [
    'two certificates for one listener',
    { trust: [CORP], ...MTLS, mtls: { ...MTLS.mtls, workload_api: 'unix:///s' } },
    'give certificate_file and key_file, or workload_api',
  ],
  [
    'a listener whose URL has a path',
    { trust: [CORP], ...MTLS, mtls: { ...MTLS.mtls, url: 'https://broker.example/x' } },
    'url must be an origin',
  ],
  ['a proxy that is no address', { trust: [CORP], proxies: ['proxy'] }, 'proxies[0]: expected'],
  [
    'an IPv4 proxy in the spelling of IPv6, which no connection has',
    { trust: [CORP], proxies: ['::ffff:10.0.0.7'] },
    'proxies[0]: expected',
  ],
  ['a proxy with a zone', { trust: [CORP], proxies: ['fe80::1%eth0'] }, 'proxies[0]: expected'],
  ...['10.0.0.0/08', '10.0.0.0/032', 'fd00::/008', '10.0.0.0/', '10.0.0.0/8/8'].map(
    (entry) =>
      [
        `a proxy in another spelling (${entry})`,
        { trust: [CORP], proxies: [entry] },
        'proxies[0]: expected an IP address, or a network such as 10.0.0.0/8',
      ] as const,
  ),
  [
    'an address in another spelling',
    { trust: [{ ...CLUSTER, allow_addresses: ['10.0.0.0/08'] }] },
    'trust[0].allow_addresses[0]: expected an IP address, or a network such as 10.0.0.0/8',
  ],
  ...['0.0.0.0/0', '10.0.0.0/0', '::/0'].map(
    (entry) =>
      [
        `a list of proxies that is everybody (${entry})`,
        { trust: [CORP], proxies: ['10.0.0.7', entry] },
        'proxies[1]: means everybody',
      ] as const,
  ),
  ...['spiffe://corp.example/agents/bot', 'SPIFFE://x', 'oidc:prod:sub', 'user:staff:alice'].map(
    (id) =>
      [
        `a client named as another than itself (${id})`,
        {
          trust: [CORP],
          clients: [
            { client_id: id, jwks_file: 'k.json', workload: 'spiffe://corp.example/other' },
          ],
        },
        'clients[0].client_id: is the id of a workload or a person',
      ] as const,
  ),
  [
    'a client named as a person, that is no workload',
    {
      trust: [CORP],
      clients: [{ client_id: 'user:staff:alice', jwks_file: 'k.json', scopes: ['writ:admin'] }],
    },
    'clients[0].client_id: is the id of a workload or a person',
  ],
  [
    'a client that may do nothing',
    { trust: [CORP], clients: [{ client_id: 'x', jwks_file: 'k.json' }] },
    'give scopes, a workload, or both',
  ],
]

for (const [title, settings, problem] of refused) {
  test(`${title} is refused, in words`, async () => {
    await assert.rejects(load(settings), (error) => {
      assert.ok(error instanceof ConfigError, String(error))
      assert.ok(error.message.includes(problem), error.message)
      return true
    })
  })
}

test('a client may be named as the workload it is, and a network may be of one address', async () => {
  const id = 'spiffe://corp.example/agents/bot'
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwks = { keys: [publicKey.export({ format: 'jwk' })] }
  const proxies = ['10.0.0.7/32', '10.0.0.0/8', 'fd00::/10', '::1']
  const config = await load({
    trust: [{ ...CLUSTER, allow_addresses: ['0.0.0.0/0'] }, CORP],
    clients: [{ client_id: id, workload: id, jwks }],
    proxies,
  })
  assert.equal(config.clients[0]?.clientId, id)
  assert.deepEqual(config.proxies, proxies)
  // What the configuration lets through does not end the start later.
  createTrustedPeers(config.proxies)
})
