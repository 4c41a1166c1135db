import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { signJws } from '../../src/token/jws.ts'
import {
  certificate,
  cwd,
  delegation,
  inspect,
  jwtSvid,
  ownAccessToken,
  site,
} from './inspecting.ts'
import { makeSigningKey, seconds } from './trust-site.ts'
import { writ } from './writ.ts'

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
