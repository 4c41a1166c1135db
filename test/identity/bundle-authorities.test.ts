import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { parseBundle, parseJwtBundle } from '../../src/identity/bundles/bundle.ts'
import { createAuthority } from '../../src/identity/development-x509.ts'
import { bundleOf, makeKey, svid, writeBundle } from './svids.ts'
import {
  authorityEntry,
  BOTH,
  bundleText,
  fileWith,
  leafOf,
  makeDomain,
  NEITHER,
  nowSeconds,
  openFor,
} from './trust.ts'
import { ecKeys, root, rsaKeys } from './x509-maker.ts'

const good = await createAuthority('corp.test')
const other = await createAuthority('corp.test')
const leaf = await leafOf(good, 'spiffe://corp.test/agents/bot')
const leafBase64 = Buffer.from(leaf.chain[0]!).toString('base64')
const thumbprintsOf = (text: string) =>
  parseBundle(text).x509Authorities.map(({ der }) => Buffer.from(der).toString('base64'))

test('an authority is the first certificate of its entry, whatever follows it', () => {
  const entry = { ...authorityEntry(good), x5c: [good.certificateBase64, leafBase64, 'not base64'] }
  const bundle = parseBundle(JSON.stringify({ keys: [entry] }))
  assert.deepEqual(bundle.problems, [])
  assert.equal(bundle.jwtKeys.length, 0)
  assert.deepEqual(thumbprintsOf(JSON.stringify({ keys: [entry] })), [good.certificateBase64])
})

for (const [name, keys] of [
  ['P-256', ecKeys('P-256')],
  ['P-384', ecKeys('P-384')],
  ['P-521', ecKeys('P-521')],
  ['RSA', rsaKeys()],
] as const) {
  test(`an authority with a ${name} key is read`, () => {
    const { der } = root({ keys })
    const jwk = keys.publicKey.export({ format: 'jwk' })
    const entry = { use: 'x509-svid', ...jwk, x5c: [der.toString('base64')] }
    assert.deepEqual(thumbprintsOf(JSON.stringify({ keys: [entry] })), entry.x5c)
  })
}

test('the same authority twice is one authority', () => {
  assert.equal(parseBundle(bundleText({ x509: [good, good] })).x509Authorities.length, 1)
})

test('an entry without use, or of another use, vouches for nothing and is no trouble', () => {
  const { use: _use, ...without } = authorityEntry(good)
  for (const entry of [without, { ...without, use: 'sig' }, { ...without, use: 'X509-SVID' }]) {
    const bundle = parseBundle(JSON.stringify({ keys: [entry] }))
    assert.deepEqual([bundle.x509Authorities, bundle.jwtKeys, bundle.problems], [[], [], []])
  }
})

test('an entry of an unknown key type is passed over without a word', () => {
  const entry = { ...authorityEntry(good), kty: 'LATTICE' }
  const bundle = parseBundle(JSON.stringify({ keys: [entry] }))
  assert.deepEqual([bundle.x509Authorities, bundle.problems], [[], []])
})

const LEFT_OUT: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ['no x5c', { x5c: undefined }, /no x5c/],
  ['an empty x5c', { x5c: [] }, /no x5c/],
  ['an x5c that is no array', { x5c: good.certificateBase64 }, /no x5c/],
  ['a certificate that is no text', { x5c: [7] }, /not base64/],
  [
    'a certificate in base64url',
    { x5c: [Buffer.from(good.certificateBase64, 'base64').toString('base64url')] },
    /not base64/,
  ],
  ['a certificate with a newline in it', { x5c: [`${good.certificateBase64}\n`] }, /not base64/],
  ['a certificate cut short', { x5c: [good.certificateBase64.slice(0, 400)] }, /cannot be used/],
  ['the certificate of a leaf', { x5c: [leafBase64] }, /cannot be used/],
  ['the key of another certificate', { x5c: [other.certificateBase64] }, /not its certificate/],
  ['another x', { x: other.publicJwk.x }, /not its certificate/],
  ['another y', { y: other.publicJwk.y }, /not its certificate/],
  ['no x', { x: undefined }, /not its certificate/],
  ['another curve', { crv: 'P-384' }, /not its certificate/],
  ['a key type that shares its members', { kty: 'OKP' }, /not its certificate/],
  ['another key type', { kty: 'RSA', n: 'AQAB', e: 'AQAB' }, /not its certificate/],
  ['a private member', { d: 'AAAA' }, /private member/],
]
for (const [name, change, problem] of LEFT_OUT) {
  test(`an authority with ${name} is left out, with a word about it; the others stay`, () => {
    const keys = [{ ...authorityEntry(good), ...change }, authorityEntry(other)]
    const bundle = parseBundle(JSON.stringify({ keys }))
    assert.deepEqual(thumbprintsOf(JSON.stringify({ keys })), [other.certificateBase64])
    assert.equal(bundle.problems.length, 1)
    assert.match(bundle.problems[0]!, /^keys\[0\] is left out: /)
    assert.match(bundle.problems[0]!, problem)
  })
}

test('no problem of a bundle quotes a key or a certificate', () => {
  fc.assert(
    fc.property(fc.constantFrom(...LEFT_OUT), fc.base64String({ minLength: 8 }), (row, noise) => {
      const entry = { ...authorityEntry(good), ...row[1], x5c: [noise], note: noise }
      const { problems } = parseBundle(JSON.stringify({ keys: [entry] }))
      assert.ok(problems.length === 1 && !problems.join().includes(noise))
    }),
    { numRuns: 200 },
  )
})

test('any text is a bundle or an Error, and never trusts what it does not hold', () => {
  const whole = bundleText({ jwt: [makeKey('ES256', 'a')], x509: [good] })
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.string({ maxLength: 3 }), (at, noise) => {
      const text = whole.slice(0, at) + noise + whole.slice(at + noise.length)
      let read: ReturnType<typeof parseBundle>
      try {
        read = parseBundle(text)
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof TypeError))
        return
      }
      for (const { der } of read.x509Authorities) {
        assert.equal(Buffer.from(der).toString('base64'), good.certificateBase64)
      }
    }),
    { numRuns: 500 },
  )
})

test('a JWK Set of the Workload API gives keys with and without use, and no authority', () => {
  const plain = makeKey('ES256', 'plain')
  delete plain.jwk.use
  const stated = makeKey('ES256', 'stated')
  const foreign = makeKey('ES256', 'foreign')
  foreign.jwk.use = 'sig'
  const keys = [...[plain, stated, foreign].map(({ jwk }) => jwk), authorityEntry(good)]
  const { jwtKeys, problems } = parseJwtBundle(JSON.stringify({ keys }))
  assert.deepEqual(
    jwtKeys.map(({ kid }) => kid),
    ['plain', 'stated'],
  )
  assert.deepEqual(problems, [])
  // A bundle document has to say what each key is for.
  assert.deepEqual(parseBundle(JSON.stringify(bundleOf(plain))).jwtKeys, [])
})

async function opened(t: TestContext) {
  const domain = await makeDomain('corp.test')
  const file = await fileWith(t, domain.text)
  return { domain, file, ...(await openFor(t, [{ trustDomain: 'corp.test', file }])) }
}

test('a bundle file vouches for both kinds, and an emptied one for neither, at once', async (t) => {
  const { domain, file, bundles, problems, believes } = await opened(t)
  assert.deepEqual(believes(domain), BOTH)
  assert.equal(bundles.usableKeys('corp.test'), 2)
  await writeBundle(file, { keys: [] })
  await bundles.reload()
  assert.deepEqual(believes(domain), NEITHER)
  assert.equal(bundles.usableKeys('corp.test'), 0)
  assert.match(problems.join(), /no usable JWT-SVID key and no usable X\.509 authority/)
})

test('each kind is withdrawn by itself, and a remembered SVID with it', async (t) => {
  const { domain, file, bundles, problems, believes } = await opened(t)
  assert.deepEqual(believes(domain), BOTH)
  await writeBundle(file, bundleText({ jwt: [domain.key] }))
  await bundles.reload()
  assert.deepEqual(believes(domain), { jwt: true, x509: false })
  assert.match(problems.at(-1)!, /no usable X\.509 authority any more, no X509-SVID/)
  await writeBundle(file, bundleText({ x509: [domain.authority] }))
  await bundles.reload()
  assert.deepEqual(believes(domain), { jwt: false, x509: true })
  assert.match(problems.at(-1)!, /no usable JWT-SVID key any more, no JWT-SVID/)
})

test('one broken authority does not take the others with it', async (t) => {
  const { domain, file, bundles, problems, believes } = await opened(t)
  const broken = { ...authorityEntry(other), x5c: ['AAAA'] }
  await writeBundle(file, { keys: [broken, authorityEntry(domain.authority)] })
  await bundles.reload()
  assert.equal(believes(domain).x509, true)
  assert.match(problems.at(-1)!, /keys\[0\] is left out/)
})

test('two trust domains cannot vouch for each other, and swapping them helps nobody', async (t) => {
  const a = await makeDomain('a.test')
  const b = await makeDomain('b.test')
  const fileA = await fileWith(t, a.text)
  const fileB = await fileWith(t, b.text)
  const sources = [
    { trustDomain: 'a.test', file: fileA },
    { trustDomain: 'b.test', file: fileB },
  ]
  const { bundles, believes } = await openFor(t, sources)
  assert.deepEqual([believes(a), believes(b)], [BOTH, BOTH])
  // An SVID that names a workload of A, made by B.
  const forged = await leafOf(b.authority, a.x509Svid.id)
  assert.equal(believes({ ...a, x509Svid: forged }).x509, false)
  const jwtSvid = svid(b.key, { payload: { sub: a.x509Svid.id, iat: 0, exp: nowSeconds() + 60 } })
  assert.equal(believes({ ...a, jwtSvid }).jwt, false)
  await writeBundle(fileA, b.text)
  await writeBundle(fileB, a.text)
  await bundles.reload()
  assert.deepEqual([believes(a), believes(b)], [NEITHER, NEITHER])
})

test('health tells how each trust domain stands', async (t) => {
  const { file, bundles } = await opened(t)
  const good = { trustDomain: 'corp.test', source: 'file', sequence: 1n }
  const [healthy] = bundles.health()
  assert.deepEqual(healthy, {
    ...good,
    ageSeconds: 0,
    jwtKeys: 1,
    x509Authorities: 1,
    problem: undefined,
  })
  await writeBundle(file, '{"keys":')
  await bundles.reload()
  const [broken] = bundles.health()
  assert.match(broken?.problem ?? '', /cannot be used, the last good bundle serves on/)
  assert.equal(broken?.jwtKeys, 1)
})
