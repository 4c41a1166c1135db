import assert from 'node:assert/strict'
import { rename, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { MAX_BUNDLE_BYTES, parseBundle } from '../../src/identity/bundles/bundle.ts'
import {
  type Bundles,
  type BundlesOptions,
  openBundles,
} from '../../src/identity/bundles/bundles.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { Refusal } from '../../src/refusal.ts'
import { bundleOf, ISSUER, makeKey, NOW, svid, temporaryDirectory, writeBundle } from './svids.ts'

const key = makeKey('ES256', 'one')
const next = makeKey('ES256', 'two')
const token = svid(key)

async function opened(t: TestContext, options: BundlesOptions = {}) {
  const file = join(await temporaryDirectory(t), 'corp.json')
  await writeBundle(file, bundleOf(key))
  const problems: string[] = []
  const bundles = await openBundles([{ trustDomain: 'corp.test', file }], {
    pollMs: 3_600_000,
    onProblem: ({ detail }) => problems.push(detail),
    ...options,
  })
  t.after(() => bundles.close())
  const prover = createJwtSvidProver({ bundles, audience: ISSUER })
  const believes = (text = token) => {
    try {
      return prover.prove(text, NOW).issuer === 'corp.test'
    } catch (error) {
      assert.ok(error instanceof Refusal)
      return false
    }
  }
  return { file, bundles, problems, believes }
}

test('a key that is taken out of the bundle is not believed any more, though remembered', async (t) => {
  const { file, bundles, believes } = await opened(t)
  assert.equal(believes(), true)
  await writeBundle(file, bundleOf(next))
  await bundles.reload()
  assert.equal(believes(), false)
  assert.equal(believes(svid(next)), true)
})

test('an emptied bundle distrusts its domain at once', async (t) => {
  const x509 = makeKey('ES256', 'x')
  x509.jwk.use = 'x509-svid'
  const unknown = { use: 'jwt-svid', kty: 'LATTICE', kid: 'q' }
  for (const emptied of [{ keys: [] }, bundleOf(x509), { keys: [unknown] }]) {
    const { file, bundles, problems, believes } = await opened(t)
    assert.equal(believes(), true)
    await writeBundle(file, emptied)
    await bundles.reload()
    assert.equal(believes(), false)
    assert.match(problems.join(), /no usable JWT-SVID key/)
  }
})

test('a broken or missing file leaves the last good bundle serving, for a bounded time', async (t) => {
  for (const broken of ['', '{"keys":[', '[]', '{}', '{"keys":{}}', '{"keys":[],"keys":[]}']) {
    let time = 0
    const options = { clock: () => time, maxStaleMs: 60_000 }
    const { file, bundles, problems, believes } = await opened(t, options)
    await writeBundle(file, broken)
    await bundles.reload()
    assert.equal(believes(), true)
    assert.match(problems.join(), /cannot be used, the last good bundle serves on/)
    time = 59_000
    await bundles.reload()
    assert.equal(believes(), true)
    // No look at the file is needed for the age to count.
    time = 60_001
    assert.equal(believes(), false)
    await writeBundle(file, bundleOf(key))
    await bundles.reload()
    assert.equal(believes(), true)
  }
  const { file, bundles, problems, believes } = await opened(t)
  await rm(file)
  await bundles.reload()
  assert.equal(believes(), true)
  assert.equal(problems.length, 1)
})

test('the same trouble is told once, and again after it was gone', async (t) => {
  const { file, bundles, problems } = await opened(t)
  await writeBundle(file, '')
  for (let look = 0; look < 5; look += 1) await bundles.reload()
  assert.equal(problems.length, 1)
  await writeBundle(file, bundleOf(key))
  await bundles.reload()
  await writeBundle(file, '')
  await bundles.reload()
  assert.equal(problems.length, 2)
})

async function until(condition: () => boolean): Promise<void> {
  for (let look = 0; look < 500 && !condition(); look += 1) await sleep(10)
  assert.ok(condition())
}

test('a changed file is noticed without being told, even at equal size and time', async (t) => {
  const { file, bundles, believes } = await opened(t, { pollMs: 10 })
  const at = new Date(1_700_000_000_000)
  await utimes(file, at, at)
  await until(() => bundles.version('corp.test') > 1)
  await writeBundle(`${file}.new`, bundleOf(next))
  await utimes(`${file}.new`, at, at)
  await rename(`${file}.new`, file)
  await until(() => believes(svid(next)))
  assert.equal(believes(), false)
})

test('an unchanged file keeps its version, a change raises it', async (t) => {
  const { file, bundles } = await opened(t, { pollMs: 10 })
  const version = bundles.version('corp.test')
  await sleep(60)
  assert.equal(bundles.version('corp.test'), version)
  await writeBundle(file, bundleOf(key, next))
  await until(() => bundles.version('corp.test') > version)
  assert.equal(bundles.version('stranger.test'), 0)
})

test('a sequence that goes back is taken and told', async (t) => {
  const { file, bundles, problems, believes } = await opened(t)
  await writeBundle(file, { ...bundleOf(next), spiffe_sequence: 0 })
  await bundles.reload()
  assert.match(problems.join(), /went back from 1 to 0/)
  assert.equal(believes(svid(next)), true)
})

test('nothing starts on trust material that cannot be read', async (t) => {
  const directory = await temporaryDirectory(t)
  const file = join(directory, 'corp.json')
  const open = (): Promise<Bundles> => openBundles([{ trustDomain: 'corp.test', file }])
  await assert.rejects(open, /bundle of corp\.test.*ENOENT/)
  await writeBundle(file, '{"keys":')
  await assert.rejects(open, /bundle of corp\.test/)
  await writeBundle(file, `\uFEFF${JSON.stringify(bundleOf(key))}`)
  await assert.rejects(open, /bundle of corp\.test/)
  const latin1 = Buffer.from(JSON.stringify({ ...bundleOf(key), note: 'é' }), 'latin1')
  await writeFile(file, latin1)
  await assert.rejects(open, /bundle of corp\.test/)
  await writeBundle(file, ' '.repeat(MAX_BUNDLE_BYTES) + JSON.stringify(bundleOf(key)))
  await assert.rejects(open, /too large/)
  await assert.rejects(openBundles([{ trustDomain: 'Corp/x', file }]), TypeError)
  const twice = [
    { trustDomain: 'corp.test', file },
    { trustDomain: 'corp.test', file },
  ]
  await assert.rejects(openBundles(twice), TypeError)
})

test('a document with two keys under one name is no bundle', () => {
  const twin = makeKey('ES256', key.kid)
  assert.throws(() => parseBundle(JSON.stringify(bundleOf(key, twin))), /repeats the kid/)
})

test('a document with very many keys is no bundle', () => {
  assert.throws(() => parseBundle(JSON.stringify({ keys: Array(257).fill({}) })), /more than 256/)
})

test('a sequence of 64 bits is read exactly', () => {
  const text = JSON.stringify(bundleOf(key)).replace(
    '"spiffe_sequence":1',
    '"spiffe_sequence": 18446744073709551615',
  )
  assert.equal(parseBundle(text).sequence, 18446744073709551615n)
})

const LEFT_OUT: readonly (readonly [string, (jwk: Record<string, unknown>) => void])[] = [
  ['no kid', (jwk) => delete jwk.kid],
  ['an empty kid', (jwk) => Object.assign(jwk, { kid: '' })],
  ['a private member', (jwk) => Object.assign(jwk, { d: 'AAAA' })],
  ['a coordinate off the curve', (jwk) => Object.assign(jwk, { x: jwk.y })],
  ['an algorithm of another curve', (jwk) => Object.assign(jwk, { alg: 'ES384' })],
  ['an algorithm that is none of ours', (jwk) => Object.assign(jwk, { alg: 'HS256' })],
]
for (const [name, change] of LEFT_OUT) {
  test(`a key with ${name} is left out, with a word about it; the others stay`, () => {
    const wrong = makeKey('ES256', 'wrong')
    change(wrong.jwk)
    const bundle = parseBundle(JSON.stringify(bundleOf(wrong, key)))
    assert.deepEqual(
      bundle.jwtKeys.map(({ kid }) => kid),
      ['one'],
    )
    assert.equal(bundle.problems.length, 1)
  })
}

test('a key that names its algorithm is good for that one only', () => {
  const named = makeKey('RS256', 'named')
  named.jwk.alg = 'PS256'
  const [only] = parseBundle(JSON.stringify(bundleOf(named))).jwtKeys
  assert.deepEqual([...(only?.byAlgorithm.keys() ?? [])], ['PS256'])
})
