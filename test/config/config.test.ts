import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { ConfigError, type ConfigSources, loadConfig } from '../../src/config/config.ts'

let directory: string
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'writ-config-'))
})
after(() => rm(directory, { recursive: true }))

const MINIMAL = {
  issuer: 'https://broker.example',
  trust: [{ spiffe: 'corp.example', bundle: { file: 'b.json' } }],
  servers: [{ resource: 'https://mcp.example/mcp', catalogue: 'c.json' }],
  policies: 'policies',
}
let files = 0
async function load(settings: unknown, sources: Partial<ConfigSources> = {}) {
  files += 1
  const file = join(directory, `${files}.yaml`)
  await writeFile(file, typeof settings === 'string' ? settings : JSON.stringify(settings))
  return loadConfig({ file, env: {}, ...sources })
}
async function problemsOf(settings: unknown, sources: Partial<ConfigSources> = {}) {
  try {
    await load(settings, sources)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
  return assert.fail('the configuration was accepted')
}

test('the commented example loads', async () => {
  const config = await loadConfig({ file: 'config/writ.yaml', env: {} })
  assert.equal(config.issuer, 'http://127.0.0.1:4470')
  assert.deepEqual(config.listen.public, { host: '127.0.0.1', port: 4470 })
  assert.deepEqual(config.store, { kind: 'sqlite', file: 'var/writ.db' })
})

test('the example of the design loads, with the certificate that its mTLS listener needs', async () => {
  const config = await load(`
issuer: https://broker.example
listen: { public: 127.0.0.1:4470, mtls: 127.0.0.1:4471, admin: 127.0.0.1:4472 }
mtls: { url: 'https://broker.example:4471', certificate_file: c.pem, key_file: c.key }
keys: { directory: keys/signing, algorithm: ES256 }
store: { sqlite: { file: var/writ.db } }
trust:
  - spiffe: corp.example
    bundle: { file: keys/bundles/corp.example.json }
servers:
  - resource: https://mcp.example/mcp
    catalogue: config/catalogue/mcp.example.json
policies: config/policies
tokens: { lifetime_seconds: 60 }
dpop: { nonce_secret_file: keys/nonce.secret }
audit: { directory: var/audit }
`)
  assert.equal(config.dpop.nonceSecretFile, 'keys/nonce.secret')
  assert.deepEqual(config.listen.mtls, { host: '127.0.0.1', port: 4471 })
  assert.deepEqual(config.notes, [])
})

test('a flag wins over the environment, the environment over the file, the file over the default', async () => {
  const settings = { ...MINIMAL, tokens: { lifetime_seconds: 10 } }
  const env = { WRIT_TOKENS__LIFETIME_SECONDS: '20' }
  const flags = { tokens: { lifetime_seconds: 30, session_lifetime_seconds: undefined } }
  const seconds = async (...args: Parameters<typeof load>) =>
    (await load(...args)).tokens.lifetimeSeconds
  assert.equal(await seconds(MINIMAL), 60)
  assert.equal(await seconds(settings), 10)
  assert.equal(await seconds(settings, { env }), 20)
  assert.equal(await seconds(settings, { env, flags }), 30)
})

test('the configuration cannot be changed after it is loaded', async () => {
  const config = await load(MINIMAL)
  for (const part of [config, config.listen, config.servers, config.servers[0], config.notes]) {
    assert.ok(Object.isFrozen(part))
  }
})

test('a file that is not there is an error, never an empty configuration', async () => {
  await assert.rejects(loadConfig({ file: join(directory, 'none.yaml'), env: {} }), (error) => {
    return error instanceof ConfigError && /cannot be read: ENOENT/.test(error.message)
  })
  await assert.rejects(
    loadConfig({ env: { WRIT_CONFIG: join(directory, 'other.yaml') } }),
    /other\.yaml: the configuration file cannot be read/,
  )
})

test('what decides who may do what has no default', async () => {
  assert.deepEqual(await problemsOf({}), [
    'issuer: is missing; expected an https origin such as https://broker.example (http on loopback only), nothing after it',
    'trust: is missing; expected a list of at least one trust domain or issuer',
    'servers: is missing; expected a list of at least one MCP server',
    'policies: is missing; expected the path of the directory of Cedar policies',
  ])
  assert.match((await problemsOf({ ...MINIMAL, trust: [] }))[0]!, /at least one trust domain/)
  assert.match((await problemsOf({ ...MINIMAL, servers: null }))[0]!, /servers: is missing/)
})

const unknown: [object, string][] = [
  [{ polices: 'x' }, 'polices: unknown key; did you mean policies?'],
  [
    { lifetime_seconds: 5 },
    'lifetime_seconds: unknown key here; did you mean tokens.lifetime_seconds or delegation.lifetime_seconds?',
  ],
  [
    { tokens: { lifetime: 5 } },
    'tokens.lifetime: unknown key; known here: lifetime_seconds, session_lifetime_seconds',
  ],
  [{ audit: { argument: true } }, 'audit.argument: unknown key; did you mean arguments?'],
  [
    { trust: [{ spiffe: 'a', bundle: { fil: 'x', file: 'x' } }] },
    'trust[0].bundle.fil: unknown key; did you mean file?',
  ],
  [{ constructor: 'x' }, 'constructor: unknown key; known here: '],
]
for (const [settings, problem] of unknown) {
  test(`an unknown key names the nearest known one: ${problem.split(':')[0]}`, async () => {
    const problems = await problemsOf({ ...MINIMAL, ...settings })
    assert.equal(problems.length, 1)
    assert.ok(problems[0]!.startsWith(problem), problems[0])
  })
}

test('every problem is listed, each with its path and what was expected', async () => {
  const problems = await problemsOf({
    ...MINIMAL,
    issuer: 'https://broker.example/',
    listen: { public: '4470' },
    tokens: { lifetime_seconds: '60' },
    store: { redis: { url: 'redis://h', replicas: 99 } },
  })
  assert.deepEqual(
    problems.map((problem) => problem.split(':')[0]),
    ['issuer', 'listen.public', 'store.redis.replicas', 'tokens.lifetime_seconds'],
  )
  assert.match(problems[1]!, /expected host:port.*found "4470"/)
})

const issuers: [string, boolean][] = [
  ['https://broker.example', true],
  ['https://broker.example:8443', true],
  ['http://127.0.0.1:4470', true],
  ['http://localhost:4470', true],
  ['http://[::1]:4470', true],
  ['http://broker.example', false],
  ['http://127.0.0.1.evil.example', false],
  ['http://10.0.0.1:4470', false],
  ['https://broker.example/', false],
  ['https://broker.example/path', false],
  ['https://broker.example:443', false],
  ['https://Broker.example', false],
  ['https://user@broker.example', false],
  ['https://broker.example?x', false],
  ['broker.example', false],
]
for (const [issuer, accepted] of issuers) {
  test(`${issuer} is ${accepted ? 'an' : 'no'} issuer`, async () => {
    const settings = { ...MINIMAL, issuer }
    if (accepted) assert.equal((await load(settings)).issuer, issuer)
    else assert.match((await problemsOf(settings))[0]!, /^issuer: expected an https origin/)
  })
}

const resources: [string, boolean][] = [
  ['https://mcp.example/mcp', true],
  ['https://mcp.example', true],
  ['http://localhost:4474/mcp', true],
  ['http://mcp.example/mcp', false],
  ['https://mcp.example/mcp#tools', false],
  ['https://MCP.example/mcp', false],
  ['https://mcp.example/a/../mcp', false],
  ['urn:mcp:notes', false],
]
for (const [resource, accepted] of resources) {
  test(`${resource} is ${accepted ? 'a' : 'no'} resource`, async () => {
    const settings = { ...MINIMAL, servers: [{ resource, catalogue: 'c.json' }] }
    if (accepted) assert.equal((await load(settings)).servers[0]?.resource, resource)
    else assert.match((await problemsOf(settings))[0]!, /^servers\[0\]\.resource: expected/)
  })
}

test('a secret comes from a file and is never printed', async () => {
  const file = join(directory, 'redis-password')
  await writeFile(file, 'correct horse\n')
  const config = await load(
    { ...MINIMAL, store: { redis: { url: 'redis://h:6379' } } },
    { env: { WRIT_STORE__REDIS__PASSWORD_FILE: file } },
  )
  assert.ok(config.store.kind === 'redis')
  assert.equal(config.store.password?.reveal(), 'correct horse')
  for (const shown of [
    inspect(config, { depth: 9 }),
    JSON.stringify(config),
    `${config.store.password}`,
  ]) {
    assert.ok(!shown.includes('horse') && !shown.includes('redis://'), shown)
  }
})

test('a secret of the wrong type is not shown in the error', async () => {
  const problems = await problemsOf({
    ...MINIMAL,
    store: { redis: { url: 'redis://h', password: 12345678 } },
  })
  assert.deepEqual(problems, [
    'store.redis.password: expected the Redis password, found something else',
  ])
})

test('broken YAML is reported by line, without quoting the line', async () => {
  const problems = await problemsOf('issuer: a\nstore: { redis: { password: "hunter2 }\n')
  assert.ok(problems.length > 0)
  assert.ok(
    problems.every((problem) => /line \d+/.test(problem) && !problem.includes('hunter2')),
    problems[0],
  )
})

test('a key given twice is an error', async () => {
  const [problem] = await problemsOf('issuer: https://a.example\nissuer: https://b.example\n')
  assert.match(problem!, /unique/i)
})

test('the environment reaches into lists and gives whole lists', async () => {
  const config = await load(MINIMAL, {
    env: {
      WRIT_SERVERS__0__RESOURCE: 'https://other.example/mcp',
      WRIT_TRUST: '[{ spiffe: b.example, bundle: { file: x } }]',
      WRIT_AUDIT__ARGUMENTS: 'true',
      UNRELATED: 'x',
      WRIT_DEBUG: '1',
    },
  })
  assert.equal(config.servers[0]?.resource, 'https://other.example/mcp')
  assert.equal(config.trust.bundles[0]?.trustDomain, 'b.example')
  assert.equal(config.audit.arguments, true)
})

test('an unknown variable is an error that names the nearest setting', async () => {
  const env = { WRIT_ISUER: 'x', WRIT_TOKENS__LIFE_SECONDS: '5', WRIT_ISSUER_FILE: '/x' }
  const problems = await problemsOf(MINIMAL, { env })
  assert.match(problems[0]!, /^WRIT_ISSUER_FILE: unknown setting/)
  assert.equal(problems[1], 'WRIT_ISUER: unknown setting; did you mean issuer?')
  assert.equal(
    problems[2],
    'WRIT_TOKENS__LIFE_SECONDS: unknown setting; did you mean lifetime_seconds?',
  )
})

test('a client is configured with public keys, and a private one is refused', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const client = (jwk: unknown) => ({
    ...MINIMAL,
    clients: [{ client_id: 'a', scopes: ['writ:introspect'], jwks: { keys: [jwk] } }],
  })
  const config = await load(client(publicKey.export({ format: 'jwk' })))
  assert.deepEqual(config.clients[0]?.scopes, ['writ:introspect'])
  const problems = await problemsOf(client(privateKey.export({ format: 'jwk' })))
  assert.match(problems[0]!, /^clients\[0\]\.jwks: expected .* nothing private$/)
  assert.match((await problemsOf(client({ kty: 'oct', k: 'c2VjcmV0' })))[0]!, /nothing private/)
})

test('a Redis store has one way to be reached', async () => {
  const redis = { url: 'redis://h', cluster: ['h:1'] }
  assert.deepEqual(await problemsOf({ ...MINIMAL, store: { redis } }), [
    'store.redis: give one of url, sentinel and cluster',
  ])
})

const tlsCases: readonly [title: string, redis: object, tls: object | undefined][] = [
  ['is none by default', {}, undefined],
  ['is none when it says so', { tls: false }, undefined],
  ['may go by the authorities of Node', { tls: true }, {}],
  ['may have authorities of its own', { tls_ca_file: 'ca' }, { caFile: 'ca' }],
  [
    'may show a certificate',
    { tls: true, tls_certificate_file: 'c', tls_key_file: 'k' },
    { credentials: { certificateFile: 'c', keyFile: 'k' } },
  ],
]
for (const [title, tls, expected] of tlsCases) {
  test(`TLS to Redis ${title}`, async () => {
    const { store } = await load({ ...MINIMAL, store: { redis: { url: 'redis://h', ...tls } } })
    const found = store.kind === 'redis' ? store.tls : assert.fail()
    assert.deepEqual(found && JSON.parse(JSON.stringify(found)), expected)
  })
}

test('half a certificate for Redis, or one that would not be used, is a mistake', async () => {
  const problems = (redis: object) =>
    problemsOf({ ...MINIMAL, store: { redis: { url: 'redis://h', ...redis } } })
  const both = 'store.redis: give both tls_certificate_file and tls_key_file, or neither'
  assert.deepEqual(await problems({ tls_certificate_file: 'c' }), [both])
  assert.deepEqual(await problems({ tls_key_file: 'k' }), [both])
  const unused = 'store.redis: tls is false, so there is no use for tls_ca_file and tls_key_file'
  assert.deepEqual(await problems({ tls: false, tls_ca_file: 'ca' }), [unused])
})

test('an admin listener that others can reach needs a name for browsers', async () => {
  const listen = { admin: '0.0.0.0:4472' }
  assert.match((await problemsOf({ ...MINIMAL, listen }))[0]!, /^admin\.url: listen\.admin is not/)
  const url = 'https://writ.example'
  assert.equal((await load({ ...MINIMAL, listen, admin: { url } })).admin.url, url)
})

for (const url of [
  'https://127.0.0.1:4472',
  'http://[::1]:4472',
  'http://writ.example',
  'https://a/b',
]) {
  test(`passkeys cannot belong to ${url}`, async () => {
    assert.match((await problemsOf({ ...MINIMAL, admin: { url } }))[0]!, /^admin\.url: expected an/)
  })
}

test('how many may follow the feed is a setting, for all and for one network', async () => {
  const { revocation } = await load(MINIMAL)
  assert.deepEqual([revocation.followers, revocation.followersPerNetwork], [256, 64])
  const changed = { followers: 1000, followers_per_network: 900 }
  const { followers, followersPerNetwork } = (await load({ ...MINIMAL, revocation: changed }))
    .revocation
  assert.deepEqual([followers, followersPerNetwork], [1000, 900])
  const none = { followers: 0 }
  assert.match((await problemsOf({ ...MINIMAL, revocation: none }))[0]!, /^revocation\.followers: /)
})

test('a staleness bound too near the heartbeat is refused', async () => {
  const revocation = { beat_every_ms: 900 }
  assert.match(
    (await problemsOf({ ...MINIMAL, revocation }))[0]!,
    /^revocation: stale_after_ms must be/,
  )
})
