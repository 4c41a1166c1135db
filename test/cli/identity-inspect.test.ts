import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CliError } from '../../src/cli/answer.ts'
import { adviceOn } from '../../src/cli/identity-advice.ts'
import { Refusal } from '../../src/refusal.ts'
import {
  assertNothingLeaks,
  BOT,
  certificate,
  cwd,
  delegation,
  inspect,
  jwtSvid,
  site,
  THUMBPRINT,
} from './inspecting.ts'
import { SERVICE_ACCOUNT, seconds } from './trust-site.ts'
import { writ } from './writ.ts'

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
