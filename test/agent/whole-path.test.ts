/** Agent, broker, gate and server together, each proving itself, each the real one. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  type AgentOptions,
  createAgent,
  type OnBehalfOf,
  type SpiffeConnect,
} from '../../src/agent/index.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { makePin } from '../../src/catalogue/pin.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { createSpiffe } from '../../src/spiffe/index.ts'
import { createVerifier, memoryLedger, type Verifier } from '../../src/verifier/index.ts'
import { startWorld, type World } from '../identities/world.ts'
import { GATES, serveV2, TOOLS } from '../matrix/servers.ts'
import { derOf, pkcs8Of } from '../spiffe/domains.ts'
import { EndpointServer } from '../spiffe/endpoint-server.ts'
import { message } from './servers.ts'

const BOT = 'spiffe://corp.test/agents/bot'
const HELPER = 'spiffe://corp.test/agents/helper'

let world: World
let http: Server
let verifier: Verifier
let url: string
/** Connections of the workload at a path. */
let connectionsOf: (path: string) => Promise<SpiffeConnect>
const mcp = serveV2()
const records: AuditRecord[] = []
const hooks: (() => Promise<unknown>)[] = []

before(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'writ-whole-'))
  hooks.push(() => rm(directory, { recursive: true }))
  http = createServer({ requestCert: true, rejectUnauthorized: false })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  hooks.push(() => {
    http.closeAllConnections()
    return new Promise((resolve) => http.close(resolve))
  })
  url = `https://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
  const catalogue = join(directory, 'pin.json')
  const head = { name: 'server0', resource: url, pinnedAt: new Date().toISOString() }
  const pin = makePin({ tool: TOOLS as unknown as JsonObject[] }, head)
  await writeFile(catalogue, JSON.stringify({ ...pin, spiffeId: 'spiffe://corp.test/mcp' }))
  world = await startWorld(
    { after: (hook) => void hooks.push(hook) },
    { resources: [url], settings: { servers: [{ resource: url, catalogue }] } },
  )
  const { corp, issuer } = world
  http.setSecureContext(corp.certificate('/mcp'))
  connectionsOf = async (path) => {
    const endpoint = await EndpointServer.create()
    await endpoint.start()
    hooks.push(() => endpoint.remove())
    const { cert, key } = corp.certificate(path)
    const svid = {
      spiffe_id: `spiffe://corp.test${path}`,
      x509_svid: derOf(cert),
      x509_svid_key: pkcs8Of(key),
      bundle: corp.authority.der,
    }
    endpoint.say({ x509: { svids: [svid] } })
    const spiffe = createSpiffe({ audience: issuer, socket: endpoint.socket })
    hooks.push(() => spiffe.close())
    return spiffe.connect
  }
  verifier = createVerifier({
    issuer,
    resource: url,
    ledger: memoryLedger(),
    definitions: TOOLS,
    audit: (record) => void records.push(record),
    certificates: true,
  })
  hooks.push(() => verifier.close())
  await verifier.ready()
  http.on('request', await GATES.node!(verifier, mcp))
})
after(async () => {
  for (const hook of hooks.reverse()) await hook()
})

const agentFor = (options: Partial<AgentOptions>) =>
  createAgent({ broker: world.issuer, brokerSpiffeId: 'spiffe://corp.test/broker', ...options })
const call = (text: string, name = 'add'): RequestInit => ({
  ...message('tools/call', { name, arguments: { text } }),
  headers: {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  },
})

test('the same workload is one principal by each proof, each grant and each binding', async () => {
  const spiffe = await connectionsOf('/agents/bot')
  const identity = () => world.corp.svid('/agents/bot')
  const ways: Partial<AgentOptions>[] = [
    { spiffe },
    { spiffe, binding: 'mtls' },
    { spiffe, identity },
    { spiffe, identity, binding: 'mtls' },
    { spiffe, identity, grant: 'jwt-bearer' },
  ]
  for (const [index, options] of ways.entries()) {
    const agent = agentFor(options)
    const response = await agent.fetch(url, call(`way ${index}`))
    assert.match(await response.text(), new RegExp(`add way ${index} for ${BOT}`))
    const { workload, principal, actors, key } = records.at(-1) ?? assert.fail()
    assert.deepEqual([workload, principal, actors], [BOT, BOT, undefined])
    const holder =
      options.binding === 'mtls' ? `x5t#S256:${await spiffe.thumbprint()}` : agent.thumbprint
    assert.equal(key, holder)
  }
})

test('an agent that cannot check who the server is sends nothing', async () => {
  const ran = mcp.ran.length
  const agent = createAgent({
    broker: world.issuer,
    identity: () => world.corp.svid('/agents/bot'),
  })
  await assert.rejects(agent.fetch(url, call('unseen')), { code: 'server_unproven' })
  http.setSecureContext(world.corp.certificate('/relay'))
  const spiffe = await connectionsOf('/agents/bot')
  await assert.rejects(agentFor({ spiffe }).fetch(url, call('relayed')), {
    code: 'server_unproven',
  })
  http.setSecureContext(world.corp.certificate('/mcp'))
  assert.equal(mcp.ran.length, ran)
})

test('work goes from one agent to the next, under its ceiling, with everybody in the record', async () => {
  const spiffe = await connectionsOf('/agents/helper')
  // Its certificate alone says who it is.
  const bot = agentFor({ spiffe: await connectionsOf('/agents/bot'), task: 'invoice-4711' })
  let handedOn: OnBehalfOf | undefined
  const helper = agentFor({ spiffe, onBehalfOf: () => handedOn })
  handedOn = await bot.delegate({
    to: HELPER,
    key: helper.thumbprint,
    ceiling: [{ servers: [url], methods: ['tools/call'], names: ['add'] }],
  })
  const response = await helper.fetch(url, call('for the bot'))
  assert.match(await response.text(), /add for the bot/)
  const { workload, principal, actors, task } = records.at(-1) ?? assert.fail()
  assert.deepEqual(
    { workload, principal, actors, task },
    { workload: HELPER, principal: BOT, actors: [HELPER, BOT], task: 'invoice-4711' },
  )
  await assert.rejects(helper.fetch(url, call('beyond', 'drop')), { code: 'token_refused' })

  const thief = agentFor({ spiffe, onBehalfOf: () => handedOn })
  await assert.rejects(thief.fetch(url, call('with another key')), { code: 'token_refused' })
  const other = agentFor({
    spiffe: await connectionsOf('/agents/third'),
    onBehalfOf: () => handedOn,
  })
  await assert.rejects(other.fetch(url, call('by another agent')), { code: 'token_refused' })
  assert.equal(mcp.ran.at(-1), 'add for the bot')
})
