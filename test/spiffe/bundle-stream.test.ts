import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { openBundles } from '../../src/identity/bundles/bundles.ts'
import { createJwtSvidProver } from '../../src/identity/jwt-svid.ts'
import { createX509SvidProver } from '../../src/identity/x509/x509-svid.ts'
import { bundleStream } from '../../src/spiffe/bundle-stream.ts'
import { openWorkloadApi, type WorkloadApi } from '../../src/spiffe/workload-api.ts'
import { type Domain, makeDomain, until } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'

let corp: Domain
let other: Domain
let server: EndpointServer
let api: WorkloadApi

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
  api = openWorkloadApi({ socket: server.socket, backoffMs: { first: 10, longest: 50 } })
})
afterEach(async () => {
  api.close()
  await server.remove()
})

const both = () => ({
  x509Bundles: {
    bundles: { 'spiffe://corp.test': corp.caDer, 'spiffe://other.test': other.caDer },
  },
  jwtBundles: { bundles: { 'spiffe://corp.test': corp.jwks, 'spiffe://other.test': other.jwks } },
})

const sources = () =>
  ['corp.test', 'other.test'].map((trustDomain) => ({
    trustDomain,
    stream: bundleStream(api, trustDomain),
  }))

test("our own and a federated domain's bundles prove their workloads, each its own", async () => {
  server.say(both())
  const bundles = await openBundles(sources())
  const { prove } = createX509SvidProver({ bundles })
  const jwtSvid = createJwtSvidProver({ bundles, audience: 'https://broker.test' })
  const now = Date.now() / 1000
  for (const domain of [corp, other]) {
    const { chain, spiffeId } = await domain.svid('/a')
    assert.equal(prove(chain, now).id, spiffeId)
    const jwt = await domain.development.issueJwtSvid({
      path: '/a',
      audience: 'https://broker.test',
      lifetimeSeconds: 60,
      now,
    })
    assert.equal(jwtSvid.prove(jwt, now).id, spiffeId)
  }

  // The federation ends: its bundle is not in the next message.
  server.say({
    x509Bundles: { bundles: { 'spiffe://corp.test': corp.caDer } },
    jwtBundles: { bundles: { 'spiffe://corp.test': corp.jwks } },
  })
  await until(() => bundles.usableKeys('other.test') === 0)
  const { chain } = await other.svid('/a')
  assert.throws(() => prove(chain, now), /identity_invalid/)
  assert.equal(bundles.x509Authorities('corp.test').length, 1)
  bundles.close()
})

test('a lost endpoint is a problem of the kind it concerns, and what was said stands', async () => {
  const told: string[] = []
  const running = bundleStream(api, 'corp.test').start(
    ({ jwt, x509 }) => told.push(`${jwt?.length ?? jwt} ${x509?.length ?? x509}`),
    (_detail, kind) => told.push(`lost ${kind}`),
  )
  server.say(both())
  await until(() => told.length === 2)
  assert.deepEqual(told.splice(0).sort(), [`${corp.jwks.length} undefined`, 'undefined 1'])
  await server.stop()
  await until(() => told.includes('lost jwt') && told.includes('lost x509'))
  server.script = both()
  told.length = 0
  await server.start()
  await until(() => told.includes('undefined 1') && told.includes(`${corp.jwks.length} undefined`))

  running.close()
  told.length = 0
  server.say({ x509Bundles: { code: status.PERMISSION_DENIED, details: 'no' } })
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual(told, [])
})

test('bundles that are refused to us are taken back', async () => {
  const told: unknown[] = []
  bundleStream(api, 'corp.test').start(
    (bundle) => told.push(bundle),
    () => {},
  )
  server.say(both())
  await until(() => told.length === 2)
  const denied = { code: status.PERMISSION_DENIED, details: 'no' }
  server.say({ x509Bundles: denied, jwtBundles: denied })
  await until(() => told.length >= 4)
  assert.deepEqual(new Set(told.slice(2, 4)), new Set([{ x509: null }, { jwt: null }]))
})
