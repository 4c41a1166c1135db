import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Answer, CliError } from '../../src/cli/answer.ts'
import { adviceOn } from '../../src/cli/identity-advice.ts'
import { inspectIdentity } from '../../src/cli/identity-inspect.ts'
import { openKeys } from '../../src/mint/keys.ts'
import { mintDelegation } from '../../src/mint/mint.ts'
import { Refusal } from '../../src/refusal.ts'
import { signJws } from '../../src/token/jws.ts'
import { makeSigningKey, makeTrustSite, SERVICE_ACCOUNT, seconds } from './trust-site.ts'
import { temporaryDirectory, writ } from './writ.ts'

const cwd = await temporaryDirectory({ after })
const site = await makeTrustSite({ after }, cwd)
// Paths of a configuration are relative to where a command runs.
const elsewhere = process.cwd()
process.chdir(cwd)
after(() => process.chdir(elsewhere))
const keys = await openKeys('keys', { now: seconds() })
const own = keys.current(seconds())
keys.close()

const jwtSvid = (changes: { audience?: string; now?: number; path?: string } = {}) =>
  site.domain.issueJwtSvid({
    path: '/agents/bot',
    audience: site.issuer,
    lifetimeSeconds: 300,
    now: seconds(),
    ...changes,
  })

async function certificate(lifetimeSeconds = 300, now = seconds()): Promise<string> {
  const svid = await site.domain.issueX509Svid({ path: '/agents/bot', lifetimeSeconds, now })
  return svid.chainPem
}

const THUMBPRINT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'
const BOT = 'spiffe://corp.test/agents/bot'

function delegation(changes: Record<string, unknown> = {}, key = own): string {
  const iat = seconds()
  const claims = {
    iss: site.issuer,
    aud: site.issuer,
    sub: 'user:staff:alice',
    client_id: BOT,
    act: { sub: BOT },
    may_act: { sub: 'spiffe://corp.test/agents/b' },
    cnf: { jkt: THUMBPRINT },
    authorization_details: [
      {
        type: 'mcp_ceiling',
        locations: ['http://127.0.0.1:4474/mcp'],
        actions: ['tools/call'],
        identifiers: ['transfer_funds'],
      },
    ],
    via: ['session-of-a'],
    sid: 'session-of-a',
    jti: 'd-1',
    iat,
    exp: iat + 300,
    ...changes,
  }
  return mintDelegation(claims as never, key)
}

const ownAccessToken = () =>
  signJws(
    { typ: 'at+jwt' },
    { iss: site.issuer, aud: 'http://127.0.0.1:4474/mcp', sub: BOT, scope: 'mcp:action' },
    own,
  )

/** The text must be in no answer, and neither may a part of it that could be used. */
function assertNothingLeaks(answer: Answer, credential: string): void {
  const said = `${answer.text}${JSON.stringify(answer.json)}`
  const parts = credential.includes('-----')
    ? [credential.split('\n')[1] ?? '', credential.split('\n')[2] ?? '']
    : credential.split('.')
  for (const part of parts.filter((one) => one.length > 8)) assert.ok(!said.includes(part))
}

async function inspect(credential: string, withConfig = true): Promise<Answer> {
  const file = join(cwd, 'credential')
  await writeFile(file, credential)
  const options = withConfig ? { config: site.config } : {}
  const answer = await inspectIdentity(options, file, Date.now() / 1000)
  assertNothingLeaks(answer, credential)
  return answer
}

const GOOD: readonly (readonly [
  kind: string,
  make: () => string | Promise<string>,
  id: string,
  says: RegExp,
])[] = [
  ['jwt_svid', () => jwtSvid(), BOT, /vouched for by +corp\.test/],
  ['x509_svid', () => certificate(), BOT, /key +the certificate x5t#S256 [\w-]{43}/],
  [
    'kubernetes',
    () => site.token('kubernetes'),
    `oidc:prod:${SERVICE_ACCOUNT}`,
    /attribute pod_name +agent-7/,
  ],
  [
    'github',
    () => site.token('github'),
    'oidc:ci:repo:acme/app:ref:refs/heads/main',
    /attribute repository +acme\/app/,
  ],
  ['workload_token', () => site.token('oidc'), 'oidc:build:job-42', /attribute team +payments/],
  [
    'id_token',
    () => site.token('id_token'),
    'user:staff:alice',
    /who may act +any workload that a policy permits/,
  ],
  [
    'id_token',
    () => site.token('id_token', { may_act: { sub: BOT }, cnf: { jkt: THUMBPRINT } }),
    'user:staff:alice',
    new RegExp(`who may act +${BOT}\n +only with +the DPoP key of thumbprint ${THUMBPRINT}`),
  ],
  ['access_token', () => site.token('access_token'), 'user:staff:alice', /speaks for a user/],
  [
    'id_jag',
    () => site.token('id_jag', { resource: 'https://mcp.example/mcp' }),
    'user:staff:alice',
    new RegExp(`who may act +${BOT}\n +only at +https://mcp\\.example/mcp`),
  ],
  [
    'delegation',
    () => delegation(),
    'user:staff:alice',
    /who may act +spiffe:\/\/corp\.test\/agents\/b\n[\s\S]*tools\/call of transfer_funds at/,
  ],
  [
    'client_assertion',
    () => site.assertion(),
    'spiffe://corp.test/agents/batch',
    /vouched for by +corp\.test/,
  ],
]
for (const [kind, make, id, says] of GOOD) {
  test(`${kind}: what it proves, to whom, until when: ${says.source.slice(0, 30)}`, async () => {
    const credential = await make()
    const answer = await inspect(credential)
    assert.equal(answer.exitCode, 0, answer.text)
    const { kind: found, verified, accepted, proven, refused } = answer.json
    assert.deepEqual(
      { found, verified, accepted, refused },
      { found: kind, verified: true, accepted: true, refused: null },
    )
    assert.equal((proven as { id: string }).id, id)
    assert.ok((proven as { endsAt: number }).endsAt > seconds())
    assert.match(answer.text, new RegExp(`Accepted by ${site.issuer}`))
    assert.match(answer.text, says)

    const unverified = await inspect(credential, false)
    assert.match(unverified.text, /NOT VERIFIED: .*anyone could have written it/)
    assert.equal(unverified.json.verified, false)
    assert.equal(unverified.json.accepted, null)
    assert.equal(unverified.json.proven, null)
  })
}

const tampered = (token: string) => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const changed = Buffer.from(JSON.stringify({ ...claims, extra: 1 })).toString('base64url')
  return [header, changed, signature].join('.')
}
const stranger = makeSigningKey('ES256', 'e1')

const BAD: readonly (readonly [
  title: string,
  make: () => string | Promise<string>,
  why: string,
  says?: RegExp,
])[] = [
  [
    'an SVID for somebody else',
    () => jwtSvid({ audience: 'https://other.example' }),
    'identity_invalid audience',
    /note: expected here: audience http:\/\/127/,
  ],
  ['an SVID that has expired', () => jwtSvid({ now: seconds() - 900 }), 'identity_invalid expiry'],
  ['an SVID that was changed', async () => tampered(await jwtSvid()), 'identity_invalid signature'],
  [
    'an SVID of a domain that is not trusted',
    () =>
      signJws({}, { sub: 'spiffe://evil.test/a', aud: site.issuer, exp: seconds() + 9 }, stranger),
    'identity_unknown_issuer',
    /add its trust domain or issuer to trust/,
  ],
  [
    'a certificate that has expired',
    () => certificate(60, seconds() - 900),
    'identity_invalid expiry',
  ],
  [
    'an authority in place of a leaf',
    () => readFile('domain/ca.pem', 'utf8'),
    'identity_invalid spiffe_id',
  ],
  [
    'a server’s certificate of the Web PKI',
    () => readFile('issuers-ca.pem', 'utf8'),
    'identity_invalid uri_san',
    /0 URI SANs, expected one/,
  ],
  [
    'a pod’s token for the cluster itself',
    () => site.token('kubernetes', { aud: 'https://kubernetes.default.svc' }),
    'identity_invalid audience',
  ],
  [
    'a service account that its claims do not name',
    () => site.token('kubernetes', { sub: 'system:serviceaccount:shop:root' }),
    'identity_invalid subject',
  ],
  [
    'a job’s token that was kept',
    () => site.token('github', { iat: seconds() - 1000 }),
    'identity_invalid age',
    /max_age_seconds/,
  ],
  [
    'an attribute that policies could not see',
    () => site.token('oidc', { team: { name: 'x' } }),
    'identity_invalid claims',
  ],
  [
    'a user’s token for another client',
    () => site.token('id_token', { aud: 'shop' }),
    'identity_invalid audience',
  ],
  [
    'a client’s own access token',
    () => site.token('access_token', { client_id: 'alice' }),
    'identity_invalid subject',
  ],
  [
    'an ID-JAG that would grant by itself',
    () => site.token('id_jag', { authorization_details: [] }),
    'identity_invalid claims',
  ],
  [
    'a user’s token with a may_act that names nobody here',
    () => site.token('id_token', { may_act: { sub: 'someone' } }),
    'delegation_refused may_act',
    /names one workload of this configuration/,
  ],
  ['the broker’s own access token', () => ownAccessToken(), 'identity_invalid typ'],
  ['a forged delegation', () => delegation({}, stranger), 'identity_invalid key'],
  [
    'a delegation that is over',
    () => delegation({ iat: seconds() - 900, exp: seconds() - 600 }),
    'identity_invalid expiry',
  ],
  [
    'an assertion for another server',
    () => site.assertion({ aud: 'https://other.example' }),
    'client_rejected aud must be the issuer alone',
  ],
  [
    'a DPoP proof',
    () => signJws({ typ: 'dpop+jwt' }, { htm: 'POST' }, stranger),
    'identity_invalid issuer',
  ],
]
for (const [title, make, why, says] of BAD) {
  test(`refused, with what to do about it: ${title}`, async () => {
    const answer = await inspect(await make())
    assert.equal(answer.exitCode, 1)
    assert.equal(answer.json.accepted, false)
    assert.equal(answer.json.proven, null)
    const { code, check, detail, advice } = answer.json.refused as Record<string, string>
    const found = code === 'client_rejected' ? `${code} ${detail}` : `${code} ${check ?? ''}`
    assert.equal(found.trim(), why)
    assert.ok((advice ?? '').length > 20)
    assert.match(answer.text, /REFUSED by http.*\nwhat to do: /)
    if (says !== undefined) assert.match(answer.text, says)
  })
}

test('the token of a deleted pod is refused: the cluster is asked', async () => {
  site.pods.alive = false
  const answer = await inspect(site.token('kubernetes', { jti: 'gone' }))
  site.pods.alive = true
  assert.equal((answer.json.refused as { check: string }).check, 'active')
  assert.match(answer.text, /note: the cluster is asked/)
})

test('an issuer whose keys cannot be had is no refusal, but unavailable', async (t) => {
  const text = await readFile(site.config, 'utf8')
  const settings = JSON.parse(text)
  settings.trust[2].keys.jwks_url = 'https://127.0.0.1:1/jwks'
  const config = join(cwd, 'down.yaml')
  await writeFile(config, JSON.stringify(settings))
  const ended = await writ(['identity', 'inspect', '--config', config, '--json'], {
    cwd,
    input: site.token('github'),
  })
  t.diagnostic(ended.stdout.slice(0, 200))
  assert.equal(ended.code, 3)
  assert.equal((ended.json().error as { code: string }).code, 'unavailable')
})

test('a certificate that cannot reach this broker is told so', async () => {
  const { text } = await inspect(await certificate())
  assert.match(text, /note: no certificate reaches this broker/)
})

test('a private key beside a certificate is not read, and alone it is refused without a word of it', async () => {
  const svid = await site.domain.issueX509Svid({ path: '/agents/bot', lifetimeSeconds: 60 })
  const key = svid.privateKeyPem!
  const answer = await inspect(`${key}${svid.chainPem}`)
  assert.equal(answer.exitCode, 0)
  assert.match(answer.text, /note: a private key stands beside it/)
  assertNothingLeaks(answer, key)
  await assert.rejects(inspect(key), (error) => {
    assert.ok(error instanceof CliError)
    assert.equal(error.code, 'refused')
    assert.match(error.hint ?? '', /private key/)
    return true
  })
})

test('what is no credential is a no', async () => {
  for (const input of [
    '',
    'abc',
    'a.b.c',
    '{}',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----',
  ]) {
    await assert.rejects(
      inspect(input),
      (error) => error instanceof CliError && error.code === 'refused',
    )
  }
})

test('only known claims are shown, shortened, harmless on a screen, and no credential within one', async () => {
  const inner = await jwtSvid()
  const long = 'x'.repeat(5000)
  const token = site.token('oidc', {
    sub: `a\u001b[2J${long}`,
    password: 'not for a screen',
    ref: inner,
  })
  for (const withConfig of [false, true]) {
    const answer = await inspect(token, withConfig)
    const said = `${answer.text}${JSON.stringify(answer.json)}`
    assert.ok(!said.includes('not for a screen'))
    assert.ok(!answer.text.includes('\u001b'))
    assert.ok(!said.includes(inner.slice(0, 40)))
    assert.match(said, /\[left out\]/)
    assert.ok(said.length < 6000, `${said.length}`)
  }
})

test('a credential given as an argument is refused, and not repeated', async () => {
  const svid = await jwtSvid()
  const pem = await certificate()
  for (const args of [[svid], ['--json', pem], ['--', pem], ['--json', '--config', svid, '-']]) {
    const ended = await writ(['identity', 'inspect', ...args], { cwd, input: svid })
    assert.equal(ended.code, 2)
    const said = `${ended.stdout}${ended.stderr}`
    assert.match(said, /the credential itself was given|\[left out\]/)
    for (const part of [...svid.split('.'), pem.split('\n')[2] ?? '']) {
      assert.ok(!said.includes(part), said)
    }
  }
})

test('from standard input, as one object, with the exit code of the answer', async () => {
  const good = await writ(['identity', 'inspect', '--config', 'writ.yaml', '--json'], {
    cwd,
    input: await jwtSvid(),
  })
  assert.equal(good.code, 0, good.stdout)
  assert.equal(good.json().ok, true)
  const bad = await writ(['identity', 'inspect', '--json', '-'], {
    cwd,
    env: { WRIT_CONFIG: 'writ.yaml' },
    input: await jwtSvid({ audience: 'https://other.example' }),
  })
  assert.equal(bad.code, 1, bad.stdout)
  assert.equal(bad.json().ok, false)
})

test('nothing is advised twice: every check has words of its own', () => {
  const checks = [
    'form',
    'header',
    'audience',
    'expiry',
    'chain',
    'uri_san',
    'active',
    'typ',
  ] as const
  const words = checks.map((check) => adviceOn({ code: 'identity_invalid', check }))
  assert.equal(new Set(words).size, checks.length)
  assert.equal(adviceOn(new Refusal({ code: 'proof_replayed' }).reason), undefined)
})
