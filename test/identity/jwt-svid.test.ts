import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { type IdentityCheck, Refusal } from '../../src/refusal.ts'
import {
  bundleOf,
  ISSUER,
  type IssuerKey,
  makeKey,
  NOW,
  payload,
  signTexts,
  svid,
  temporaryDirectory,
  writeBundle,
} from './svids.ts'

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512']
const keys = new Map(ALGORITHMS.map((alg) => [alg, makeKey(alg)]))
const key = keys.get('ES256') as IssuerKey
const rsa = keys.get('RS256') as IssuerKey
const otherDomainKey = makeKey('ES256', 'kid-other')
const twin = makeKey('ES256', key.kid)

const directory = await temporaryDirectory({ after })
const corp = join(directory, 'corp.json')
const other = join(directory, 'other.json')
const withoutUse = makeKey('ES256', 'kid-without-use')
delete withoutUse.jwk.use
const forX509 = makeKey('ES256', 'kid-x509')
forX509.jwk.use = 'x509-svid'
await writeBundle(corp, bundleOf(...keys.values(), withoutUse, forX509))
await writeBundle(other, bundleOf(otherDomainKey))
const bundles = await openBundles([
  { trustDomain: 'corp.test', file: corp },
  { trustDomain: 'other.test', file: other },
])
after(() => bundles.close())
const prover = () => createJwtSvidProver({ bundles, audience: ISSUER })

for (const [alg, one] of keys) {
  test(`an SVID signed with ${alg} proves its workload`, () => {
    const workload = prover().prove(svid(one), NOW)
    assert.equal(workload.id, 'spiffe://corp.test/agents/bot')
    assert.equal(workload.kind, 'spiffe')
    assert.equal(workload.issuer, 'corp.test')
    assert.equal(workload.expiresAt, NOW + 290)
  })
}

const ACCEPTED: readonly (readonly [string, string])[] = [
  ['without typ', svid(key, { header: { typ: undefined } })],
  ['with typ JOSE', svid(key, { header: { typ: 'JOSE' } })],
  ['with the audience as an array of one', svid(key, { payload: { aud: [ISSUER] } })],
  ['without iat', svid(key, { payload: { iat: undefined } })],
  ['with iat a little ahead', svid(key, { payload: { iat: NOW + 4 } })],
  ['with nbf in the past', svid(key, { payload: { nbf: NOW - 1 } })],
  ['with further claims', svid(key, { payload: { iss: 'https://x.test', jti: '1', team: 'a' } })],
]
for (const [name, token] of ACCEPTED) {
  test(`accepted: an SVID ${name}`, () => {
    assert.equal(prover().prove(token, NOW).id, 'spiffe://corp.test/agents/bot')
  })
}

const [head, body, signature] = svid(key).split('.') as [string, string, string]
const json = JSON.stringify

const REFUSED: readonly (readonly [string, IdentityCheck, string])[] = [
  // SP-1
  ['nothing at all', 'form', ''],
  ['two parts', 'form', `${head}.${body}`],
  ['five parts', 'form', `${head}.${body}.${signature}.a.b`],
  ['the JSON serialisation', 'form', json({ protected: head, payload: body, signature })],
  ['padding', 'form', `${head}.${body}.${signature}==`],
  ['a newline after it', 'form', `${svid(key)}\n`],
  ['a blank inside', 'form', `${head}. ${body}.${signature}`],
  ['the standard base64 alphabet', 'form', `${head}.${body}.${signature.slice(0, -2)}+/`],
  ['a member twice', 'form', signTexts(json({ alg: 'ES256', kid: key.kid }), dupe(), key)],
  ['a payload that is no object', 'form', signTexts(json({ alg: 'ES256' }), '[]', key)],
  ['more than 16 KiB', 'form', svid(key, { payload: { pad: 'x'.repeat(16 * 1024) } })],
  // SP-2
  ['alg none', 'algorithm', svid(key, { header: { alg: 'none' } }).replace(/[^.]*$/, '')],
  ['no alg', 'algorithm', svid(key, { header: { alg: undefined } })],
  ['alg HS256', 'algorithm', svid({ ...key, alg: 'HS256' })],
  ['alg EdDSA', 'algorithm', svid(makeKey('EdDSA', key.kid))],
  ['alg ES256K', 'algorithm', svid(key, { header: { alg: 'ES256K' } })],
  ['alg in small letters', 'algorithm', svid(key, { header: { alg: 'es256' } })],
  // SP-3
  ['jku', 'header', svid(key, { header: { jku: 'https://127.0.0.1:1/keys' } })],
  ['x5u', 'header', svid(key, { header: { x5u: 'https://127.0.0.1:1/cert' } })],
  ['crit', 'header', svid(key, { header: { crit: ['exp'] } })],
  ['x5c', 'header', svid(key, { header: { x5c: ['AAAA'] } })],
  ['jwk', 'header', svid(twin, { header: { jwk: twin.jwk } })],
  ['cty', 'header', svid(key, { header: { cty: 'JWT' } })],
  ['an unknown header', 'header', svid(key, { header: { nonce: '1' } })],
  ['typ at+jwt', 'header', svid(key, { header: { typ: 'at+jwt' } })],
  ['typ in small letters', 'header', svid(key, { header: { typ: 'jwt' } })],
  ['typ null', 'header', svid(key, { header: { typ: null } })],
  ['a kid that is no text', 'header', svid(key, { header: { kid: 1 } })],
  // SP-4
  ['no sub', 'spiffe_id', svid(key, { payload: { sub: undefined } })],
  ['a sub that is no SPIFFE ID', 'spiffe_id', svid(key, { payload: { sub: 'agents/bot' } })],
  ['a sub without a path', 'spiffe_id', svid(key, { payload: { sub: 'spiffe://corp.test' } })],
  [
    'a sub in another spelling',
    'spiffe_id',
    svid(key, { payload: { sub: 'spiffe://CORP.test/a' } }),
  ],
  ['no aud', 'audience', svid(key, { payload: { aud: undefined } })],
  ['another audience', 'audience', svid(key, { payload: { aud: 'https://other.test' } })],
  ['our audience with a slash', 'audience', svid(key, { payload: { aud: `${ISSUER}/` } })],
  ['an empty audience', 'audience', svid(key, { payload: { aud: [] } })],
  [
    'ours and another audience',
    'audience',
    svid(key, { payload: { aud: [ISSUER, 'https://b.test'] } }),
  ],
  ['our audience twice', 'audience', svid(key, { payload: { aud: [ISSUER, ISSUER] } })],
  ['an audience in an array in an array', 'audience', svid(key, { payload: { aud: [[ISSUER]] } })],
  ['no exp', 'claims', svid(key, { payload: { exp: undefined } })],
  ['exp as text', 'claims', svid(key, { payload: { exp: String(NOW + 100) } })],
  ['nbf as text', 'claims', svid(key, { payload: { nbf: '0' } })],
  ['iat as text', 'claims', svid(key, { payload: { iat: '0' } })],
  ['exp in the past', 'expiry', svid(key, { payload: { exp: NOW - 1 } })],
  ['exp at this very second', 'expiry', svid(key, { payload: { exp: NOW } })],
  ['exp more than a day ahead', 'expiry', svid(key, { payload: { exp: NOW + 86_402 } })],
  ['nbf in the future', 'expiry', svid(key, { payload: { nbf: NOW + 60 } })],
  ['iat in the future', 'expiry', svid(key, { payload: { iat: NOW + 60 } })],
  // SP-5
  ['a kid that the bundle does not have', 'key', svid(key, { header: { kid: 'nobody' } })],
  ['no kid where several keys fit', 'key', svid(rsa, { header: { kid: undefined } })],
  ['a key without use', 'key', svid(withoutUse)],
  ['a key for X.509-SVIDs', 'key', svid(forX509)],
  ['an alg that the key is not for', 'key', svid(key, { header: { alg: 'ES384' } })],
  ['a path as kid', 'key', svid(key, { header: { kid: '../../etc/passwd' } })],
  ['the key of another trust domain', 'key', svid(otherDomainKey)],
  ['our own kid, another key', 'signature', svid(twin)],
  ['a changed payload', 'signature', `${head}.${changed()}.${signature}`],
  ['an empty signature', 'signature', `${head}.${body}.`],
  [
    'RS256 under the name PS256',
    'signature',
    svid({ ...rsa, alg: 'RS256' }, { header: { alg: 'PS256' } }),
  ],
]

function dupe(): string {
  const text = json(payload())
  return `${text.slice(0, -1)},"sub":"spiffe://corp.test/admin"}`
}

function changed(): string {
  const text = Buffer.from(body, 'base64url').toString().replace('/bot', '/bob')
  return Buffer.from(text).toString('base64url')
}

for (const [name, check, token] of REFUSED) {
  test(`refused (${check}): an SVID with ${name}`, () => {
    assert.throws(
      () => prover().prove(token, NOW),
      (error) => {
        assert.ok(error instanceof Refusal, String(error))
        assert.deepEqual(error.reason, { code: 'identity_invalid', check })
        assert.ok(!token || !JSON.stringify(error).includes(token))
        return true
      },
    )
  })
}

test('a trust domain nobody configured is refused by its name', () => {
  const token = svid(key, { payload: { sub: 'spiffe://stranger.test/a' } })
  assert.throws(
    () => prover().prove(token, NOW),
    (error) =>
      error instanceof Refusal &&
      error.reason.code === 'identity_unknown_issuer' &&
      error.reason.issuer === 'stranger.test',
  )
})

test('domain B cannot vouch for domain A, nor A for B', () => {
  const bForA = svid(otherDomainKey, { payload: { sub: 'spiffe://corp.test/a' } })
  const aForB = svid(key, { payload: { sub: 'spiffe://other.test/a' } })
  const own = svid(otherDomainKey, { payload: { sub: 'spiffe://other.test/a' } })
  assert.throws(() => prover().prove(bForA, NOW), Refusal)
  assert.throws(() => prover().prove(aForB, NOW), Refusal)
  assert.equal(prover().prove(own, NOW).issuer, 'other.test')
})

test('without kid, the one key that fits is used', () => {
  const token = svid(otherDomainKey, {
    header: { kid: undefined },
    payload: { sub: 'spiffe://other.test/a' },
  })
  assert.equal(prover().prove(token, NOW).id, 'spiffe://other.test/a')
})

test('a remembered SVID is the same workload, until it expires', () => {
  const one = prover()
  const token = svid(key)
  const first = one.prove(token, NOW)
  assert.equal(one.prove(token, NOW + 100), first)
  assert.throws(() => one.prove(token, NOW + 290), Refusal)
  assert.throws(() => one.prove(token, NOW + 1000), Refusal)
})

test('a remembered SVID is not believed before its time when the clock goes back', () => {
  const one = prover()
  const token = svid(key, { payload: { nbf: NOW } })
  one.prove(token, NOW)
  assert.throws(() => one.prove(token, NOW - 60), Refusal)
})

test('the time left to live is bounded by configuration', () => {
  const strict = createJwtSvidProver({ bundles, audience: ISSUER, maxRemainingSeconds: 200 })
  assert.throws(() => strict.prove(svid(key), NOW), Refusal)
  assert.equal(strict.prove(svid(key), NOW + 100).issuer, 'corp.test')
})

test('a second spelling of one SVID has the same name', () => {
  // Of an ECDSA signature (r, s), (r, n - s) is valid too.
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const bytes = Buffer.from(signature, 'base64url')
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  const flipped = Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex')
  const twinSignature = Buffer.concat([bytes.subarray(0, 32), flipped]).toString('base64url')
  const one = prover()
  const first = one.prove(`${head}.${body}.${signature}`, NOW)
  let second: string | undefined
  try {
    second = one.prove(`${head}.${body}.${twinSignature}`, NOW).credential
  } catch (error) {
    assert.ok(error instanceof Refusal)
  }
  assert.ok(second === undefined || second === first.credential)
  assert.ok(!head.includes(first.credential) && !signature.includes(first.credential))
})

test('an SVID changed in any one character is refused', () => {
  const one = prover()
  const token = svid(rsa)
  const characters = fc.constantFrom(...'ABCXYZabcxyz0189-_.=+/ \n')
  fc.assert(
    fc.property(fc.nat({ max: token.length - 1 }), characters, (at, character) => {
      fc.pre(token[at] !== character)
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      assert.throws(() => one.prove(changed, NOW), Refusal)
    }),
    { numRuns: 1000 },
  )
})

test('no text whatever makes it throw anything but a refusal', () => {
  const one = prover()
  const part = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.json().map((text) => Buffer.from(text).toString('base64url')),
    fc.constantFrom(head, body, signature),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
      fc.pre(parts.join('.') !== `${head}.${body}.${signature}`)
      assert.throws(() => one.prove(parts.join('.'), NOW), Refusal)
    }),
    { numRuns: 1000 },
  )
})

test('nothing on the way to a workload can open a connection', async () => {
  const reached = new Set<string>()
  const visit = async (file: URL) => {
    if (reached.has(file.href)) return
    reached.add(file.href)
    // A type is gone when the program runs (proving is handed bundles, it does not fetch them), and
    // isIP only looks at text.
    const text = (await readFile(file, 'utf8'))
      .replace(/import type [^']+ from '[^']+'/g, '')
      .replace("import { isIP } from 'node:net'", '')
    for (const [, specifier = ''] of text.matchAll(/from '([^']+)'/g)) {
      assert.doesNotMatch(specifier, /^(undici|node:(net|tls|https?|http2|dns|dgram))/, file.href)
      if (specifier.startsWith('.')) await visit(new URL(specifier, file))
    }
  }
  await visit(new URL('../../src/identity/jwt-svid.ts', import.meta.url))
  assert.ok(reached.size > 5)
  for (const file of reached)
    assert.doesNotMatch(await readFile(new URL(file), 'utf8'), /\bfetch\(/)
})
