import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { status } from '@grpc/grpc-js'
import { createSpiffeFetch, type SpiffeFetch } from '../../src/spiffe/fetch.ts'
import { openWorkloadApi, type WorkloadApi } from '../../src/spiffe/workload-api.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { type Domain, makeDomain, type Svid, until } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'
import { serveHttps, type TestServer } from './tls-servers.ts'

const SERVER = 'spiffe://corp.test/server'

let corp: Domain
let other: Domain
let endpoint: EndpointServer
let api: WorkloadApi
let server: TestServer & { server: { setSecureContext(options: object): void } }
let fetch: SpiffeFetch

before(async () => {
  corp = await makeDomain('corp.test')
  other = await makeDomain('other.test')
})
after(async () => {
  await corp.remove()
  await other.remove()
})
beforeEach(async () => {
  endpoint = await EndpointServer.create()
  await endpoint.start()
  api = openWorkloadApi({
    socket: endpoint.socket,
    backoffMs: { first: 10, longest: 50 },
    waitMs: 500,
  })
  server = await serveShown()
  fetch = createSpiffeFetch({ source: api, peer: { spiffeId: SERVER }, mutual: true })
})
afterEach(async () => {
  await fetch.close()
  api.close()
  await endpoint.remove()
  await server.close()
})

function tlsOf({ cert, key }: Svid) {
  return { cert, key, requestCert: true, rejectUnauthorized: true, ca: [corp.caPem] }
}

/** Answers with the thumbprint of the certificate it was shown; `/stream` goes on for ever. */
async function serveShown() {
  return await serveHttps(tlsOf(await corp.svid('/server')), (request, response) => {
    const { raw } = (request.socket as TLSSocket).getPeerCertificate()
    response.write(certificateThumbprint(raw))
    if (request.url === '/slow') setTimeout(() => response.end(), 50)
    else if (request.url !== '/stream') response.end()
  })
}

/** Says who we are, and waits until it is known. */
async function become(svid: Svid, federated: Record<string, Uint8Array> = {}): Promise<string> {
  endpoint.say({ x509: { svids: [svid.message], federated_bundles: federated } })
  const thumbprint = certificateThumbprint(svid.message.x509_svid)
  while ((await api.x509()).svids[0]?.thumbprint !== thumbprint) {
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return thumbprint
}

/** The answer takes a while, so that there is always one on its way. */
async function slow(url: string): Promise<Response> {
  return await fetch(`${url}/slow`)
}

async function shownBy(send: typeof fetch | ((url: string) => Promise<Response>)): Promise<string> {
  return await (await send(server.url)).text()
}

test('a new certificate is shown from the next request on', async () => {
  const first = await become(await corp.svid('/agent'))
  assert.equal(await shownBy(fetch), first)
  const second = await become(await corp.svid('/agent'))
  assert.equal(await fetch.thumbprint(), second)
  assert.equal(await shownBy(fetch), second)
})

test('what is pinned keeps its certificate through a rotation', async () => {
  const first = await become(await corp.svid('/agent'))
  const pinned = await fetch.pinned()
  assert.equal(pinned.thumbprint, first)
  const second = await become(await corp.svid('/agent'))
  assert.deepEqual(
    [await shownBy(pinned.fetch), await shownBy(fetch), await shownBy(pinned.fetch)],
    [first, second, first],
  )
})

test('both ends rotate under traffic, and no request fails', async () => {
  await become(await corp.svid('/agent', 3))
  let running = true
  let done = 0
  const traffic = Array.from({ length: 4 }, async () => {
    while (running) {
      assert.match(await shownBy(fetch), /^[\w-]{43}$/)
      done += 1
    }
  })
  const seen = new Set<string>()
  for (let i = 0; i < 6; i++) {
    // Certificates of three seconds: the first ones end while the traffic goes on.
    server.server.setSecureContext(tlsOf(await corp.svid('/server', 3)))
    seen.add(await become(await corp.svid('/agent', 3)))
    await Promise.race([Promise.all(traffic), new Promise((resolve) => setTimeout(resolve, 600))])
  }
  running = false
  await Promise.all(traffic)
  assert.equal(seen.size, 6)
  assert.ok(done > 100, `only ${done} requests`)
})

test('a busy connection is left before it ends', async () => {
  await become(await corp.svid('/agent'))
  server.server.setSecureContext(tlsOf(await corp.svid('/server', 2)))
  const busyUntil = Date.now() + 3_000
  const traffic = Array.from({ length: 4 }, async () => {
    while (Date.now() < busyUntil) assert.equal((await shownBy(slow)).length, 43)
  })
  while (Date.now() < busyUntil) {
    server.server.setSecureContext(tlsOf(await corp.svid('/server', 2)))
    await Promise.race([Promise.all(traffic), new Promise((resolve) => setTimeout(resolve, 400))])
  }
  await Promise.all(traffic)
})

test('a connection ends with the certificate it shows', async () => {
  await become(await corp.svid('/agent', 2))
  const response = await fetch(`${server.url}/stream`)
  const pinned = await fetch.pinned()
  await become(await corp.svid('/agent'))
  await assert.rejects(response.text())
  await assert.rejects(shownBy(pinned.fetch), { code: 'identity_expired' })
  assert.equal((await fetch(server.url)).status, 200)
})

test('a connection ends with the certificate that its other end has shown', async () => {
  await become(await corp.svid('/agent'))
  server.server.setSecureContext(tlsOf(await corp.svid('/server', 2)))
  const response = await fetch(`${server.url}/stream`)
  await assert.rejects(response.text())
  await assert.rejects(shownBy(fetch), { code: 'peer_unproven' })
})

test('an identity that is taken away ends its connections, and opens no other', async () => {
  await become(await corp.svid('/agent'))
  const pinned = await fetch.pinned()
  const response = await fetch(`${server.url}/stream`)
  endpoint.say({ x509: { code: status.PERMISSION_DENIED, details: 'no identity issued' } })
  await assert.rejects(response.text())
  await until(() => server.sockets.size === 0)
  await assert.rejects(shownBy(fetch), { code: 'identity_denied' })
  await assert.rejects(shownBy(pinned.fetch), { code: 'identity_denied' })
  assert.equal(server.sockets.size, 0)
})

test('another identity in its place ends the connections of the first one', async () => {
  await become(await corp.svid('/agent'))
  const pinned = await fetch.pinned()
  const response = await fetch(`${server.url}/stream`)
  const other_ = await become(await corp.svid('/another'))
  await assert.rejects(response.text())
  await assert.rejects(shownBy(pinned.fetch), { code: 'identity_denied' })
  assert.equal(await shownBy(fetch), other_)
})

test("a peer's bundle that is taken away ends the connections it vouched for", async () => {
  const svid = await corp.svid('/agent')
  await become(svid, { 'spiffe://other.test': other.caDer })
  server.server.setSecureContext(tlsOf(await other.svid('/server')))
  const foreign = createSpiffeFetch({
    source: api,
    peer: { spiffeId: 'spiffe://other.test/server' },
    mutual: true,
  })
  const response = await foreign(`${server.url}/stream`)
  await become(await corp.svid('/agent'))
  await assert.rejects(response.text())
  await assert.rejects(foreign(server.url), { code: 'peer_unproven' })
  await foreign.close()
})

test('what is known of whom to trust ends with our own certificate, when the endpoint is silent', async () => {
  await become(await corp.svid('/agent', 1))
  await endpoint.stop()
  const listening = createSpiffeFetch({ source: api, peer: { spiffeId: SERVER } })
  const { expiresAt } = (await api.x509()).svids[0] ?? { expiresAt: 0 }
  await until(() => Date.now() / 1000 > expiresAt)
  await assert.rejects(listening(server.url), { code: 'identity_expired' })
  await listening.close()
})
