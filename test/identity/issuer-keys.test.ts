import assert from 'node:assert/strict'
import { rename, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openOidcIssuer, type WorkloadIssuerOptions } from '../../src/identity/issuers/oidc.ts'
import { createProver } from '../../src/identity/prover.ts'
import { CA_PEM, LOOPBACK, startSite } from './https-site.ts'
import { ISSUER, type IssuerKey, NOW, temporaryDirectory } from './svids.ts'
import { jwks, jwksKey, presented, refusalOf, token } from './tokens.ts'

const directory = await temporaryDirectory({ after })
const first = jwksKey('ES256', 'first')
const second = jwksKey('ES256', 'second')

/** What the issuer's web server says now. */
const web = {
  keys: jwks(first),
  metadata: undefined as Record<string, unknown> | undefined,
  answer: undefined as ((response: ServerResponse) => void) | undefined,
}
const site = await startSite({ after }, (request, response) => {
  if (web.answer !== undefined) return web.answer(response)
  if (request.url === '/keys') return void response.end(web.keys)
  if (request.url === '/tenant/.well-known/openid-configuration') {
    return void response.end(JSON.stringify(web.metadata))
  }
  return void response.writeHead(404).end()
})
const elsewhere = await startSite(
  { after },
  (_request, response) => void response.end(jwks(second)),
)
const TENANT = `${site.origin}/tenant`

let clockMs = 0
const opened: { close(): Promise<void> }[] = []
after(() => Promise.all(opened.map((one) => one.close())))

async function scene(changes: Partial<WorkloadIssuerOptions> = {}) {
  Object.assign(web, { keys: jwks(first), answer: undefined })
  web.metadata = { issuer: TENANT, jwks_uri: `${site.origin}/keys` }
  const problems: string[] = []
  const issuer = await openOidcIssuer({
    alias: 'ci',
    issuer: TENANT,
    keys: { jwksUrl: `${site.origin}/keys` },
    audience: ISSUER,
    allowAddresses: LOOPBACK,
    ca: CA_PEM,
    minRefreshMs: 10_000,
    maxKeyAgeMs: 600_000,
    timeoutMs: 1000,
    clockMs: () => clockMs,
    onProblem: ({ issuer: alias, detail }) => problems.push(`${alias}: ${detail}`),
    ...changes,
  })
  opened.push(issuer)
  const jwtSvid = { prove: () => assert.fail('no SVID here') }
  const prover = createProver({ issuer: ISSUER, jwtSvid, issuers: [issuer] })
  const ask = (text: string) => refusalOf(() => prover.proveToken(presented(text), NOW), text)
  return { ask, prover, problems, issuer }
}
const tokenOf = (key: IssuerKey, header: Record<string, unknown> = {}) =>
  token(key, { iss: TENANT, sub: 'job' }, { header })
const until = async (what: () => boolean) => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2))
}
const end = (status: number, body: string) => (response: ServerResponse) =>
  void response.writeHead(status).end(body)

for (const keys of [{ jwksUrl: `${site.origin}/keys` }, { discovery: true }] as const) {
  test(`keys by ${Object.keys(keys)[0]} are fetched once and then at hand`, async () => {
    const { ask, prover } = await scene({ keys })
    assert.equal(await ask(tokenOf(first)), 'proven')
    const before = site.seen.requests.length
    for (const one of ['a', 'b', 'c']) {
      const text = token(first, { iss: TENANT, sub: one })
      assert.ok(!(prover.proveToken(presented(text), NOW) instanceof Promise))
    }
    assert.equal(site.seen.requests.length, before)
  })
}

test('a flood of unknown kids is one request in its time, and honest tokens go on', async () => {
  const { ask, prover } = await scene()
  assert.equal(await ask(tokenOf(first)), 'proven')
  const before = site.seen.requests.length
  const flood = (name: string) =>
    Promise.all(Array.from({ length: 50 }, (_, i) => ask(tokenOf(first, { kid: `${name}${i}` }))))
  assert.deepEqual(new Set(await flood('a')), new Set(['identity_invalid key']))
  assert.equal(site.seen.requests.length, before)
  clockMs += 10_000
  const answers = flood('b')
  const honest = prover.proveToken(presented(token(first, { iss: TENANT, sub: 'honest' })), NOW)
  assert.ok(!(honest instanceof Promise))
  assert.deepEqual(new Set(await answers), new Set(['identity_invalid key']))
  assert.equal(site.seen.requests.length, before + 1)
})

test('a new key is found by its kid; one that is gone is not believed any more, remembered or not', async () => {
  const { ask } = await scene()
  const old = tokenOf(first)
  assert.equal(await ask(old), 'proven')
  assert.equal(await ask(tokenOf(second)), 'identity_invalid key')
  web.keys = jwks(second)
  clockMs += 10_000
  assert.equal(await ask(tokenOf(second)), 'proven')
  assert.equal(await ask(old), 'identity_invalid key')
})

test('another key under the same kid unsays what was remembered', async () => {
  const { ask } = await scene()
  const text = tokenOf(first)
  assert.equal(await ask(text), 'proven')
  web.keys = jwks(jwksKey('ES256', 'first'))
  clockMs += 10_000
  assert.equal(await ask(tokenOf(first, { kid: 'x' })), 'identity_invalid key')
  assert.equal(await ask(text), 'identity_invalid signature')
})

test('keys are looked at again in the background, though every token is known', async () => {
  const { ask } = await scene()
  const text = tokenOf(first)
  assert.equal(await ask(text), 'proven')
  web.keys = jwks(second)
  clockMs += 120_001
  const before = site.seen.requests.length
  // This use starts the look; it does not wait for it.
  assert.equal(await ask(text), 'proven')
  await until(() => site.seen.requests.length > before)
  let answer = 'proven'
  while (answer === 'proven') {
    await new Promise((resolve) => setTimeout(resolve, 2))
    answer = await ask(text)
  }
  assert.equal(answer, 'identity_invalid key')
})

const LAST_FETCH = 'ci: the last fetch of the keys failed'

test('known keys outlive an outage for a bounded time; then it is the trust that is missing', async () => {
  const { ask, problems } = await scene()
  const known = tokenOf(first)
  assert.equal(await ask(known), 'proven')
  assert.deepEqual(problems, [])
  web.answer = end(503, '')
  clockMs += 10_000
  assert.equal(await ask(tokenOf(second)), 'trust_unavailable')
  assert.equal(await ask(tokenOf(second)), 'trust_unavailable')
  assert.deepEqual(problems, [`ci: 127.0.0.1:${site.port} answered 503`, LAST_FETCH])
  clockMs += 500_000
  assert.equal(await ask(known), 'proven')
  assert.equal(await ask(token(first, { iss: TENANT, sub: 'other' })), 'proven')
  clockMs += 100_000
  assert.equal(await ask(known), 'trust_unavailable')
  web.answer = undefined
  clockMs += 10_000
  assert.equal(await ask(known), 'proven')
})

const BROKEN: readonly (readonly [string, (response: ServerResponse) => void])[] = [
  ['an error', end(500, '')],
  ['an error with keys in it', end(404, jwks(first))],
  ['no content', end(204, '')],
  [
    'a redirect',
    (response) => void response.writeHead(302, { location: `${elsewhere.origin}/` }).end(),
  ],
  ['no JSON', end(200, '<html>')],
  ['no key set', end(200, '{"keys":{}}')],
  ['a list', end(200, '[]')],
  ['two members of one name', end(200, `{"keys":[],"keys":[${JSON.stringify(first.jwk)}]}`)],
  ['a huge set', end(200, `{"keys":[],"x":"${'x'.repeat(300_000)}"}`)],
  ['silence', () => undefined],
  [
    'half an answer',
    (response) => void response.writeHead(200, { 'content-length': 99 }).write('{'),
  ],
]
for (const [name, answer] of BROKEN) {
  test(`no keys can be had from ${name}: refused as trust_unavailable, and reported`, async () => {
    // The first fetch begins at once; it must find the broken server.
    const quiet = scene({ timeoutMs: 300 })
    web.answer = answer
    const { ask, problems } = await quiet
    web.answer = answer
    assert.equal(await ask(tokenOf(first)), 'trust_unavailable')
    await until(() => problems.length > 0)
    assert.match(problems[0] ?? '', /^ci: /)
    assert.equal(elsewhere.seen.connections, 0)
  })
}

const METADATA: readonly (readonly [string, Record<string, unknown>])[] = [
  ['of another issuer', { issuer: `${TENANT}/`, jwks_uri: `${site.origin}/keys` }],
  ['without an issuer', { jwks_uri: `${site.origin}/keys` }],
  ['without keys', { issuer: TENANT }],
  ['with keys over http', { issuer: TENANT, jwks_uri: `http://127.0.0.1:${site.port}/keys` }],
  [
    'with keys at an address inside',
    { issuer: TENANT, jwks_uri: `https://127.0.0.2:${elsewhere.port}/` },
  ],
  ['with keys at the metadata service', { issuer: TENANT, jwks_uri: 'https://169.254.169.254/' }],
  ['with a user in the URL', { issuer: TENANT, jwks_uri: `https://u@127.0.0.1:${site.port}/keys` }],
]
for (const [name, metadata] of METADATA) {
  test(`metadata ${name} lends no keys`, async () => {
    const opening = scene({ keys: { discovery: true } })
    web.metadata = metadata
    const { ask } = await opening
    assert.equal(await ask(tokenOf(first)), 'trust_unavailable')
    assert.equal(elsewhere.seen.connections, 0)
  })
}

test('no connection to an address that nobody allowed', async () => {
  const before = site.seen.connections
  const { ask } = await scene({ allowAddresses: [] })
  assert.equal(await ask(tokenOf(first)), 'trust_unavailable')
  assert.equal(site.seen.connections, before)
})

test('after closing, nothing is proven and nothing is fetched', async () => {
  const { ask, issuer } = await scene()
  assert.equal(await ask(tokenOf(first)), 'proven')
  await issuer.close()
  assert.equal(await ask(tokenOf(first)), 'trust_unavailable')
})

test('a key file is followed: replaced, emptied, broken for a bounded time, mended', async () => {
  const file = join(directory, 'keys.json')
  const write = async (text: string) => {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
  await write(jwks(first))
  const { ask, problems } = await scene({ keys: { jwksFile: file }, pollMs: 5 })
  const [one, two] = [tokenOf(first), tokenOf(second)]
  const turns = async (text: string, answer: string) => {
    while ((await ask(text)) !== answer) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.equal(await ask(one), 'proven')
  assert.equal(await ask(two), 'identity_invalid key')
  await write(jwks(second))
  await turns(two, 'proven')
  assert.equal(await ask(one), 'identity_invalid key')
  await write('{"keys":[')
  await until(() => problems.length > 0)
  assert.equal(await ask(two), 'proven')
  clockMs += 600_001
  assert.equal(await ask(two), 'trust_unavailable')
  await write(jwks(first))
  await turns(one, 'proven')
  await write('{"keys":[]}')
  await turns(one, 'identity_invalid key')
  assert.equal(problems.length, 3, 'broken, too old, and empty: each said once')
})
