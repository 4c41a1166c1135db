import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import type { SpiffeError } from '../../src/spiffe/error.ts'
import {
  openWorkloadApi,
  type WorkloadApi,
  type WorkloadApiOptions,
} from '../../src/spiffe/workload-api.ts'
import { type Domain, makeDomain, until } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'

let corp: Domain
let other: Domain
let server: EndpointServer
let api: WorkloadApi
const problems: SpiffeError[] = []

before(async () => {
  corp = await makeDomain('corp.test')
  other = await makeDomain('other.test')
})
after(async () => {
  await corp.remove()
  await other.remove()
})
beforeEach(async () => {
  server = await EndpointServer.create()
  await server.start()
  problems.length = 0
  api = open()
})
afterEach(async () => {
  api.close()
  await server.remove()
})

function open(options: WorkloadApiOptions = {}): WorkloadApi {
  return openWorkloadApi({
    socket: server.socket,
    onProblem: (error) => problems.push(error),
    backoffMs: { first: 10, longest: 50 },
    waitMs: 5_000,
    ...options,
  })
}

test('the default identity comes first, proven, with its key and the bundles of others', async () => {
  const first = await corp.svid('/a')
  const second = await corp.svid('/b')
  server.say({
    x509: {
      svids: [first.message, { ...second.message, hint: 'internal' }],
      federated_bundles: { 'spiffe://other.test': other.caDer },
    },
  })
  const context = await api.x509()
  assert.deepEqual(
    context.svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    [
      ['spiffe://corp.test/a', ''],
      ['spiffe://corp.test/b', 'internal'],
    ],
  )
  assert.deepEqual(context.svids[0]?.chain, first.chain)
  assert.equal(
    context.svids[0]?.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    first.key,
  )
  assert.deepEqual(context.svids[0]?.authorities, [corp.caDer])
  assert.deepEqual([...context.federated], [['other.test', [other.caDer]]])
  const stranger = await other.svid('/x')
  assert.equal(context.prove(stranger.chain, Date.now() / 1000).id, 'spiffe://other.test/x')
})

test('each message replaces everything that was said before', async () => {
  const svid = await corp.svid('/a')
  const seen: (readonly [string | undefined, number])[] = []
  api.onX509((context) =>
    seen.push([
      context?.svids.map(({ spiffeId }) => spiffeId).join(),
      context?.federated.size ?? 0,
    ]),
  )
  server.say({
    x509: { svids: [svid.message], federated_bundles: { 'spiffe://other.test': other.caDer } },
  })
  await until(() => seen.length === 1)
  server.say({ x509: { svids: [(await corp.svid('/b')).message] } })
  await until(() => seen.length === 2)
  assert.deepEqual(seen, [
    ['spiffe://corp.test/a', 1],
    ['spiffe://corp.test/b', 0],
  ])
})

test('a message that cannot be believed changes nothing, and is asked for again', async () => {
  const good = await corp.svid('/a')
  const stranger = await other.svid('/a')
  const expired = await corp.svid('/a', 60, Date.now() / 1000 - 7200)
  const cut = new Uint8Array(good.message.x509_svid).slice(0, -1)
  const bad = [
    ['no identity at all', []],
    ['no SPIFFE ID', [{ ...good.message, spiffe_id: 'https://corp.test/a' }]],
    ['another id than its certificate', [{ ...good.message, spiffe_id: 'spiffe://corp.test/b' }]],
    ['no bundle', [{ ...good.message, bundle: new Uint8Array() }]],
    ["another domain's bundle", [{ ...good.message, bundle: other.caDer }]],
    ['a certificate of another domain', [{ ...stranger.message, bundle: corp.caDer }]],
    [
      "another certificate's key",
      [{ ...good.message, x509_svid_key: stranger.message.x509_svid_key }],
    ],
    ['no key', [{ ...good.message, x509_svid_key: new Uint8Array() }]],
    ['a chain cut short', [{ ...good.message, x509_svid: cut }]],
    ['an expired certificate', [expired.message]],
    [
      'two bundles of one domain',
      [good.message, { ...good.message, bundle: Buffer.concat([corp.caDer, corp.caDer]) }],
    ],
    ['one of two that is bad', [good.message, expired.message]],
  ] as const
  server.say({ x509: { svids: [good.message] } })
  const context = await api.x509()
  for (const [title, svids] of bad) {
    problems.length = 0
    server.say({ x509: { svids: [...svids] } })
    await until(() => problems.length > 1)
    assert.ok(
      problems.every(({ code }) => code === 'identity_invalid' || code === 'identity_expired'),
      title,
    )
    assert.equal(await api.x509(), context, title)
    if (title === 'no bundle') assert.match(problems[0]?.message ?? '', /without a bundle of corp/)
  }
  server.say({ x509: { svids: [(await corp.svid('/c')).message] } })
  await until(() => server.calls.length > bad.length)
  while ((await api.x509()) === context) await new Promise((resolve) => setTimeout(resolve, 5))
})

test('no key is in any error', async () => {
  const good = await corp.svid('/a')
  const other_ = await corp.svid('/b')
  const key = Buffer.from(good.message.x509_svid_key)
  const messages = [
    { svids: [{ ...good.message, x509_svid: other_.message.x509_svid }] },
    { svids: [{ ...good.message, x509_svid_key: key.subarray(0, -3) }] },
    { svids: [{ ...good.message, spiffe_id: key.toString('base64') }] },
    { code: status.INTERNAL, details: `cannot sign: ${key.toString('base64')}` },
  ]
  for (const x509 of messages) {
    const before = problems.length
    server.say({ x509 })
    api.onX509(() => {})
    await until(() => problems.length > before + 1)
  }
  const told = problems
    .map((error) => `${error.stack} ${JSON.stringify(error)} ${error.cause}`)
    .join()
  for (const part of [key.toString('base64'), key.toString('hex')]) {
    for (let at = 0; at + 16 < part.length; at += 8) {
      assert.ok(!told.includes(part.slice(at, at + 16)))
    }
  }
})

test('no identity yet is waited for', async () => {
  server.say({ x509: { code: status.PERMISSION_DENIED, details: 'no identity issued' } })
  const waiting = api.x509()
  await until(() => server.calls.length > 2)
  assert.ok(problems.every(({ code }) => code === 'identity_denied'))
  server.say({ x509: { svids: [(await corp.svid('/a')).message] } })
  assert.equal((await waiting).svids[0]?.spiffeId, 'spiffe://corp.test/a')
})

test('a denial that is not repeated takes nothing away', async () => {
  const given = { svids: [(await corp.svid('/a')).message] }
  server.say({ x509: given })
  const seen: (string | undefined)[] = []
  api.onX509((context) => seen.push(context?.svids[0]?.spiffeId))
  await until(() => seen.length === 1)
  server.say({ x509: { code: status.PERMISSION_DENIED, details: 'no identity issued' } })
  // Longer than a denial needs to arrive, shorter than the wait before it is asked for again.
  await new Promise((resolve) => setTimeout(resolve, 100))
  server.say({ x509: given })
  await until(() => seen.length === 2)
  assert.deepEqual(seen, ['spiffe://corp.test/a', 'spiffe://corp.test/a'])
  assert.deepEqual(problems, [])
})

test('an identity that is taken away is gone when that is said twice', async () => {
  server.say({ x509: { svids: [(await corp.svid('/a')).message] } })
  const seen: (string | undefined)[] = []
  api.onX509((context) => seen.push(context?.svids[0]?.spiffeId))
  await until(() => seen.length === 1)
  server.say({ x509: { code: status.PERMISSION_DENIED, details: 'no identity issued' } })
  await until(() => seen.length > 1)
  assert.deepEqual(seen.slice(0, 2), ['spiffe://corp.test/a', undefined])
  const patient = open({ waitMs: 50 })
  await assert.rejects(patient.x509(), { code: 'identity_denied' })
  patient.close()
})

test('an answer that will never be another is not waited for', async () => {
  for (const code of [status.INVALID_ARGUMENT, status.UNIMPLEMENTED]) {
    const asking = open()
    server.calls.length = 0
    server.say({ x509: { code, details: 'no' } })
    await assert.rejects(asking.x509(), { code: 'api_refused' })
    await assert.rejects(asking.x509(), { code: 'api_refused' })
    // Many times as long as another attempt would take.
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.deepEqual(server.calls, ['x509'])
    asking.close()
  }
})

test('a restart of the endpoint is survived, and what it said stands meanwhile', async () => {
  server.say({ x509: { svids: [(await corp.svid('/a')).message] } })
  const context = await api.x509()
  await server.stop()
  await until(() => problems.length > 1)
  assert.ok(problems.every(({ code }) => code === 'api_unavailable'))
  assert.equal(await api.x509(), context)
  server.script = { x509: { svids: [(await corp.svid('/b')).message] } }
  await server.start()
  while ((await api.x509()) === context) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.equal((await api.x509()).svids[0]?.spiffeId, 'spiffe://corp.test/b')
})

test('an endpoint that starts late is found', async () => {
  await server.stop()
  const waiting = api.x509()
  await until(() => problems.length > 0)
  server.script = { x509: { svids: [(await corp.svid('/a')).message] } }
  await server.start()
  assert.equal((await waiting).svids.length, 1)
})

test('a message that is too large is not read', async () => {
  const { message } = await corp.svid('/a')
  const huge = { ...message, bundle: new Uint8Array(5 * 1024 * 1024) }
  server.say({ x509: { svids: [huge] } })
  const asking = open({ waitMs: 200 })
  await assert.rejects(asking.x509(), { code: 'api_unavailable', message: /RESOURCE_EXHAUSTED/ })
  asking.close()
})

test('what travels to the endpoint never takes a proxy', async () => {
  const proxy = 'http://127.0.0.1:1'
  Object.assign(process.env, { grpc_proxy: proxy, http_proxy: proxy, https_proxy: proxy })
  const asking = open({ socket: await server.listenTcp() })
  try {
    server.say({ x509: { svids: [(await corp.svid('/a')).message] } })
    assert.equal((await asking.x509()).svids.length, 1)
  } finally {
    asking.close()
    for (const name of ['grpc_proxy', 'http_proxy', 'https_proxy']) delete process.env[name]
  }
})

test('bundles are told as a whole, by trust domain, and none when they are taken away', async () => {
  const seenX509: [string, number][][] = []
  const seenJwt: [string, string][][] = []
  api.onX509Bundles((bundles) =>
    seenX509.push([...bundles].map(([name, list]) => [name, list.length])),
  )
  api.onJwtBundles((bundles) =>
    seenJwt.push([...bundles].map(([name, jwks]) => [name, Buffer.from(jwks).toString()])),
  )
  server.say({
    x509Bundles: {
      bundles: {
        'spiffe://corp.test': corp.caDer,
        'spiffe://other.test': Buffer.concat([other.caDer, corp.caDer]),
      },
    },
    jwtBundles: { bundles: { 'spiffe://corp.test': Buffer.from('{"keys":[]}') } },
  })
  await until(() => seenX509.length === 1 && seenJwt.length === 1)
  assert.deepEqual(seenX509, [
    [
      ['corp.test', 1],
      ['other.test', 2],
    ],
  ])
  assert.deepEqual(seenJwt, [[['corp.test', '{"keys":[]}']]])
  const denied = { code: status.PERMISSION_DENIED, details: 'no' }
  server.say({ x509Bundles: denied, jwtBundles: denied })
  await until(() => seenX509.length > 1 && seenJwt.length > 1)
  assert.deepEqual([seenX509[1], seenJwt[1]], [[], []])
})

test('a closed client says so to everybody who waits or asks', async () => {
  const waiting = api.x509()
  const jwt = api.jwtSvid('https://broker.test')
  server.say({ jwt: () => Promise.reject({ code: status.UNAVAILABLE, details: '' }) })
  await until(() => server.calls.length > 1)
  api.close()
  await assert.rejects(waiting, { code: 'closed' })
  await assert.rejects(jwt, { code: 'closed' })
  await assert.rejects(api.x509(), { code: 'closed' })
  await assert.rejects(api.jwtSvid('https://broker.test'), { code: 'closed' })
})
