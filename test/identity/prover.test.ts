import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { openGithubIssuer } from '../../src/identity/issuers/github.ts'
import { openOidcIssuer } from '../../src/identity/issuers/oidc.ts'
import { openUserIssuer } from '../../src/identity/issuers/user-token.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createProver, type ProverOptions } from '../../src/identity/prover.ts'
import { proven } from '../../src/identity/workload.ts'
import {
  bundleOf,
  ISSUER,
  makeKey,
  NOW,
  signTexts,
  svid,
  temporaryDirectory,
  writeBundle,
} from './svids.ts'
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
  workloadOf,
} from './tokens.ts'

const CI = 'https://ci.test'
const IDP = 'https://idp.test/realm'
const directory = await temporaryDirectory({ after })
const rsa = jwksKey('RS256', 'rsa')
const ec = jwksKey('ES256', 'ec')
const ed = jwksKey('EdDSA', 'ed')
const hs = { ...rsa, alg: 'HS256' }
const idp = jwksKey('RS256', 'idp', { use: 'sig' })
const stranger = jwksKey('RS256', 'rsa')
const oct = {
  kid: 'oct',
  kty: 'oct',
  k: 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA',
  alg: 'HS256',
}
const forEncryption = jwksKey('RS256', 'enc', { use: 'enc' })
const twoAlgorithms = jwksKey('RS256', 'ps', { alg: 'PS256' })
const ciKeys = JSON.parse(jwks(rsa, ec, ed, forEncryption, twoAlgorithms))
ciKeys.keys.push(oct)
const ciFile = join(directory, 'ci.json')
const idpFile = join(directory, 'idp.json')
await writeFile(ciFile, JSON.stringify(ciKeys))
await writeFile(idpFile, jwks(idp))

const domainKey = makeKey('ES256')
const bundleFile = join(directory, 'corp.json')
await writeBundle(bundleFile, bundleOf(domainKey))
const bundles = await openBundles([{ trustDomain: 'corp.test', file: bundleFile }])
const jwtSvid = createJwtSvidProver({ bundles, audience: ISSUER })
const ci = await openOidcIssuer({
  alias: 'ci',
  issuer: CI,
  keys: { jwksFile: ciFile },
  audience: ISSUER,
  algorithms: ['RS256', 'ES256'],
  maxAgeSeconds: 60,
  attributes: { team: '/team', first: '/groups/0', deep: '/a/b~1c/~0' },
})
const github = await openGithubIssuer({
  alias: 'gh',
  issuer: 'https://gh.test',
  keys: { jwksFile: ciFile },
  audience: ISSUER,
})
const people = await openUserIssuer({
  alias: 'staff',
  issuer: IDP,
  keys: { jwksFile: idpFile },
  audiences: [ISSUER],
  broker: ISSUER,
})
after(async () => {
  bundles.close()
  for (const one of [ci, github, people]) await one.close()
})
const OPTIONS: ProverOptions = { issuer: ISSUER, jwtSvid, issuers: [ci, github], users: [people] }
const prover = () => createProver(OPTIONS)

const trap = createServer((socket) => {
  trapped += 1
  socket.destroy()
})
let trapped = 0
await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve))
after(() => trap.close())
const trapUrl = `https://127.0.0.1:${(trap.address() as AddressInfo).port}`

const job = { iss: CI, sub: 'project:7' }
const ciToken = (changes?: Changes, key = rsa) => token(key, job, changes)

test('a token of a configured issuer proves its workload', async () => {
  const claims = { team: 'blue', groups: ['a', 'b'], a: { 'b/c': { '~': 7 } } }
  const workload = await workloadOf(prover(), ciToken({ claims }))
  assert.equal(workload.id, 'oidc:ci:project:7')
  assert.equal(workload.kind, 'oidc')
  assert.equal(workload.issuer, 'ci')
  assert.equal(workload.expiresAt, NOW + 290)
  assert.deepEqual({ ...workload.attributes }, { team: 'blue', first: 'a', deep: '7' })
})

test('a GitHub Actions job is known by its repository, ref, workflow and environment', async () => {
  const claims = {
    iss: 'https://gh.test',
    sub: 'repo:octo/app:environment:prod',
    repository: 'octo/app',
    ref: 'refs/heads/main',
    workflow_ref: 'octo/app/.github/workflows/x.yml@refs/heads/main',
    environment: 'prod',
    event_name: 'push',
    run_id: '1',
  }
  // GitHub names its key by certificate thumbprint as well, which leads nowhere.
  const workload = await workloadOf(prover(), token(rsa, claims, { header: { x5t: 'abc' } }))
  assert.equal(workload.id, 'oidc:gh:repo:octo/app:environment:prod')
  const { iss: _, sub: __, ...attributes } = claims
  assert.deepEqual({ ...workload.attributes }, attributes)
  const without = token(rsa, claims, { claims: { repository: undefined } })
  assert.equal(await refused(without), 'identity_invalid claims')
})

const refused = (text: string, type = JWT) =>
  refusalOf(() => prover().proveToken(presented(text, type), NOW), text)

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['ES256', ciToken({}, ec)],
  ['without typ', ciToken({ header: { typ: undefined } })],
  ['with the audience as an array of one', ciToken({ claims: { aud: [ISSUER] } })],
  ['without kid, when one key fits', ciToken({ header: { kid: undefined } })],
  ['with iat a little ahead', ciToken({ claims: { iat: NOW + 4 } })],
]
for (const [name, text] of ACCEPTED) {
  test(`accepted: a token ${name}`, async () => {
    assert.equal((await workloadOf(prover(), text)).id, 'oidc:ci:project:7')
  })
}

const [head, body, signature] = ciToken().split('.') as [string, string, string]
const REFUSED: readonly (readonly [string, string, string])[] = [
  ['nothing at all', 'form', ''],
  ['two parts', 'form', `${head}.${body}`],
  ['padding', 'form', `${ciToken()}==`],
  ['a very long text', 'form', `${head}.${'A'.repeat(20_000)}.${signature}`],
  [
    'two members of one name',
    'form',
    signTexts('{"alg":"RS256","kid":"rsa"}', `{"iss":"${CI}","iss":"${CI}"}`, rsa),
  ],
  ['alg none', 'algorithm', ciToken({ header: { alg: 'none' } })],
  ['HS256 with the public key as the secret', 'algorithm', ciToken({}, hs)],
  ['an oct key of the set', 'algorithm', ciToken({ header: { alg: 'HS256', kid: 'oct' } })],
  ['an RS256 token that names the oct key', 'key', ciToken({ header: { kid: 'oct' } })],
  ['EdDSA, which this issuer may not use', 'algorithm', ciToken({}, ed)],
  ['PS256, which this issuer may not use', 'algorithm', ciToken({ header: { alg: 'PS256' } })],
  ['a key that is for PS256', 'key', ciToken({ header: { kid: 'ps' } }, twoAlgorithms)],
  ['a key for encryption', 'key', ciToken({}, forEncryption)],
  ['a key of another algorithm', 'key', ciToken({ header: { kid: 'ec' } })],
  ['a key of another issuer', 'key', ciToken({}, idp)],
  ['an unknown kid', 'key', ciToken({ header: { kid: 'x' } })],
  ['a kid that is a number', 'header', ciToken({ header: { kid: 7 } })],
  ['an empty kid', 'header', ciToken({ header: { kid: '' } })],
  ['another key under a known kid', 'signature', ciToken({}, stranger)],
  [
    'a changed payload',
    'signature',
    `${head}.${Buffer.from(JSON.stringify({ ...job, aud: ISSUER, exp: NOW + 9 })).toString('base64url')}.${signature}`,
  ],
  ['no signature', 'signature', `${head}.${body}.`],
  ['typ at+jwt', 'typ', ciToken({ header: { typ: 'at+jwt' } })],
  ['typ jwt, in small letters', 'typ', ciToken({ header: { typ: 'jwt' } })],
  ['typ null', 'typ', ciToken({ header: { typ: null } })],
  ['a security event', 'typ', ciToken({ claims: { events: {} } })],
  ['no iss', 'issuer', ciToken({ claims: { iss: undefined } })],
  ['iss in a list', 'issuer', ciToken({ claims: { iss: [CI] } })],
  ['no sub', 'subject', ciToken({ claims: { sub: undefined } })],
  ['an empty sub', 'subject', ciToken({ claims: { sub: '' } })],
  ['a sub with a line break', 'subject', ciToken({ claims: { sub: 'a\nb' } })],
  ['a sub with invisible text', 'subject', ciToken({ claims: { sub: 'a\u202eb' } })],
  ['a very long sub', 'subject', ciToken({ claims: { sub: 'a'.repeat(1025) } })],
  ['no aud', 'audience', ciToken({ claims: { aud: undefined } })],
  ['another aud', 'audience', ciToken({ claims: { aud: 'https://other.test' } })],
  ['our issuer with a slash as aud', 'audience', ciToken({ claims: { aud: `${ISSUER}/` } })],
  ['a second audience', 'audience', ciToken({ claims: { aud: [ISSUER, 'x'] } })],
  ['no exp', 'claims', ciToken({ claims: { exp: undefined } })],
  ['exp as text', 'claims', ciToken({ claims: { exp: String(NOW + 9) } })],
  ['exp now', 'expiry', ciToken({ claims: { exp: NOW } })],
  ['exp in more than a day', 'expiry', ciToken({ claims: { exp: NOW + 86_401 } })],
  ['iat ahead', 'expiry', ciToken({ claims: { iat: NOW + 6 } })],
  ['nbf ahead', 'expiry', ciToken({ claims: { nbf: NOW + 6 } })],
  ['nbf as text', 'claims', ciToken({ claims: { nbf: '1' } })],
  ['no iat, though it has a maximum age', 'claims', ciToken({ claims: { iat: undefined } })],
  ['its maximum age', 'age', ciToken({ claims: { iat: NOW - 60 } })],
  ['an attribute that is an object', 'claims', ciToken({ claims: { team: { a: 1 } } })],
  ['an attribute that is null', 'claims', ciToken({ claims: { team: null } })],
  ['a list of lists as an attribute', 'claims', ciToken({ claims: { team: [['a']] } })],
  ['a delegation token', 'typ', ciToken({ header: { typ: 'writ-delegation+jwt' } })],
  [
    'the type of a delegation token and an unknown issuer',
    'typ',
    ciToken({ header: { typ: 'writ-delegation+jwt' }, claims: { iss: 'https://x.test' } }),
  ],
  ['our own issuer', 'typ', ciToken({ claims: { iss: ISSUER } })],
]
for (const [name, check, text] of REFUSED) {
  test(`refused for its ${check}: a token with ${name}`, async () => {
    assert.equal(await refused(text), `identity_invalid ${check}`)
  })
}

test('an unknown issuer is refused by name, and nothing is connected to', async () => {
  const foreign = [trapUrl, `${trapUrl}/keys`, `${CI}/`, 'https://CI.test', 'ci', '']
  for (const iss of foreign) {
    assert.equal(
      await refused(ciToken({ claims: { iss } })),
      `identity_unknown_issuer ${iss}`.trim(),
    )
  }
  assert.equal(
    await refused(svid(domainKey, { payload: { sub: 'spiffe://x.test/a' } })),
    'identity_unknown_issuer x.test',
  )
  assert.equal(trapped, 0)
})

for (const parameter of ['jku', 'x5u', 'x5c', 'jwk', 'crit', 'b64', 'zip', 'enc']) {
  test(`a header with ${parameter} is refused before its issuer is looked at, unconnected`, async () => {
    const header = {
      [parameter]: parameter === 'x5c' || parameter === 'crit' ? [trapUrl] : trapUrl,
    }
    for (const iss of [CI, IDP, trapUrl]) {
      assert.equal(await refused(ciToken({ header, claims: { iss } })), 'identity_invalid header')
    }
    assert.equal(await refused(svid(domainKey, { header })), 'identity_invalid header')
    assert.equal(trapped, 0)
  })
}

test('a SPIFFE ID leads to its trust domain, whatever the issuer', async () => {
  const one = svid(domainKey, { payload: { iss: CI } })
  assert.equal((await workloadOf(prover(), one)).id, 'spiffe://corp.test/agents/bot')
  const forged = ciToken({ claims: { sub: 'spiffe://corp.test/agents/bot' } })
  assert.equal(await refused(forged), 'identity_invalid key')
  const shouted = ciToken({ claims: { sub: 'SPIFFE://corp.test/agents/bot' } })
  assert.equal(await refused(shouted), 'identity_invalid spiffe_id')
  const ours = svid(domainKey, { payload: { iss: ISSUER } })
  assert.equal(await refused(ours), 'identity_invalid typ')
})

test('a declared type must fit what the token is', async () => {
  const texts = { svid: svid(domainKey), ci: ciToken() }
  for (const text of Object.values(texts)) {
    const one = prover()
    for (const type of [
      ID_TOKEN,
      ACCESS_TOKEN,
      ID_JAG,
      'urn:writ:params:oauth:token-type:delegation',
      'urn:ietf:params:oauth:token-type:saml2',
      '',
    ]) {
      // Remembered or not, the answer is the same.
      for (const _ of [1, 2]) {
        const answer = await refusalOf(() => one.proveToken(presented(text, type), NOW), text)
        assert.equal(answer, 'identity_invalid token_type')
      }
      await one.proveToken(presented(text), NOW)
    }
  }
})

test('what is at hand is answered at once, without a promise', () => {
  const one = prover()
  for (const text of [svid(domainKey), ciToken()]) {
    for (const _ of [1, 2]) {
      const result = one.proveToken(presented(text), NOW)
      assert.ok(!(result instanceof Promise))
    }
  }
})

test('a remembered token ends like any other', async () => {
  const one = prover()
  const text = ciToken({ claims: { exp: NOW + 30 } })
  await one.proveToken(presented(text), NOW)
  const at = (now: number) => refusalOf(() => one.proveToken(presented(text), now), text)
  assert.equal(await at(NOW + 29), 'proven')
  assert.equal(await at(NOW + 30), 'identity_invalid expiry')
  assert.equal(await at(NOW - 16), 'identity_invalid expiry')
  const old = ciToken({ claims: { exp: NOW + 3600 } })
  await one.proveToken(presented(old), NOW)
  const later = await refusalOf(() => one.proveToken(presented(old), NOW + 50), old)
  assert.equal(later, 'identity_invalid age')
})

test('no other text than a signed one is ever believed', async () => {
  const one = prover()
  const good = ciToken()
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.string({ maxLength: 3 }), async (at, put) => {
      const text = good.slice(0, at) + put + good.slice(at + 1)
      fc.pre(text !== good)
      assert.match(await refusalOf(() => one.proveToken(presented(text), NOW), ''), /^identity_/)
    }),
    { numRuns: 200 },
  )
})

// Certificates and clients.

test('a resumed session proves no certificate; a fresh one is asked of the X.509 prover', () => {
  const workload = proven({
    id: 'spiffe://corp.test/x',
    kind: 'spiffe',
    issuer: 'corp.test',
    expiresAt: NOW + 1,
    credential: 'c',
    attributes: {},
  })
  const asked: unknown[] = []
  const x509Svid = {
    prove(chain: readonly Uint8Array[], now: number) {
      asked.push([chain, now])
      return workload
    },
  }
  const one = createProver({ ...OPTIONS, x509Svid })
  const chain = [new Uint8Array([1])]
  assert.throws(() => one.proveCertificate({ chain, resumed: true }, NOW), {
    reason: { code: 'identity_invalid', check: 'resumed' },
  })
  assert.deepEqual(asked, [])
  assert.equal(one.proveCertificate({ chain, resumed: false }, NOW), workload)
  assert.deepEqual(asked, [[chain, NOW]])
  assert.throws(() => prover().proveCertificate({ chain, resumed: false }, NOW), {
    reason: { code: 'identity_invalid', check: 'certificate' },
  })
})

const clientKey = jwksKey('ES256', 'c1')
const clients = [
  { clientId: 'batch', jwks: JSON.parse(jwks(clientKey)), workload: 'spiffe://corp.test/batch' },
]
const withClients = () => createProver({ ...OPTIONS, clients })
const assertion = (claims: Record<string, unknown> = {}, key = clientKey) =>
  token(key, { iss: 'batch', sub: 'batch', jti: 'j1', exp: NOW + 60, ...claims })

test("a client's own key proves the workload it is registered as, once", async () => {
  const { workload, spend } = await withClients().proveClient(
    { method: 'private_key_jwt', assertion: assertion(), clientId: 'batch' },
    NOW,
  )
  assert.equal(workload.id, 'spiffe://corp.test/batch')
  assert.equal(workload.issuer, 'corp.test')
  assert.deepEqual({ ...workload.attributes }, { client_id: 'batch' })
  assert.match(spend?.id ?? '', /^a:/)
  assert.equal(spend?.until, NOW + 65)
  assert.equal(spend?.earliest, NOW - 15)
})

test('an SVID authenticates a client as the workload it names, and is not spent', async () => {
  for (const clientId of [undefined, 'spiffe://corp.test/agents/bot']) {
    const proof = await withClients().proveClient(
      { method: 'spiffe_jwt', assertion: svid(domainKey), clientId },
      NOW,
    )
    assert.equal(proof.workload.id, 'spiffe://corp.test/agents/bot')
    assert.equal(proof.spend, undefined)
  }
})

const CLIENTS_REFUSED: readonly (readonly [
  string,
  'spiffe_jwt' | 'private_key_jwt',
  string,
  string | undefined,
  string,
])[] = [
  [
    'an SVID of another than client_id',
    'spiffe_jwt',
    svid(domainKey),
    'spiffe://corp.test/other',
    'client_rejected',
  ],
  [
    'an SVID of a path beneath client_id',
    'spiffe_jwt',
    svid(domainKey),
    'spiffe://corp.test/agents',
    'client_rejected',
  ],
  ['an OIDC token as jwt-spiffe', 'spiffe_jwt', ciToken(), undefined, 'identity_invalid'],
  ['an SVID as private_key_jwt', 'private_key_jwt', svid(domainKey), undefined, 'client_rejected'],
  ['another client_id', 'private_key_jwt', assertion(), 'other', 'client_rejected'],
  [
    'an unknown client',
    'private_key_jwt',
    assertion({ iss: 'x', sub: 'x' }),
    undefined,
    'client_rejected',
  ],
  [
    'a foreign key',
    'private_key_jwt',
    assertion({}, jwksKey('ES256', 'c1')),
    'batch',
    'client_rejected',
  ],
  [
    'another audience',
    'private_key_jwt',
    assertion({ aud: [ISSUER, 'x'] }),
    'batch',
    'client_rejected',
  ],
  ['no jti', 'private_key_jwt', assertion({ jti: undefined }), 'batch', 'client_rejected'],
  ['a long life', 'private_key_jwt', assertion({ exp: NOW + 400 }), 'batch', 'client_rejected'],
  ['no form', 'private_key_jwt', 'x.y', 'batch', 'client_rejected'],
]
for (const [name, method, text, clientId, code] of CLIENTS_REFUSED) {
  test(`a client is refused with ${name}`, async () => {
    await assert.rejects(
      async () => await withClients().proveClient({ method, assertion: text, clientId }, NOW),
      (error: { reason?: { code?: string } }) => error.reason?.code === code,
    )
  })
}

test('names that two could answer to are a mistake of the configuration', async () => {
  const keys = { jwksFile: ciFile }
  const open = (alias: string, issuer: string) =>
    openOidcIssuer({ alias, issuer, keys, audience: ISSUER })
  const again = [
    await open('ci', 'https://else.test'),
    await open('ci2', CI),
    await open('b', ISSUER),
    await open('u', IDP),
  ]
  for (const one of again) {
    assert.throws(() => createProver({ ...OPTIONS, issuers: [ci, one] }), TypeError)
    await one.close()
  }
  assert.throws(() => createProver({ ...OPTIONS, issuers: [people], users: [] }), TypeError)
  for (const workload of ['spiffe://corp.test', 'batch', 'spiffe://corp.test/']) {
    assert.throws(
      () => createProver({ ...OPTIONS, clients: [{ ...clients[0]!, workload }] }),
      TypeError,
    )
  }
})

test('options no token could satisfy safely are an error at once', async () => {
  const good = {
    alias: 'x',
    issuer: 'https://x.test',
    keys: { jwksFile: ciFile },
    audience: ISSUER,
  }
  const bad: readonly Record<string, unknown>[] = [
    { alias: 'a:b' },
    { alias: '' },
    { issuer: 'http://x.test' },
    { issuer: 'x' },
    { algorithms: [] },
    { algorithms: ['HS256'] },
    { algorithms: ['none'] },
    { audience: '' },
    { maxAgeSeconds: 0 },
    { attributes: { x: 'team' } },
    { attributes: { x: '' } },
    { attributes: { x: '/a~2' } },
    { attributes: { 'x y': '/a' } },
    { keys: { jwksUrl: 'http://x.test/keys' } },
    { keys: { jwksUrl: 'http://127.0.0.1/keys' } },
    { keys: { jwksUrl: 'https://u:p@x.test/keys' } },
  ]
  for (const change of bad) {
    await assert.rejects(openOidcIssuer({ ...good, ...change }), TypeError, JSON.stringify(change))
  }
  await assert.rejects(
    openOidcIssuer({ ...good, keys: { jwksFile: join(directory, 'none') } }),
    /none: ENOENT/,
  )
})
