import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { status } from '@grpc/grpc-js'
import type { SpiffeError } from '../../src/spiffe/error.ts'
import { openWorkloadApi, type WorkloadApi } from '../../src/spiffe/workload-api.ts'
import { type Domain, makeDomain, until } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'

const BROKER = 'https://broker.test'

let corp: Domain
let server: EndpointServer
let api: WorkloadApi
const problems: SpiffeError[] = []

before(async () => {
  corp = await makeDomain('corp.test')
})
after(() => corp.remove())
beforeEach(async () => {
  server = await EndpointServer.create()
  await server.start()
  problems.length = 0
  api = openWorkloadApi({
    socket: server.socket,
    onProblem: (error) => problems.push(error),
    backoffMs: { first: 10, longest: 50 },
    waitMs: 400,
  })
})
afterEach(async () => {
  api.close()
  await server.remove()
})

async function issue(path: string, audience: string, lifetimeSeconds: number): Promise<object> {
  const now = Date.now() / 1000
  const svid = await corp.development.issueJwtSvid({ path, audience, lifetimeSeconds, now })
  return { spiffe_id: `spiffe://corp.test${path}`, svid }
}

test('a JWT-SVID is for the audience and the identity that were asked for', async () => {
  const asked: object[] = []
  server.say({
    jwt: async (request) => {
      asked.push(request)
      const path = request.spiffe_id === '' ? '/a' : '/b'
      return { svids: [await issue(path, request.audience[0] ?? '', 300)] }
    },
  })
  const byDefault = await api.jwtSvid(BROKER)
  assert.equal(byDefault.spiffeId, 'spiffe://corp.test/a')
  assert.ok(Math.abs(byDefault.expiresAt - Date.now() / 1000 - 300) < 5)
  const chosen = await api.jwtSvid(BROKER, { spiffeId: 'spiffe://corp.test/b' })
  assert.equal(chosen.spiffeId, 'spiffe://corp.test/b')
  await api.jwtSvid('https://other.test')
  assert.deepEqual(asked, [
    { audience: [BROKER], spiffe_id: '' },
    { audience: [BROKER], spiffe_id: 'spiffe://corp.test/b' },
    { audience: ['https://other.test'], spiffe_id: '' },
  ])
})

test('of fifty callers one asks, and nobody asks again while the SVID is fresh', async () => {
  server.say({ jwt: async () => ({ svids: [await issue('/a', BROKER, 300)] }) })
  const all = await Promise.all(Array.from({ length: 50 }, () => api.jwtSvid(BROKER)))
  assert.equal(new Set(all.map(({ token }) => token)).size, 1)
  await api.jwtSvid(BROKER)
  assert.deepEqual(server.calls, ['jwt'])
})

test('a new one is asked for after half of the life, or 30 seconds before the end', async () => {
  // 40 s: the 30 before the end have not begun, half of its life is 20 s away. 25 s: they have.
  for (const [lifetimeSeconds, calls] of [
    [40, 1],
    [25, 2],
  ] as const) {
    server.calls.length = 0
    const audience = `${BROKER}/${lifetimeSeconds}`
    server.say({ jwt: async () => ({ svids: [await issue('/a', audience, lifetimeSeconds)] }) })
    await api.jwtSvid(audience)
    await api.jwtSvid(audience)
    assert.equal(server.calls.length, calls, `${lifetimeSeconds}`)
  }
})

test('an SVID that still lives serves while no new one can be had', async () => {
  server.say({ jwt: async () => ({ svids: [await issue('/a', BROKER, 25)] }) })
  const held = await api.jwtSvid(BROKER)
  await server.stop()
  assert.equal(await api.jwtSvid(BROKER), held)
  assert.equal(problems.at(-1)?.code, 'api_unavailable')
})

test('an identity that was taken away gives no SVID, however long the last one lives', async () => {
  server.say({ jwt: async () => ({ svids: [await issue('/a', BROKER, 25)] }) })
  await api.jwtSvid(BROKER)
  server.say({ jwt: () => Promise.reject({ code: status.PERMISSION_DENIED, details: 'no' }) })
  await assert.rejects(api.jwtSvid(BROKER), { code: 'identity_denied' })
  await assert.rejects(api.jwtSvid(BROKER), { code: 'identity_denied' })
})

test('no identity yet is waited for, for a while', async () => {
  let asked = 0
  server.say({
    jwt: async () => {
      asked += 1
      if (asked < 3) throw { code: status.PERMISSION_DENIED, details: 'no identity issued' }
      return { svids: [await issue('/a', BROKER, 300)] }
    },
  })
  assert.equal((await api.jwtSvid(BROKER)).spiffeId, 'spiffe://corp.test/a')
  server.say({ jwt: () => Promise.reject({ code: status.PERMISSION_DENIED, details: 'no' }) })
  await assert.rejects(api.jwtSvid('https://late.test'), { code: 'identity_denied' })
  // What was given up on above may still ask once more, for its own audience.
  let refused = 0
  server.say({
    jwt: ({ audience }) => {
      if (audience.includes('https://bad.test')) refused += 1
      return Promise.reject({ code: status.INVALID_ARGUMENT, details: 'bad' })
    },
  })
  await assert.rejects(api.jwtSvid('https://bad.test'), { code: 'api_refused' })
  assert.equal(refused, 1)
})

test('an answer that is not what was asked for is refused, without its text', async () => {
  const good = (await issue('/a', BROKER, 300)) as { spiffe_id: string; svid: string }
  const elsewhere = (await issue('/a', 'https://else.test', 300)) as { svid: string }
  const expired = (await issue('/a', BROKER, -10)) as { svid: string }
  const cases = [
    ['no SVID', [], 'identity_invalid'],
    ['no JWT', [{ ...good, svid: 'a.b' }], 'identity_invalid'],
    ['another subject', [{ ...good, spiffe_id: 'spiffe://corp.test/b' }], 'identity_invalid'],
    ['no SPIFFE ID', [{ ...good, spiffe_id: 'corp' }], 'identity_invalid'],
    ['a trust domain', [{ ...good, spiffe_id: 'spiffe://corp.test' }], 'identity_invalid'],
    ['another audience', [{ ...good, svid: elsewhere.svid }], 'identity_invalid'],
    ['an expired one', [{ ...good, svid: expired.svid }], 'identity_expired'],
  ] as const
  for (const [title, svids, code] of cases) {
    server.say({ jwt: () => ({ svids }) })
    await assert.rejects(api.jwtSvid(BROKER), (error: SpiffeError) => {
      assert.equal(error.code, code, title)
      for (const part of good.svid.split('.')) assert.ok(!`${error.stack}`.includes(part), title)
      return true
    })
  }
  server.say({ jwt: () => ({ svids: [good] }) })
  const other = api.jwtSvid(BROKER, { spiffeId: 'spiffe://corp.test/b' })
  await assert.rejects(other, { code: 'identity_invalid' })
})

test('a call without the security header is refused by the endpoint, ours have it', async () => {
  const { Client, credentials, Metadata } = await import('@grpc/grpc-js')
  const { method } = await import('../../src/spiffe/protocol.ts')
  const { path, requestSerialize, responseDeserialize } = method<object, object>('FetchJWTSVID')
  server.say({ jwt: async () => ({ svids: [await issue('/a', BROKER, 300)] }) })
  const client = new Client(`unix:${server.path}`, credentials.createInsecure())
  const request = { audience: [BROKER], spiffe_id: '' }
  let refusal: number | undefined
  client.makeUnaryRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    new Metadata(),
    (error) => {
      refusal = error?.code
    },
  )
  await until(() => refusal !== undefined)
  client.close()
  assert.equal(refusal, status.INVALID_ARGUMENT)
  assert.equal((await api.jwtSvid(BROKER)).spiffeId, 'spiffe://corp.test/a')
})
