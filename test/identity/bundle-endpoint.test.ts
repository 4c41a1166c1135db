import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import type { BundlesOptions, EndpointSource } from '../../src/identity/bundles.ts'
import { openBundles } from '../../src/identity/bundles.ts'
import {
  BOTH,
  bundleText,
  type Domain,
  type Endpoint,
  fileWith,
  LOOPBACK,
  leafOf,
  makeDomain,
  makeWebPki,
  NEITHER,
  openFor,
  startEndpoint,
  until,
} from './trust.ts'

const corp = await makeDomain('corp.test')
const next = await makeDomain('corp.test', 'two')
const stranger = await makeDomain('stranger.test')
const web = await makeWebPki()

type Changes = Partial<Omit<EndpointSource, 'trustDomain'>>

async function webSource(t: TestContext, { url }: Endpoint, changes: Changes = {}) {
  return {
    trustDomain: 'corp.test',
    endpoint: { url, profile: 'https_web' as const },
    allowAddresses: LOOPBACK,
    caFile: await fileWith(t, web.caPem, 'ca.pem'),
    ...changes,
  }
}

async function spiffeSource(t: TestContext, { url }: Endpoint, domain: Domain = corp) {
  return {
    trustDomain: domain.name,
    endpoint: {
      url,
      profile: 'https_spiffe' as const,
      spiffeId: domain.endpoint.id,
      bootstrapFile: await fileWith(t, bundleText({ x509: [domain.authority] })),
    },
    allowAddresses: LOOPBACK,
  }
}

async function overWeb(t: TestContext, options: BundlesOptions = {}, changes: Changes = {}) {
  const endpoint = await startEndpoint(t, web.leaf, corp.text)
  return { endpoint, ...(await openFor(t, [await webSource(t, endpoint, changes)], options)) }
}

async function overSpiffe(t: TestContext, options: BundlesOptions = {}) {
  const endpoint = await startEndpoint(t, corp.endpoint, corp.text)
  const source = await spiffeSource(t, endpoint)
  const { bootstrapFile } = source.endpoint
  return { endpoint, bootstrapFile, ...(await openFor(t, [source], options)) }
}

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

test('an endpoint is asked again by itself, as often as its bundle says and a failure allows', async (t) => {
  const endpoint = await startEndpoint(t, web.leaf, bundleText({ jwt: [corp.key] }))
  const hint = (seconds: number) => ({ spiffe_refresh_hint: seconds, spiffe_sequence: 2 })
  endpoint.serve(bundleText({ jwt: [corp.key] }, hint(0)))
  const { believes } = await openFor(t, [await webSource(t, endpoint)], { minRefreshMs: 20 })
  await until(() => endpoint.requests.length > 3)
  endpoint.answer = (_request, response) => response.destroy()
  const before = endpoint.requests.length
  await until(() => endpoint.requests.length > before + 3)
  // From here on it wants to be asked in a day; an hour is the longest it gets.
  endpoint.serve(bundleText({ jwt: [next.key] }, { ...hint(86_400), spiffe_sequence: 3 }))
  await until(() => believes(next).jwt)
})

test('https_spiffe: an endpoint of its domain with another SPIFFE ID serves nothing', async (t) => {
  const endpoint = await startEndpoint(t, corp.x509Svid, corp.text)
  const { problems, believes } = await openFor(t, [await spiffeSource(t, endpoint)])
  assert.deepEqual(believes(corp), NEITHER)
  assert.match(problems.join(), /it is spiffe:\/\/corp\.test\/agents\/bot, not spiffe:.*\/bundle/)
  // Not one byte of HTTP was sent to it.
  assert.deepEqual(endpoint.requests, [])
})

const IMPOSTORS: readonly (readonly [string, Pick<Domain['endpoint'], 'certPem' | 'keyPem'>])[] = [
  ['a certificate of the Web PKI', web.leaf],
  ['an SVID of another domain', stranger.endpoint],
  [
    "its own SPIFFE ID under another domain's authority",
    await leafOf(stranger.authority, corp.endpoint.id),
  ],
  ['its own SPIFFE ID under an authority nobody knows', next.endpoint],
  [
    'the certificate of its own authority',
    {
      certPem: corp.authority.certificatePem,
      keyPem: corp.authority.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    },
  ],
]
for (const [name, leaf] of IMPOSTORS) {
  test(`https_spiffe: an endpoint with ${name} serves nothing`, async (t) => {
    const endpoint = await startEndpoint(t, leaf, corp.text)
    const file = await fileWith(t, stranger.text)
    const other = { trustDomain: 'stranger.test', file }
    const { problems, believes } = await openFor(t, [await spiffeSource(t, endpoint), other])
    assert.deepEqual(believes(corp), NEITHER)
    assert.match(problems.join(), /no X509-SVID that is trusted here/)
    assert.deepEqual(endpoint.requests, [])
  })
}

test('https_web: an endpoint with an X509-SVID serves nothing', async (t) => {
  const endpoint = await startEndpoint(t, corp.endpoint, corp.text)
  const { problems, believes } = await openFor(t, [await webSource(t, endpoint)])
  assert.deepEqual(believes(corp), NEITHER)
  assert.match(problems.join(), /the connection failed/)
  assert.deepEqual(endpoint.requests, [])
})

test('https_web: without a CA file the public authorities count, and no others', async (t) => {
  const endpoint = await startEndpoint(t, web.leaf, corp.text)
  const { believes } = await openFor(t, [await webSource(t, endpoint, { caFile: undefined })])
  assert.deepEqual(believes(corp), NEITHER)
  assert.deepEqual(endpoint.requests, [])
})

test('a special-use address is not connected to unless it is allowed', async (t) => {
  for (const [leaf, sourceOf] of [
    [web.leaf, webSource],
    [corp.endpoint, spiffeSource],
  ] as const) {
    const endpoint = await startEndpoint(t, leaf, corp.text)
    const source = { ...(await sourceOf(t, endpoint)), allowAddresses: [] }
    const { problems, believes } = await openFor(t, [source])
    assert.deepEqual(believes(corp), NEITHER)
    assert.match(problems.join(), /special use/)
    assert.deepEqual(endpoint.requests, [])
  }
})

test('the bootstrap bundle authenticates the endpoint and no workload', async (t) => {
  const endpoint = await startEndpoint(t, corp.endpoint)
  endpoint.answer = (_request, response) => response.destroy()
  const source = await spiffeSource(t, endpoint)
  await writeFile(source.endpoint.bootstrapFile, corp.text)
  const { believes } = await openFor(t, [source])
  assert.equal(endpoint.requests.length, 1)
  assert.deepEqual(believes(corp), NEITHER)
})

test('a domain replaces its authority across fetches, and the old one opens nothing any more', async (t) => {
  const { endpoint, bundles, problems, believes, bootstrapFile } = await overSpiffe(t)
  const both = [corp.authority, next.authority]
  endpoint.serve(bundleText({ jwt: [corp.key, next.key], x509: both }, { spiffe_sequence: 2 }))
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [BOTH, BOTH])
  // The endpoint's own certificate follows; the bootstrap bundle does not know its authority.
  endpoint.present(next.endpoint)
  endpoint.serve(bundleText({ jwt: [next.key], x509: [next.authority] }, { spiffe_sequence: 3 }))
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
  assert.match(problems.at(-1)!, new RegExp(`${bootstrapFile} is out of date`))
  // Whoever has the old authority's key serves nothing: the bootstrap bundle is used up.
  endpoint.present(corp.endpoint)
  endpoint.serve(bundleText({ jwt: [corp.key], x509: [corp.authority] }, { spiffe_sequence: 4 }))
  const asked = endpoint.requests.length
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [NEITHER, BOTH])
  assert.equal(endpoint.requests.length, asked)
})

test('a bundle too old for workloads still authenticates its endpoint', async (t) => {
  let time = 0
  const { endpoint, bundles, believes } = await overSpiffe(t, { clock: () => time })
  endpoint.serve(bundleText({ jwt: [next.key], x509: [next.authority] }, { spiffe_sequence: 2 }))
  await bundles.reload()
  endpoint.present(next.endpoint)
  time = 7_200_000
  assert.deepEqual(believes(next), NEITHER)
  await bundles.reload()
  assert.deepEqual(believes(next), BOTH)
})

test('a domain that withdraws all its authorities is locked out until a new bootstrap bundle', async (t) => {
  const { endpoint, bundles, problems, believes, bootstrapFile } = await overSpiffe(t)
  endpoint.serve(bundleText({ jwt: [corp.key] }, { spiffe_sequence: 2 }))
  await bundles.reload()
  assert.deepEqual(believes(corp), { jwt: true, x509: false })
  assert.match(problems.join(), /its endpoint cannot be authenticated any more/)
  endpoint.serve(bundleText({ jwt: [corp.key], x509: [corp.authority] }, { spiffe_sequence: 3 }))
  await bundles.reload()
  assert.deepEqual(believes(corp), { jwt: true, x509: false })
  endpoint.present(next.endpoint)
  await writeFile(bootstrapFile, bundleText({ x509: [next.authority] }))
  await bundles.reload()
  assert.deepEqual(believes(corp), BOTH)
})

test('a bootstrap bundle that breaks later changes nothing, and is told', async (t) => {
  const { bundles, problems, believes, bootstrapFile } = await overSpiffe(t)
  await writeFile(bootstrapFile, '{')
  await bundles.reload()
  assert.deepEqual(believes(corp), BOTH)
  assert.match(problems.join(), /the bootstrap bundle cannot be used/)
})

async function servedByOther(t: TestContext, leaf: Pick<Domain['endpoint'], 'certPem' | 'keyPem'>) {
  const endpoint = await startEndpoint(t, leaf, corp.text)
  const file = await fileWith(t, stranger.text)
  const { url } = endpoint
  const spiffeId = stranger.endpoint.id
  const served = {
    trustDomain: 'corp.test',
    endpoint: { url, profile: 'https_spiffe' as const, spiffeId },
    allowAddresses: LOOPBACK,
  }
  // In this order: what it needs is opened first all the same.
  return { endpoint, file, sources: [served, { trustDomain: 'stranger.test', file }] }
}

test("another domain's endpoint is judged by that domain's own bundle as it stands", async (t) => {
  const { endpoint, file, sources } = await servedByOther(t, stranger.endpoint)
  const { bundles, believes } = await openFor(t, sources)
  assert.deepEqual([believes(corp), believes(stranger)], [BOTH, BOTH])
  // The other domain loses its authority: its endpoint has nothing to say any more.
  await writeFile(file, '{"keys":[]}')
  await bundles.reload()
  endpoint.serve(next.text)
  await bundles.reload()
  assert.deepEqual([believes(corp), believes(next)], [BOTH, NEITHER])
})

test("the fetched domain's own authority does not authenticate another domain's endpoint", async (t) => {
  const forged = await leafOf(corp.authority, stranger.endpoint.id)
  const { endpoint, sources } = await servedByOther(t, forged)
  const { believes } = await openFor(t, sources)
  assert.deepEqual(believes(corp), NEITHER)
  assert.deepEqual(endpoint.requests, [])
})

const web127 = { url: 'https://127.0.0.1/b', profile: 'https_web' as const }
const spiffe127 = {
  url: 'https://127.0.0.1/b',
  profile: 'https_spiffe' as const,
  spiffeId: 'spiffe://corp.test/bundle',
  bootstrapFile: '/nowhere',
}
const MISTAKES: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
  ['an http url', { endpoint: { ...web127, url: 'http://127.0.0.1/b' } }, /must be https/],
  ['a url with a user', { endpoint: { ...web127, url: 'https://u:p@corp.test/' } }, /url/],
  ['a url with a fragment', { endpoint: { ...web127, url: 'https://corp.test/#a' } }, /fragment/],
  ['a url that is none', { endpoint: { ...web127, url: 'corp.test' } }, /url/],
  ['a profile that is none', { endpoint: { ...web127, profile: 'https' } }, /https_web or https_/],
  ['an id that is none', { endpoint: { ...spiffe127, spiffeId: 'corp' } }, /SPIFFE ID of a work/],
  [
    'the id of a domain',
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://corp.test' } },
    /of a work/,
  ],
  ['no bootstrap file', { endpoint: { ...spiffe127, bootstrapFile: undefined } }, /needs a boot/],
  [
    'an endpoint of a domain that is not listed',
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://other.test/b', bootstrapFile: undefined } },
    /of other\.test, which is not listed/,
  ],
  [
    "a bootstrap file for another domain's endpoint",
    { endpoint: { ...spiffe127, spiffeId: 'spiffe://other.test/b' } },
    /whose own bundle counts/,
  ],
  ['a CA file for an SVID', { endpoint: spiffe127, caFile: '/nowhere' }, /https_web only/],
  ['a CA file that is not there', { endpoint: web127, caFile: '/nowhere/ca.pem' }, /CA file/],
  ['an address that is none', { endpoint: web127, allowAddresses: ['loopback'] }, /loopback/],
  ['an age that is none', { endpoint: web127, maxAgeSeconds: 0 }, /positive/],
]
for (const [name, source, problem] of MISTAKES) {
  test(`nothing starts with ${name}`, async () => {
    const sources = [{ trustDomain: 'corp.test', ...source } as EndpointSource]
    await assert.rejects(openBundles(sources), (error) => {
      assert.ok(error instanceof TypeError)
      assert.match(error.message, problem)
      return true
    })
  })
}

test('endpoints that need each other are a mistake', async () => {
  const served = (trustDomain: string, by: string) => ({
    trustDomain,
    endpoint: { url: web127.url, profile: spiffe127.profile, spiffeId: `spiffe://${by}/bundle` },
  })
  const sources = [served('a.test', 'b.test'), served('b.test', 'a.test')]
  await assert.rejects(openBundles(sources), /a\.test, b\.test need each other/)
})

test('nothing starts on a bootstrap bundle that cannot be read or has no authority', async (t) => {
  for (const [text, problem] of [
    ['{', /bootstrap bundle of corp\.test/],
    [bundleText({ jwt: [corp.key] }), /no usable X\.509 authority/],
  ] as const) {
    const bootstrapFile = await fileWith(t, text)
    const sources = [{ trustDomain: 'corp.test', endpoint: { ...spiffe127, bootstrapFile } }]
    await assert.rejects(openBundles(sources), problem)
  }
})
