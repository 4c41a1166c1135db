/** The official clients behind certificates alone: agent, broker, and a gate that checks for real. */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import * as v2 from '@modelcontextprotocol/client'
import * as v1 from '@modelcontextprotocol/sdk/client/index.js'
import * as v1http from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createAgent, type Fetch } from '../../src/agent/index.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { createVerifier, type Verifier } from '../../src/verifier/index.ts'
import { GATES, serveV2, TOOLS } from '../matrix/servers.ts'
import { startBroker, type TestBroker } from './servers.ts'
import { type Domain, makeDomain, makeWorkload, tlsOf, type Workload } from './spiffe-site.ts'

const SERVER = 'spiffe://corp.example/notes'
const SELF = { name: 'agent-test', version: '1.0.0' }

let domain: Domain
let broker: TestBroker
let workload: Workload
let http: Server
let verifier: Verifier
let url: string
const records: AuditRecord[] = []
const mcp = serveV2()

before(async () => {
  domain = await makeDomain('corp.example')
  broker = await startBroker({ tls: await tlsOf(domain, '/broker'), tools: TOOLS })
  broker.answer = { server_spiffe_id: SERVER }
  workload = await makeWorkload(domain, '/agents/report-bot')
  const tls = await tlsOf(domain, '/notes')
  http = createServer({ ...tls, requestCert: true, rejectUnauthorized: false })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  url = `https://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
  verifier = createVerifier({
    issuer: broker.origin,
    resource: url,
    ledger: memoryLedger(),
    definitions: TOOLS,
    audit: (record) => void records.push(record),
    feed: broker.feed,
    certificates: true,
  })
  await verifier.ready()
  http.on('request', await GATES.node!(verifier, mcp))
})
after(async () => {
  await workload.close()
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
  await verifier.close()
  await broker.close()
  await domain.remove()
})

const agentFor = (binding: 'mtls' | 'dpop') =>
  createAgent({
    broker: broker.origin,
    brokerSpiffeId: 'spiffe://corp.example/broker',
    spiffe: workload.spiffe,
    binding,
  })

const args = (text: string) => ({ name: 'add', arguments: { text } })

async function throughV1(fetch: Fetch, text: string): Promise<unknown> {
  const client = new v1.Client(SELF)
  await client.connect(new v1http.StreamableHTTPClientTransport(new URL(url), { fetch }))
  const result = await client.callTool(args(text))
  await client.close()
  return result
}

async function throughV2(fetch: Fetch, text: string): Promise<unknown> {
  const client = new v2.Client(SELF, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(url), { fetch }))
  const result = await client.callTool(args(text))
  await client.close()
  return result
}

for (const binding of ['mtls', 'dpop'] as const) {
  for (const [sdk, through] of [
    ['SDK v1', throughV1],
    ['SDK v2', throughV2],
  ] as const) {
    test(`${sdk} calls a tool with an X.509-SVID and tokens bound by ${binding}`, async () => {
      const agent = agentFor(binding)
      const text = `${sdk} ${binding}`
      await through(agent.fetch, text)
      assert.equal(mcp.ran.at(-1), `add ${text}`)
      const allowed = records.filter(({ name }) => name === 'add').at(-1)
      assert.equal(allowed?.outcome, 'allowed')
      const key = binding === 'mtls' ? `x5t#S256:${workload.thumbprint}` : agent.thumbprint
      assert.equal(allowed.key, key)
    })
  }
}

test('an SDK client goes on through a rotation of the SVID', async () => {
  const agent = agentFor('mtls')
  const client = new v2.Client(SELF, { versionNegotiation: { mode: 'auto' } })
  await client.connect(new v2.StreamableHTTPClientTransport(new URL(url), { fetch: agent.fetch }))
  await client.listTools()
  for (let round = 0; round < 3; round++) {
    await workload.rotate()
    await client.listTools()
    await client.callTool(args(`round ${round}`))
    assert.equal(mcp.ran.at(-1), `add round ${round}`)
  }
  await client.close()
})
