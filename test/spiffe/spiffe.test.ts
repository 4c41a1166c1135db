import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { SpiffeConnect } from '../../src/agent/index.ts'
import { createSpiffe, createSpiffeFetch, type Spiffe } from '../../src/spiffe/index.ts'
import { certificateThumbprint } from '../../src/token/certificate.ts'
import { type Domain, makeDomain, type Svid } from './domains.ts'
import { EndpointServer } from './endpoint-server.ts'
import { serveHttps } from './tls-servers.ts'

const BROKER = 'https://broker.test'
const SERVER = 'spiffe://corp.test/server'

let corp: Domain
let endpoint: EndpointServer
let agent: Svid
let second: Svid
let spiffe: Spiffe
const closers: (() => Promise<unknown>)[] = []

before(async () => {
  corp = await makeDomain('corp.test')
  agent = await corp.svid('/agent')
  second = await corp.svid('/second')
  endpoint = await EndpointServer.create()
  await endpoint.start()
  endpoint.say({
    x509: { svids: [agent.message, second.message] },
    jwt: async ({ audience, spiffe_id }) => {
      const path = spiffe_id === '' ? '/agent' : spiffe_id.replace('spiffe://corp.test', '')
      const now = Date.now() / 1000
      const asked = { path, audience: audience[0] ?? '', lifetimeSeconds: 300, now }
      const svid = await corp.development.issueJwtSvid(asked)
      return { svids: [{ spiffe_id: `spiffe://corp.test${path}`, svid }] }
    },
  })
  spiffe = createSpiffe({ audience: BROKER, socket: endpoint.socket })
})
after(async () => {
  await spiffe.close()
  await endpoint.remove()
  await corp.remove()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Answers with the SPIFFE ID it was shown, or with nothing. */
async function serveShown({ cert, key }: { cert: string; key: string }): Promise<string> {
  const options = { cert, key, requestCert: true, rejectUnauthorized: false, ca: corp.caPem }
  const { url, close } = await serveHttps(options, (request, response) => {
    response.end((request.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '')
  })
  closers.push(close)
  return url
}

test('an agent has its token, its connections and its name out of one Workload API', async () => {
  // What `createAgent` takes.
  const connect: SpiffeConnect = spiffe.connect
  const [, payload = ''] = (await spiffe.jwt()).split('.')
  const { sub, aud } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<
    string,
    unknown
  >
  assert.deepEqual([sub, aud], ['spiffe://corp.test/agent', [BROKER]])
  assert.equal(await connect.spiffeId(), 'spiffe://corp.test/agent')
  assert.equal(await connect.thumbprint(), certificateThumbprint(agent.message.x509_svid))

  const url = await serveShown(await corp.svid('/server'))
  const shown = async (
    peer: Parameters<typeof connect.fetchTo>[0],
    from: Pick<SpiffeConnect, 'fetchTo'> = connect,
  ) => await (await from.fetchTo(peer)(url)).text()
  assert.equal(await shown({ spiffeId: SERVER, mutual: true }), 'URI:spiffe://corp.test/agent')
  assert.equal(await shown({ spiffeId: SERVER, mutual: false }), '')
  const pinned = await connect.pinned()
  assert.equal(
    await shown({ spiffeId: SERVER, mutual: true }, { fetchTo: pinned.fetchTo }),
    'URI:spiffe://corp.test/agent',
  )
  await assert.rejects(shown({ spiffeId: 'spiffe://corp.test/else', mutual: true }), {
    code: 'peer_unproven',
  })
})

test('of several identities the named one is used, for everything', async () => {
  const named = createSpiffe({
    audience: BROKER,
    api: spiffe.api,
    self: 'spiffe://corp.test/second',
  })
  const [, payload = ''] = (await named.jwt()).split('.')
  assert.match(Buffer.from(payload, 'base64url').toString(), /spiffe:\/\/corp\.test\/second/)
  assert.equal(await named.connect.thumbprint(), certificateThumbprint(second.message.x509_svid))
  const url = await serveShown(await corp.svid('/server'))
  const fetch = named.connect.fetchTo({ spiffeId: SERVER, mutual: true })
  assert.equal(await (await fetch(url)).text(), 'URI:spiffe://corp.test/second')
  await named.close()
  assert.match(await spiffe.jwt(), /^e/, 'the api that was lent is left open')

  const unknown = createSpiffe({ audience: BROKER, api: spiffe.api, self: 'spiffe://corp.test/x' })
  await assert.rejects(async () => await unknown.connect.thumbprint(), { code: 'identity_denied' })
  await unknown.close()
})

test('without an id the other end is an ordinary server, by its host and the system', async () => {
  const url = await serveShown(await corp.svid('/server'))
  const ordinary = spiffe.connect.fetchTo({ spiffeId: undefined, mutual: true })
  await assert.rejects(ordinary(url), /fetch failed/)
  await assert.rejects(ordinary('http://127.0.0.1:1/'), { code: 'url_refused' })

  // An authority of the system is not enough: the certificate has no name of the host.
  const system = getCACertificates('default')
  setDefaultCACertificates([...system, corp.caPem])
  try {
    const fresh = createSpiffe({ audience: BROKER, api: spiffe.api })
    closers.push(() => fresh.close())
    const peer = { spiffeId: undefined, mutual: true }
    await assert.rejects(fresh.connect.fetchTo(peer)(url), (error: Error) => {
      assert.equal((error.cause as { code?: string }).code, 'ERR_TLS_CERT_ALTNAME_INVALID')
      return true
    })
  } finally {
    setDefaultCACertificates(system)
  }
})

test('both MCP SDKs talk over it', async () => {
  const { url, close } = await serveHttps(await corp.svid('/server'), async (request, response) => {
    const mcp = new McpServer({ name: 'notes', version: '1.0.0' })
    mcp.registerTool('greet', {}, () => ({ content: [{ type: 'text', text: 'hello' }] }))
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined } as never)
    response.on('close', () => void mcp.close())
    await mcp.connect(transport as never)
    await transport.handleRequest(request, response)
  })
  closers.push(close)
  const fetch = createSpiffeFetch({ source: spiffe.api, peer: { spiffeId: SERVER }, mutual: true })
  closers.push(() => fetch.close())
  const info = { name: 'agent', version: '1.0.0' }

  const v2 = new Client(info)
  await v2.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { fetch }))
  const answer = await v2.callTool({ name: 'greet', arguments: {} })
  assert.deepEqual(answer.content, [{ type: 'text', text: 'hello' }])
  await v2.close()

  const v1 = new ClientV1(info)
  await v1.connect(new TransportV1(new URL(`${url}/mcp`), { fetch }) as never)
  assert.deepEqual((await v1.callTool({ name: 'greet' })).content, [
    { type: 'text', text: 'hello' },
  ])
  await v1.close()

  const wrong = createSpiffeFetch({ source: spiffe.api, peer: { spiffeId: `${SERVER}2` } })
  closers.push(() => wrong.close())
  const refused = new Client(info)
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { fetch: wrong })
  await assert.rejects(refused.connect(transport), { code: 'peer_unproven' })
})

test('loading it leaves the fetch of the process as it was', async () => {
  const { execFileSync } = await import('node:child_process')
  const entry = new URL('../../src/spiffe/index.ts', import.meta.url).href
  const script = `
    const slot = Symbol.for('undici.globalDispatcher.1')
    if (process.argv.includes('used')) await fetch('data:,x')
    const before = globalThis[slot]
    await import(${JSON.stringify(entry)})
    const after = globalThis[slot]
    const works = await (await fetch('data:,yes')).text()
    console.log(before === after, before !== undefined, works)`
  for (const [argument, used] of [
    ['unused', 'false'],
    ['used', 'true'],
  ] as const) {
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, argument])
    assert.equal(String(output).trim(), `true ${used} yes`)
  }
})
