import assert from 'node:assert/strict'
import { test } from 'node:test'
import { untilNextMs } from '../../src/identity/bundles/bundle-endpoint.ts'
import {
  corp,
  type Endpoint,
  next,
  overSpiffe,
  overWeb,
  spiffeSource,
  startEndpoint,
  stranger,
  web,
  webSource,
} from './bundle-endpoints.ts'
import { BOTH, bundleText, fileWith, NEITHER, openFor, until } from './trust.ts'

for (const [profile, open] of [
  ['https_web', overWeb],
  ['https_spiffe', overSpiffe],
] as const) {
  test(`${profile}: a fetched bundle vouches for both kinds`, async (t) => {
    const { endpoint, bundles, problems, believes } = await open(t)
    assert.deepEqual(believes(corp), BOTH)
    assert.deepEqual(believes(next), NEITHER)
    assert.deepEqual(problems, [])
    assert.deepEqual(endpoint.requests, ['GET /bundle.json'])
    const [health] = bundles.health()
    assert.equal(health?.source, profile)
    assert.equal(health?.sequence, 1n)
  })

  test(`${profile}: a withdrawn key refuses a remembered SVID from the next fetch on`, async (t) => {
    const { endpoint, bundles, believes } = await open(t)
    assert.deepEqual(believes(corp), BOTH)
    endpoint.serve(bundleText({ jwt: [next.key], x509: [corp.authority] }, { spiffe_sequence: 2 }))
    await bundles.reload()
    assert.deepEqual(believes(corp), { jwt: false, x509: true })
  })

  test(`${profile}: an emptied bundle distrusts its domain at once`, async (t) => {
    const { endpoint, bundles, problems, believes } = await open(t)
    assert.deepEqual(believes(corp), BOTH)
    endpoint.serve('{"keys":[]}')
    await bundles.reload()
    assert.deepEqual(believes(corp), NEITHER)
    assert.match(problems.join(), /nothing of this domain is accepted/)
  })

  test(`${profile}: an endpoint that is down at start stops nobody, and is believed when it is up`, async (t) => {
    const endpoint = await startEndpoint(t, profile === 'https_web' ? web.leaf : corp.endpoint)
    const source = await (profile === 'https_web' ? webSource : spiffeSource)(t, endpoint)
    const file = await fileWith(t, stranger.text)
    endpoint.answer = (_request, response) => response.destroy()
    const sources = [source, { trustDomain: 'stranger.test', file }]
    const { bundles, problems, believes } = await openFor(t, sources)
    assert.deepEqual([believes(corp), believes(stranger)], [NEITHER, BOTH])
    assert.equal(bundles.health()[0]?.ageSeconds, undefined)
    assert.match(problems.join(), /corp\.test: the bundle endpoint cannot be used, nothing of/)
    endpoint.serve(corp.text)
    await bundles.reload()
    assert.deepEqual(believes(corp), BOTH)
    assert.equal(bundles.health()[0]?.problem, undefined)
  })

  test(`${profile}: the last good bundle serves until it is too old, and the answer's age counts`, async (t) => {
    let time = 0
    const { endpoint, bundles, problems, believes } = await open(t, { clock: () => time })
    endpoint.answer = (_request, response) => response.writeHead(503).end()
    time = 3_599_000
    await bundles.reload()
    assert.deepEqual(believes(corp), BOTH)
    assert.match(problems.at(-1)!, /the last good bundle serves on: .*it answered 503/)
    time = 3_600_001
    assert.deepEqual(believes(corp), NEITHER)
    assert.match(problems.at(-1)!, /too old now/)
    endpoint.serve(corp.text)
    await bundles.reload()
    assert.deepEqual(believes(corp), BOTH)
  })
}

const BAD_ANSWERS: readonly (readonly [string, Endpoint['answer'], RegExp])[] = [
  [
    'a redirect',
    (request, response) => {
      response.writeHead(302, { location: `https://${request.headers.host}/moved` }).end(corp.text)
    },
    /302, a redirect/,
  ],
  ['another status', (_, response) => response.writeHead(404).end(corp.text), /answered 404/],
  ['an oversized body', (_, response) => response.end(' '.repeat(1_048_577)), /longer than/],
  ['a body that never ends', (_, response) => response.write('{"keys":['), /within 300 ms/],
  ['no answer at all', () => undefined, /within 300 ms/],
  ['a half-written document', (_, response) => response.end(corp.text.slice(0, 300)), /./],
  ['a document that is no bundle', (_, response) => response.end('{}'), /no "keys" array/],
  ['text that is not UTF-8', (_, response) => response.end(Buffer.from([0x7b, 0xff])), /UTF-8/],
  [
    'a body cut off',
    (_, response) => {
      response.writeHead(200, { 'content-length': 5000 }).write(corp.text)
      setTimeout(() => response.destroy(), 20)
    },
    /./,
  ],
]
for (const [name, answer, problem] of BAD_ANSWERS) {
  test(`${name} is no bundle: the last good one serves on`, async (t) => {
    const { endpoint, bundles, problems, believes } = await overWeb(t, { timeoutMs: 300 })
    endpoint.answer = answer
    await bundles.reload()
    assert.deepEqual(believes(corp), BOTH)
    assert.equal(problems.length, 1)
    assert.match(problems[0]!, /the last good bundle serves on/)
    assert.match(problems[0]!, problem)
    // A redirect was not followed.
    assert.deepEqual(endpoint.requests, ['GET /bundle.json', 'GET /bundle.json'])
  })
}

test('an older sequence is refused: a replica that lags brings back no withdrawn key', async (t) => {
  const { endpoint, bundles, problems, believes } = await overWeb(t)
  endpoint.serve(bundleText({ jwt: [next.key], x509: [next.authority] }, { spiffe_sequence: 7 }))
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
  endpoint.serve(corp.text)
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
  assert.match(problems.at(-1)!, /spiffe_sequence 1 is older than 7/)
  assert.equal(bundles.health()[0]?.sequence, 7n)
})

test('an older sequence of 64 bits is told from a newer one', async (t) => {
  const { endpoint, bundles, believes } = await overWeb(t)
  const at = (sequence: string, contents: Parameters<typeof bundleText>[0]) =>
    bundleText(contents).replace('"spiffe_sequence":1', `"spiffe_sequence":${sequence}`)
  endpoint.serve(at('18446744073709551615', { jwt: [next.key] }))
  await bundles.reload()
  endpoint.serve(at('18446744073709551614', { jwt: [corp.key] }))
  await bundles.reload()
  assert.deepEqual([believes(corp).jwt, believes(next).jwt], [false, true])
})

test('a refused bundle does not keep the last good one young', async (t) => {
  let time = 0
  const { endpoint, bundles, believes } = await overWeb(t, { clock: () => time })
  endpoint.serve(bundleText({ jwt: [corp.key] }, { spiffe_sequence: 0 }))
  time = 3_000_000
  await bundles.reload()
  time = 3_600_001
  assert.deepEqual(believes(corp), NEITHER)
})

test('an emptied bundle is obeyed whatever its sequence', async (t) => {
  const { endpoint, bundles, believes } = await overWeb(t)
  endpoint.serve('{"keys":[],"spiffe_sequence":0}')
  await bundles.reload()
  assert.deepEqual(believes(corp), NEITHER)
  // What it said does not make older bundles newer.
  endpoint.serve(bundleText({ jwt: [corp.key] }, { spiffe_sequence: 0 }))
  await bundles.reload()
  assert.deepEqual(believes(corp), NEITHER)
  endpoint.serve(corp.text)
  await bundles.reload()
  assert.deepEqual(believes(corp), BOTH)
})

test('a bundle that changes without its sequence counts, and is told', async (t) => {
  const { endpoint, bundles, problems, believes } = await overWeb(t)
  endpoint.serve(bundleText({ jwt: [next.key], x509: [next.authority] }))
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
  assert.match(problems.join(), /changed without its spiffe_sequence/)
})

test('a bundle without a sequence is as new as its fetch', async (t) => {
  const { endpoint, bundles, problems, believes } = await overWeb(t)
  endpoint.serve(bundleText({ jwt: [next.key] }, { spiffe_sequence: undefined }))
  await bundles.reload()
  assert.deepEqual([believes(corp).jwt, believes(next).jwt], [false, true])
  assert.doesNotMatch(problems.join(), /sequence/)
})

test('an unchanged bundle keeps its version, so remembered SVIDs stay remembered', async (t) => {
  const { endpoint, bundles } = await overWeb(t)
  const version = bundles.version('corp.test')
  await bundles.reload()
  assert.equal(bundles.version('corp.test'), version)
  endpoint.serve(next.text)
  await bundles.reload()
  assert.notEqual(bundles.version('corp.test'), version)
})

test('an endpoint is asked again by itself, after good answers and bad ones', async (t) => {
  const endpoint = await startEndpoint(t, web.leaf)
  endpoint.serve(bundleText({ jwt: [corp.key] }, { spiffe_refresh_hint: 0 }))
  const { believes } = await openFor(t, [await webSource(t, endpoint)], { minRefreshMs: 20 })
  await until(() => endpoint.requests.length > 3)
  endpoint.answer = (_request, response) => response.destroy()
  const before = endpoint.requests.length
  await until(() => endpoint.requests.length > before + 2)
  endpoint.serve(bundleText({ jwt: [next.key] }, { spiffe_sequence: 2 }))
  await until(() => believes(next).jwt)
})

const usual = { hintSeconds: 300, failures: 0, minRefreshMs: 5000, maxAgeMs: 3_600_000 }
const WAITS: readonly (readonly [string, Partial<typeof usual>, number])[] = [
  ['as its bundle says', {}, 300_000],
  ['no sooner than the minimum', { hintSeconds: 0 }, 5000],
  ['three times before its bundle is too old', { hintSeconds: 86_400 }, 1_200_000],
  ['once an hour at least', { hintSeconds: 86_400, maxAgeMs: 86_400_000 }, 3_600_000],
  ['soon after a failure', { failures: 1 }, 5000],
  ['less soon after more of them', { failures: 4 }, 40_000],
  ['as its bundle says after very many', { failures: 2000 }, 300_000],
  ['no sooner than the minimum, however short its bundle lives', { maxAgeMs: 3000 }, 5000],
]
for (const [name, changes, delayMs] of WAITS) {
  test(`an endpoint is asked ${name}`, () => {
    assert.equal(untilNextMs({ ...usual, ...changes }), delayMs)
  })
}
