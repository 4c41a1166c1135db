import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type {
  BundleStream,
  BundlesOptions,
  StreamedBundle,
} from '../../src/identity/bundles/bundles.ts'
import { BOTH, bundleText, type Domain, makeDomain, NEITHER, openFor } from './trust.ts'

const corp = await makeDomain('corp.test')
const next = await makeDomain('corp.test', 'two')

const jwtOf = (...domains: readonly Domain[]) =>
  Buffer.from(bundleText({ jwt: domains.map(({ key }) => key) }))
const x509Of = (...domains: readonly Domain[]) =>
  domains.map(({ authority }) => Buffer.from(authority.certificateBase64, 'base64'))
const bothOf = (...domains: readonly Domain[]): StreamedBundle => ({
  jwt: jwtOf(...domains),
  x509: x509Of(...domains),
})

/** A stream in the test's hand. */
class Wire implements BundleStream {
  say: (bundle: StreamedBundle) => void = () => undefined
  fail: (detail: string, kind?: 'jwt' | 'x509') => void = () => undefined
  closed = false
  readonly #first: StreamedBundle

  constructor(first: StreamedBundle) {
    this.#first = first
  }

  start: BundleStream['start'] = (onBundle, onProblem) => {
    this.say = onBundle
    this.fail = onProblem
    if (Object.keys(this.#first).length > 0) queueMicrotask(() => onBundle(this.#first))
    return {
      close: () => {
        this.closed = true
      },
    }
  }
}

async function opened(t: TestContext, options: BundlesOptions = {}, first = bothOf(corp)) {
  const wire = new Wire(first)
  const sources = [{ trustDomain: 'corp.test', stream: wire, maxAgeSeconds: 60 }]
  return { wire, ...(await openFor(t, sources, options)) }
}

test('a streamed bundle vouches for both kinds', async (t) => {
  const { bundles, problems, believes } = await opened(t)
  assert.deepEqual(believes(corp), BOTH)
  assert.deepEqual(problems, [])
  assert.deepEqual(bundles.health()[0], {
    trustDomain: 'corp.test',
    source: 'stream',
    ageSeconds: 0,
    sequence: undefined,
    jwtKeys: 1,
    x509Authorities: 1,
    problem: undefined,
  })
})

test('each message replaces its kind at once, and leaves the other', async (t) => {
  const { wire, believes } = await opened(t)
  assert.deepEqual(believes(corp), BOTH)
  wire.say({ jwt: jwtOf(next) })
  assert.deepEqual(believes(corp), { jwt: false, x509: true })
  wire.say({ x509: x509Of(next) })
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
})

const WITHDRAWALS: readonly (readonly [string, StreamedBundle])[] = [
  ['no word of the domain any more', { jwt: null, x509: null }],
  ['nothing for it', { jwt: Buffer.from('{"keys":[]}'), x509: [] }],
  [
    'nothing that can be used',
    { jwt: Buffer.from('{"keys":[{"kty":"oct"}]}'), x509: [Buffer.of(0)] },
  ],
]
for (const [name, bundle] of WITHDRAWALS) {
  test(`a stream that has ${name} withdraws it at once`, async (t) => {
    const { wire, problems, believes } = await opened(t)
    assert.deepEqual(believes(corp), BOTH)
    wire.say(bundle)
    assert.deepEqual(believes(corp), NEITHER)
    assert.match(problems.join(), /nothing of this domain is accepted/)
    wire.say(bothOf(corp))
    assert.deepEqual(believes(corp), BOTH)
  })
}

test('when the stream is lost the last good bundle serves, for a bounded time', async (t) => {
  let time = 0
  const { wire, problems, believes } = await opened(t, { clock: () => time })
  // However long it has been silent while it stood.
  time = 1_000_000
  assert.deepEqual(believes(corp), BOTH)
  wire.fail('the agent is away')
  time += 60_000
  assert.deepEqual(believes(corp), BOTH)
  assert.match(problems.join(), /the stream cannot be used, the last good .*the agent is away/)
  wire.fail('the agent is still away')
  time += 1
  assert.deepEqual(believes(corp), NEITHER)
  wire.say(bothOf(corp))
  time += 1_000_000
  assert.deepEqual(believes(corp), BOTH)
})

test('one kind can be lost while the other stands', async (t) => {
  let time = 0
  const { wire, bundles, believes } = await opened(t, { clock: () => time })
  wire.fail('no JWT bundles', 'jwt')
  time = 59_000
  wire.say({ x509: x509Of(corp) })
  const [health] = bundles.health()
  assert.equal(health?.ageSeconds, 59)
  // That the other kind is well does not hide it.
  assert.match(health?.problem ?? '', /no JWT bundles/)
  time = 60_001
  assert.deepEqual(believes(corp), { jwt: false, x509: true })
})

test('a message that is no bundle leaves the last good one of its kind, for a bounded time', async (t) => {
  for (const jwt of ['', '{"keys":', '{}', '\uFEFF{"keys":[]}']) {
    let time = 0
    const { wire, problems, believes } = await opened(t, { clock: () => time })
    wire.say({ jwt: Buffer.from(jwt) })
    assert.deepEqual(believes(corp), BOTH)
    assert.match(problems.join(), /the last jwt bundle cannot be used/)
    time = 60_001
    assert.deepEqual(believes(corp), { jwt: false, x509: true })
  }
})

test('one authority that cannot be read does not take the others with it', async (t) => {
  const { wire, problems, believes } = await opened(t)
  wire.say({ x509: [Buffer.from('nonsense'), ...x509Of(corp)] })
  assert.deepEqual(believes(corp), BOTH)
  assert.match(problems.join(), /authority 0 is left out/)
  // A word about the other kind does not hide the trouble.
  wire.say({ jwt: jwtOf(corp) })
  wire.say({ x509: x509Of(corp) })
  assert.deepEqual(problems.length, 1)
})

test('a leaf is no authority, whoever streams it', async (t) => {
  const { wire, problems, believes } = await opened(t)
  wire.say({ x509: corp.x509Svid.chain })
  assert.equal(believes(corp).x509, false)
  assert.match(problems.join(), /authority 0 is left out/)
})

test('a silent stream stops nobody from starting, and is believed when it speaks', async (t) => {
  const { wire, bundles, problems, believes } = await opened(t, { timeoutMs: 20 }, {})
  assert.deepEqual(believes(corp), NEITHER)
  assert.equal(bundles.health()[0]?.ageSeconds, undefined)
  assert.match(problems.join(), /it has said nothing about jwt and x509 yet/)
  wire.say(bothOf(corp))
  assert.deepEqual(believes(corp), BOTH)
  assert.equal(bundles.health()[0]?.problem, undefined)
})

test('a closed stream changes nothing any more', async (t) => {
  const { wire, bundles, believes } = await opened(t)
  bundles.close()
  assert.equal(wire.closed, true)
  wire.say(bothOf(next))
  assert.deepEqual(believes(next), NEITHER)
})
