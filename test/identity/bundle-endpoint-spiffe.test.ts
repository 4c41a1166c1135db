import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import {
  corp,
  LOOPBACK,
  next,
  overSpiffe,
  spiffeSource,
  startEndpoint,
  stranger,
  web,
  webSource,
} from './bundle-endpoints.ts'
import {
  BOTH,
  bundleText,
  type Domain,
  fileWith,
  leafOf,
  NEITHER,
  nowSeconds,
  openFor,
} from './trust.ts'
import { altName, intermediate, leaf, type Made, root, uri } from './x509-maker.ts'

test('https_spiffe: an endpoint of its domain with another SPIFFE ID serves nothing', async (t) => {
  const endpoint = await startEndpoint(t, corp.x509Svid, corp.text)
  const { problems, believes } = await openFor(t, [await spiffeSource(t, endpoint)])
  assert.deepEqual(believes(corp), NEITHER)
  assert.match(problems.join(), /it is spiffe:\/\/corp\.test\/agents\/bot, not spiffe:.*\/bundle/)
  // Not one byte of HTTP was sent to it.
  assert.deepEqual(endpoint.requests, [])
})

test('https_spiffe: an endpoint may send what leads from it to its authority', async (t) => {
  const times = {
    notBefore: Math.floor(nowSeconds()) - 60,
    notAfter: Math.floor(nowSeconds()) + 600,
  }
  const authority = root(times)
  const upper = intermediate(authority, { ...times, subject: 'upper' })
  const lower = intermediate(upper, { ...times, subject: 'lower' })
  const extensions = { subjectAltName: altName([uri(corp.endpoint.id)]) }
  const own = leaf(lower, { ...times, extensions })
  const pem = ({ der }: Made) => new X509Certificate(der).toString()
  const keyPem = own.keys.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  const endpoint = await startEndpoint(t, {
    certPem: [own, lower, upper].map(pem).join(''),
    keyPem,
  })
  endpoint.serve(corp.text)
  const source = await spiffeSource(t, endpoint)
  const x5c = [authority.der.toString('base64')]
  const jwk = authority.keys.publicKey.export({ format: 'jwk' })
  const keys = [{ use: 'x509-svid', ...jwk, x5c }]
  await writeFile(source.endpoint.bootstrapFile, JSON.stringify({ keys }))
  const { believes } = await openFor(t, [source])
  assert.deepEqual(believes(corp), BOTH)
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
for (const [name, impostor] of IMPOSTORS) {
  test(`https_spiffe: an endpoint with ${name} serves nothing`, async (t) => {
    const endpoint = await startEndpoint(t, impostor, corp.text)
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
