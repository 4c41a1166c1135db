import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { createSpiffeFetch, type SpiffeFetch } from '../../src/spiffe/fetch.ts'
import { provePeer } from '../../src/spiffe/tls-peer.ts'
import { openWorkloadApi, type WorkloadApi } from '../../src/spiffe/workload-api.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { ID, intermediate, leaf, pem, root } from '../identity/x509-maker.ts'
import { believing, type Domain, makeDomain, type Svid } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'
import { resume, serveEar, serveHttps } from './tls-servers.ts'

const SERVER = 'spiffe://corp.test/server'
const SECRET = 'Bearer a-token-that-must-not-leak'

let corp: Domain
let other: Domain
let endpoint: EndpointServer
let api: WorkloadApi
let agent: Svid
let server: Svid
const closers: (() => Promise<unknown>)[] = []

before(async () => {
  corp = await makeDomain('corp.test')
  other = await makeDomain('other.test')
  agent = await corp.svid('/agent')
  server = await corp.svid('/server')
  endpoint = await EndpointServer.create()
  await endpoint.start()
  endpoint.say({ x509: { svids: [agent.message] } })
  api = openWorkloadApi({ socket: endpoint.socket, backoffMs: { first: 10, longest: 50 } })
})
after(async () => {
  api.close()
  await endpoint.remove()
  await corp.remove()
  await other.remove()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function fetchTo(spiffeId: string, mutual = false): SpiffeFetch {
  const fetch = createSpiffeFetch({ source: api, peer: { spiffeId }, mutual })
  closers.push(() => fetch.close())
  return fetch
}

async function https(
  options: Parameters<typeof serveHttps>[0],
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const served = await serveHttps(options, answer)
  closers.push(() => served.close())
  return served
}

test('a proven peer is talked to, whatever its host name is', async () => {
  const { url } = await https({ cert: server.cert, key: server.key }, (request, response) => {
    request.setEncoding('utf8')
    let body = ''
    request.on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      response.setHeader('x-answer', 'yes')
      response.statusCode = 201
      response.end(`${request.method} ${request.headers.authorization} ${body}`)
    })
  })
  const response = await fetchTo(SERVER)(`${url}/mcp`, {
    method: 'POST',
    headers: new Headers({ authorization: SECRET }),
    body: '{"a":1}',
  })
  assert.equal(response.status, 201)
  assert.equal(response.headers.get('x-answer'), 'yes')
  assert.equal(await response.text(), `POST ${SECRET} {"a":1}`)
})

test('a peer is proven by way of the intermediates it sends, in any order', async () => {
  const times = { notBefore: Date.now() / 1000 - 60, notAfter: Date.now() / 1000 + 600 }
  const authority = root({ ...times, subject: 'chain root' })
  const upper = intermediate(authority, { ...times, subject: 'upper' })
  const lower = intermediate(upper, { ...times, subject: 'lower' })
  const served = leaf(lower, times)
  const { svids } = await api.x509()
  const source = await believing(svids, { 'corp.test': [corp.caDer, authority.der] })
  const key = served.keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  for (const [chain, proven] of [
    [[served, lower, upper], true],
    [[served, upper, lower, authority], true],
    [[served, lower], false],
  ] as const) {
    const cert = chain.map(pem).join('')
    const { url } = await https({ cert, key }, (_request, response) => response.end('ok'))
    const fetch = createSpiffeFetch({ source, peer: { spiffeId: ID } })
    closers.push(() => fetch.close())
    if (proven) assert.equal(await (await fetch(url)).text(), 'ok')
    else await assert.rejects(fetch(url), { code: 'peer_unproven' })
  }
})

test('a peer that proves another identity, or none, is not sent one byte', async () => {
  const expired = await corp.svid('/server', 60, Date.now() / 1000 - 3600)
  const relay = await corp.svid('/relay')
  const stranger = await other.svid('/server')
  const web = await other.development.issueX509Svid({ path: '/web', lifetimeSeconds: 60 })
  const cases = [
    ['a relay with an SVID of its own', relay.cert, relay.key],
    ['the same path in another domain', stranger.cert, stranger.key],
    ['a certificate of an authority that is no bundle of ours', web.chainPem, web.privateKeyPem],
    ['an SVID that has expired', expired.cert, expired.key],
    ['the authority itself', corp.caPem, await corp.caKey()],
  ] as const
  for (const [title, cert, key] of cases) {
    const ear = await serveEar({ cert, key })
    closers.push(() => ear.close())
    const request = fetchTo(SERVER)(ear.url, { headers: { authorization: SECRET } })
    await assert.rejects(request, { name: 'SpiffeError', code: 'peer_unproven' }, title)
    assert.equal(Buffer.concat(ear.heard).length, 0, title)
  }
})

test("a peer's id in another domain's name needs that domain's bundle", async () => {
  const stranger = await other.svid('/server')
  const ear = await serveEar({ cert: stranger.cert, key: stranger.key })
  closers.push(() => ear.close())
  await assert.rejects(fetchTo('spiffe://other.test/server')(ear.url), {
    code: 'peer_unproven',
    message: /no bundle of other\.test/,
  })
  assert.equal(ear.heard.length, 0)
})

test('an authority of the system vouches for nobody', async () => {
  // The server's authority is put where the system's are: ordinary TLS would believe it now.
  const { url } = await https(await other.svid('/server'), (_request, response) => response.end())
  const { getCACertificates, setDefaultCACertificates } = await import('node:tls')
  const system = getCACertificates('default')
  setDefaultCACertificates([...system, other.caPem])
  try {
    await assert.rejects(fetchTo(SERVER)(url), { code: 'peer_unproven' })
  } finally {
    setDefaultCACertificates(system)
  }
})

test('what is not TLS is not sent one byte', async () => {
  let requests = 0
  const plain = createServer((_request, response) => {
    requests += 1
    response.end()
  })
  plain.listen(0, '127.0.0.1')
  await once(plain, 'listening')
  const { port } = plain.address() as AddressInfo
  closers.push(async () => plain.close())
  const fetch = fetchTo(SERVER)
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`), { code: 'url_refused' })

  const { url } = await https({ cert: server.cert, key: server.key }, (_request, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end()
  })
  await assert.rejects(fetch(url, { headers: { authorization: SECRET } }), { code: 'url_refused' })
  assert.equal(requests, 0)
})

test('a redirect is followed only to the same identity', async () => {
  const relay = await corp.svid('/relay')
  const ear = await serveEar({ cert: relay.cert, key: relay.key })
  closers.push(() => ear.close())
  const { url } = await https({ cert: server.cert, key: server.key }, (_request, response) => {
    response.writeHead(307, { location: ear.url }).end()
  })
  await assert.rejects(fetchTo(SERVER)(url, { method: 'POST', body: SECRET }), {
    code: 'peer_unproven',
  })
  assert.equal(ear.heard.length, 0)
})

test('TLS 1.2 is not spoken, where certificates can be seen and exchanged later', async () => {
  const options = { ...server, maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' } as const
  const { url } = await https(options, (_request, response) => response.end())
  await assert.rejects(fetchTo(SERVER)(url), /fetch failed/)
})

test('a resumed session proves nothing', async () => {
  const { port } = await https({ cert: server.cert, key: server.key }, () => {})
  const context = await api.x509()
  const socket = await resume(port)
  socket.on('error', () => {})
  closers.push(async () => socket.destroy())
  assert.equal(socket.isSessionReused(), true)
  assert.throws(() => provePeer(socket, { spiffeId: SERVER, context, now: Date.now() / 1000 }), {
    code: 'peer_unproven',
    message: /resumed/,
  })
})

test('no connection resumes the session of another one', async () => {
  const reused: boolean[] = []
  const { url } = await https({ cert: server.cert, key: server.key }, (request, response) => {
    reused.push((request.socket as TLSSocket).isSessionReused())
    response.setHeader('connection', 'close').end()
  })
  const fetch = fetchTo(SERVER)
  for (let i = 0; i < 4; i++) await (await fetch(url)).text()
  assert.deepEqual(reused, [false, false, false, false])
})

test('with `mutual` our certificate is shown, and its thumbprint is known', async () => {
  const shown: (PeerCertificate | undefined)[] = []
  const options = { ...server, requestCert: true, ca: corp.caPem, rejectUnauthorized: true }
  const { url } = await https(options, (request, response) => {
    shown.push((request.socket as TLSSocket).getPeerCertificate())
    response.end('ok')
  })
  const fetch = fetchTo(SERVER, true)
  assert.equal(await (await fetch(url)).text(), 'ok')
  assert.equal(shown[0]?.subjectaltname, 'URI:spiffe://corp.test/agent')
  assert.equal(await fetch.thumbprint(), certificateThumbprint(shown[0].raw))
})

test('without `mutual` no certificate is shown', async () => {
  const options = { ...server, requestCert: true, ca: corp.caPem, rejectUnauthorized: false }
  const { url } = await https(options, (request, response) => {
    response.end(String((request.socket as TLSSocket).getPeerX509Certificate() === undefined))
  })
  assert.equal(await (await fetchTo(SERVER)(url)).text(), 'true')
})

test('a stream of events arrives as it is written, and ends when its reader aborts', async () => {
  let ended = false
  const { url } = await https({ cert: server.cert, key: server.key }, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: one\n\n')
    response.on('close', () => {
      ended = true
    })
    closers.push(async () => response.destroy())
    setTimeout(() => response.write('data: two\n\n'), 20)
  })
  const abort = new AbortController()
  const response = await fetchTo(SERVER)(url, { signal: abort.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  assert.equal((await reader?.read())?.value, 'data: one\n\n')
  assert.equal((await reader?.read())?.value, 'data: two\n\n')
  abort.abort(new Error('enough'))
  await assert.rejects(async () => await reader?.read(), /enough/)
  while (!ended) await new Promise((resolve) => setTimeout(resolve, 5))
})

test('an aborted request is not sent', async () => {
  const { url, sockets } = await https({ cert: server.cert, key: server.key }, () => {})
  const reason = new Error('no longer wanted')
  const request = fetchTo(SERVER)(url, { signal: AbortSignal.abort(reason) })
  await assert.rejects(request, reason)
  assert.equal(sockets.size, 0)
})

test('a closed fetch sends nothing any more', async () => {
  const { url, sockets } = await https(
    { cert: server.cert, key: server.key },
    (_request, response) => response.end(),
  )
  const fetch = fetchTo(SERVER)
  await (await fetch(url)).text()
  await fetch.close()
  await assert.rejects(fetch(url), { code: 'closed' })
  while (sockets.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
})

test('what is no SPIFFE ID of a workload is refused when the fetch is made', () => {
  for (const spiffeId of [
    '',
    'spiffe://corp.test',
    'https://corp.test/server',
    'spiffe://a/../b',
  ]) {
    assert.throws(() => createSpiffeFetch({ source: api, peer: { spiffeId } }), TypeError, spiffeId)
  }
})
