/** Who is at the other end, and what tokens are bound to: over real TLS, with real certificates. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type AgentOptions, createAgent, type Fetch, WritError } from '../../src/agent/index.ts'
import {
  IDENTITY,
  message,
  startBroker,
  startMcpServer,
  type TestBroker,
  type TestServer,
} from './servers.ts'
import { type Domain, makeDomain, makeWorkload, tlsOf, type Workload } from './spiffe-site.ts'

const AGENT = 'spiffe://corp.example/agents/report-bot'
const BROKER = 'spiffe://corp.example/broker'
const SERVER = 'spiffe://corp.example/mcp'

let domain: Domain
let broker: TestBroker
let server: TestServer
let plain: TestServer
let workload: Workload
let url: string

before(async () => {
  domain = await makeDomain('corp.example')
  broker = await startBroker({ tls: await tlsOf(domain, '/broker') })
  server = await startMcpServer({ tls: await tlsOf(domain, '/mcp') })
  plain = await startMcpServer()
  workload = await makeWorkload(domain, '/agents/report-bot')
  url = `${server.origin}/mcp`
})
after(async () => {
  await Promise.all([workload.close(), broker.close(), server.close(), plain.close()])
  await domain.remove()
})

const agentFor = (options: Partial<AgentOptions> = {}) =>
  createAgent({
    broker: broker.origin,
    brokerSpiffeId: BROKER,
    spiffe: workload.spiffe,
    ...options,
  })
/** Nothing to do with SPIFFE. */
const NONE = { spiffe: undefined as never, brokerSpiffeId: undefined as never }
const pay = message('tools/call', { name: 'pay' })

async function refusalOf(call: Promise<unknown>): Promise<WritError> {
  const error: unknown = await call.then(
    () => assert.fail('the call went through'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof WritError, `${error}`)
  return error
}

/** What the broker says of the MCP server, for the length of one test. */
async function knownAs(id: unknown, act: () => Promise<unknown>): Promise<void> {
  broker.answer = { server_spiffe_id: id }
  try {
    await act()
  } finally {
    broker.answer = {}
  }
}

test('an agent with nothing but its X.509-SVID proves itself by the connection', async () => {
  const { fetch, thumbprint } = agentFor()
  await knownAs(SERVER, async () => assert.equal((await fetch(url, pay)).status, 200))
  const { form, certificate, jkt } = broker.asked.at(-1) ?? assert.fail()
  assert.deepEqual([form.get('grant_type'), form.get('client_id')], ['client_credentials', AGENT])
  assert.equal(form.get('resource'), url)
  assert.equal(certificate, workload.thumbprint)
  assert.equal(jkt, thumbprint, 'the key still holds the token')
  const received = server.received.at(-1)
  assert.match(received?.authorization ?? '', /^DPoP /)
  assert.equal(
    received?.certificate,
    undefined,
    'the server is shown no certificate it need not see',
  )
})

for (const identity of [undefined, () => IDENTITY]) {
  test(`a token bound to the certificate needs no proof (${identity ? 'with a JWT' : 'without a JWT'})`, async () => {
    const { fetch } = agentFor({ binding: 'mtls', ...(identity && { identity }) })
    await knownAs(SERVER, () => fetch(url, pay))
    const { form, jkt, certificate } = broker.asked.at(-1) ?? assert.fail()
    assert.deepEqual([jkt, certificate], [undefined, workload.thumbprint])
    assert.equal(form.get('subject_token'), identity === undefined ? null : IDENTITY)
    const received = server.received.at(-1)
    assert.equal(received?.authorization, `Bearer ${broker.tokens.at(-1)}`)
    assert.equal(received?.headers.dpop, undefined)
    assert.equal(received?.certificate, workload.thumbprint)
  })
}

test('after a rotation a session token of the old certificate is not shown again', async () => {
  const { fetch } = agentFor({ binding: 'mtls' })
  await knownAs(SERVER, async () => {
    const asked = broker.asked.length
    await fetch(url, message('ping'))
    await fetch(url, message('tools/list'))
    assert.equal(broker.asked.length - asked, 1)
    await workload.rotate()
    assert.equal((await fetch(url, message('ping'))).status, 200)
    assert.equal(broker.asked.length - asked, 2)
    assert.equal(server.received.at(-1)?.certificate, workload.thumbprint)
  })
})

test('a token that is on its way while the certificate is replaced is shown with its own', async () => {
  const { fetch } = agentFor({ binding: 'mtls' })
  const asked = broker.asked.length
  const sent = server.received.length
  const first = workload.thumbprint
  broker.before = () => workload.rotate()
  await knownAs(SERVER, async () => assert.equal((await fetch(url, pay)).status, 200))
  broker.before = undefined
  assert.notEqual(workload.thumbprint, first)
  assert.equal(broker.asked.length - asked, 1)
  assert.deepEqual(
    server.received.slice(sent).map(({ certificate }) => certificate),
    [first],
  )
})

test('a server of another SPIFFE ID is sent nothing, whatever its URL', async () => {
  const { fetch } = agentFor({ identity: () => IDENTITY })
  const sent = server.received.length
  await knownAs('spiffe://corp.example/other', async () => {
    const error = await refusalOf(fetch(url, pay))
    assert.equal(error.code, 'server_unproven')
    assert.match(error.message, /spiffe:\/\/corp\.example\/other/)
  })
  assert.equal(server.received.length, sent)
})

test('a server that the broker knows by its SPIFFE ID is refused by an agent that cannot check it', async () => {
  let used = 0
  const own: Fetch = (input, init) => {
    if (String(input) === `${plain.origin}/mcp`) used += 1
    return fetch(input, init)
  }
  const agents: [Partial<AgentOptions>, RegExp][] = [
    [NONE, /option spiffe/],
    [{ ...NONE, fetch: own }, /option spiffe/],
    [{ fetch: own }, /over http/],
  ]
  const sent = plain.received.length
  for (const [options, words] of agents) {
    const agent = agentFor({ identity: () => IDENTITY, ...options })
    await knownAs(SERVER, async () => {
      for (const call of [pay, message('ping')]) {
        const error = await refusalOf(agent.fetch(`${plain.origin}/mcp`, call))
        assert.equal(error.code, 'server_unproven')
        assert.match(error.message, words)
      }
    })
  }
  assert.deepEqual([used, plain.received.length], [0, sent])
})

test('a server that need not prove itself is called with the fetch that was given', async () => {
  let used = 0
  const own: Fetch = (input, init) => {
    used += 1
    return fetch(input, init)
  }
  const agent = agentFor({ identity: () => IDENTITY, fetch: own })
  await agent.fetch(`${plain.origin}/mcp`, message('ping'))
  const [before, asked] = [used, workload.asked.length]
  assert.equal((await agent.fetch(`${plain.origin}/mcp`, message('ping'))).status, 200)
  assert.deepEqual([used, workload.asked.length], [before + 1, asked])
})

test('a certificate is never shown over http', async () => {
  const { fetch } = agentFor({ binding: 'mtls' })
  const error = await refusalOf(fetch(`${plain.origin}/mcp`, pay))
  assert.equal(error.code, 'url_refused')
})

test('the broker must be who it is said to be, or it is sent nothing', async () => {
  const good = agentFor({ identity: () => IDENTITY })
  assert.equal((await good.fetch(`${plain.origin}/mcp`, pay)).status, 200)
  assert.deepEqual(workload.asked.at(-1), { spiffeId: BROKER, mutual: false })
  const asked = broker.asked.length
  for (const identity of [undefined, () => IDENTITY]) {
    const bad = agentFor({ brokerSpiffeId: SERVER, ...(identity && { identity }) })
    const error = await refusalOf(bad.fetch(`${plain.origin}/mcp`, pay))
    assert.equal(error.code, 'broker_unproven')
  }
  assert.equal(broker.asked.length, asked)
})

const endpoints: [string, Record<string, unknown>, Partial<AgentOptions>][] = [
  ['no endpoint for certificates', { mtls_endpoint_aliases: undefined }, {}],
  [
    'no endpoint for certificates beside the one for everybody',
    { token_endpoint: 'https://127.0.0.1:1/token', mtls_endpoint_aliases: undefined },
    {},
  ],
  ['aliases that are no object', { mtls_endpoint_aliases: 'x' }, {}],
  [
    'an endpoint for certificates that is not https',
    { mtls_endpoint_aliases: { token_endpoint: 'http://127.0.0.1:1/token' } },
    {},
  ],
  [
    'an endpoint that can prove nothing',
    { mtls_endpoint_aliases: undefined },
    { identity: () => IDENTITY },
  ],
]
for (const [name, metadata, options] of endpoints) {
  test(`a broker with ${name} is not asked`, async () => {
    const asked = broker.asked.length
    broker.metadata = metadata
    const error = await refusalOf(agentFor(options).fetch(url, pay))
    broker.metadata = {}
    assert.equal(error.code, 'broker_misconfigured')
    assert.equal(broker.asked.length, asked)
  })
}

const answers: [string, Record<string, unknown>, Partial<AgentOptions>][] = [
  [
    'a token bound to a key, where a certificate was asked for',
    { token_type: 'DPoP' },
    { binding: 'mtls' },
  ],
  ['a token bound to nothing that was proved', { token_type: 'Bearer' }, {}],
  ['a server named by a URL', { server_spiffe_id: 'https://mcp.example' }, {}],
  ['a server that is no text', { server_spiffe_id: 7 }, {}],
]
for (const [name, answer, options] of answers) {
  test(`an answer with ${name} is not used`, async () => {
    broker.answer = answer
    const error = await refusalOf(agentFor(options).fetch(url, pay))
    broker.answer = {}
    assert.equal(error.code, 'broker_misconfigured')
  })
}

test('a workload that is given no identity says so, and sends nothing', async () => {
  const denied = await makeWorkload(domain, '/agents/denied', true)
  const asked = broker.asked.length
  for (const options of [{}, { binding: 'mtls' }, { identity: () => IDENTITY }] as const) {
    const agent = agentFor({ spiffe: denied.spiffe, ...options })
    const error = await refusalOf(agent.fetch(url, pay))
    assert.equal(error.code, 'identity_unavailable')
    assert.ok(error.cause instanceof Error)
  }
  assert.equal(broker.asked.length, asked)
  await denied.close()
})

test('options that contradict each other are a TypeError', () => {
  const bad: Partial<AgentOptions>[] = [
    NONE,
    { ...NONE, identity: () => IDENTITY, binding: 'mtls' },
    { ...NONE, identity: () => IDENTITY, brokerSpiffeId: BROKER },
    { grant: 'jwt-bearer' },
    { grant: 'jwt-bearer', identity: () => IDENTITY, onBehalfOf: () => undefined },
    { binding: 'tls' as never },
    { grant: 'password' as never },
    { unsafeAcceptBearer: true as never },
    { unsafeAcceptBearer: 'for conformance tests only', binding: 'mtls' },
  ]
  for (const options of bad) assert.throws(() => agentFor(options), TypeError)
})
