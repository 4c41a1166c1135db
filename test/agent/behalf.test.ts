/** On whose behalf an agent asks, how it hands work on, and which of its tokens are whose. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { hashArguments } from '../../src/action/hash.ts'
import {
  type AgentOptions,
  createAgent,
  generateSenderKey,
  type OnBehalfOf,
  WritError,
} from '../../src/agent/index.ts'
import {
  IDENTITY,
  message,
  startBroker,
  startMcpServer,
  type TestBroker,
  type TestServer,
} from './servers.ts'
import { type Domain, makeDomain, makeWorkload, tlsOf } from './spiffe-site.ts'

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:'
const DELEGATION = 'urn:writ:params:oauth:token-type:delegation'
const jwtOf = (who: string) => `${who.repeat(40)}.${'p'.repeat(80)}.${'s'.repeat(86)}`
const ALICE = jwtOf('a')
const BOB = jwtOf('b')

let domain: Domain
let broker: TestBroker
let server: TestServer
let url: string

before(async () => {
  domain = await makeDomain('corp.example')
  broker = await startBroker({ tls: await tlsOf(domain, '/broker') })
  server = await startMcpServer()
  url = `${server.origin}/mcp`
})
after(async () => {
  await broker.close()
  await server.close()
  await domain.remove()
})

const agentFor = (options: Partial<AgentOptions> = {}) =>
  createAgent({ broker: broker.origin, identity: () => IDENTITY, ...options })
const pay = message('tools/call', { name: 'pay' })
const lastForm = () => Object.fromEntries(broker.asked.at(-1)?.form ?? [])

const kinds: [OnBehalfOf['tokenType'], string][] = [
  ['id_token', `${TOKEN_TYPE}id_token`],
  ['access_token', `${TOKEN_TYPE}access_token`],
  ['id_jag', `${TOKEN_TYPE}id-jag`],
  ['jwt', `${TOKEN_TYPE}jwt`],
  ['delegation', DELEGATION],
]
for (const [tokenType, urn] of kinds) {
  test(`for the holder of a token (${tokenType}) the agent is the actor, and proves it`, async () => {
    const { fetch } = agentFor({ onBehalfOf: async () => ({ token: `${ALICE}\n`, tokenType }) })
    assert.equal((await fetch(url, pay)).status, 200)
    const { authorization_details: details, ...form } = lastForm()
    assert.deepEqual(form, {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      resource: url,
      subject_token: ALICE,
      subject_token_type: urn,
      actor_token: IDENTITY,
      actor_token_type: `${TOKEN_TYPE}jwt`,
    })
    const [{ task }] = JSON.parse(details ?? '')
    assert.equal(
      task === undefined,
      tokenType === 'delegation',
      'a delegation brings its own label',
    )
  })
}

test('a label that was given is not sent with work that has one', async () => {
  const { fetch } = agentFor({
    task: 'mine',
    onBehalfOf: () => ({ token: ALICE, tokenType: 'delegation' }),
  })
  await fetch(url, pay)
  assert.equal(broker.asked.at(-1)?.details?.task, undefined)
})

test('an agent with nothing but its certificate acts by the connection', async () => {
  const { spiffe, close } = await makeWorkload(domain, '/agents/report-bot')
  const agent = createAgent({
    broker: broker.origin,
    brokerSpiffeId: 'spiffe://corp.example/broker',
    spiffe,
    onBehalfOf: () => ({ token: ALICE, tokenType: 'id_token' }),
  })
  await agent.fetch(url, pay)
  const { client_id: client, actor_token: actor, subject_token: subject } = lastForm()
  assert.deepEqual(
    [client, actor, subject],
    ['spiffe://corp.example/agents/report-bot', undefined, ALICE],
  )
  assert.ok(broker.asked.at(-1)?.certificate)
  await close()
})

test('one subject’s session token is never shown for another, nor for the agent itself', async () => {
  let subject: OnBehalfOf | undefined = { token: ALICE, tokenType: 'id_token' }
  const { fetch } = agentFor({ onBehalfOf: () => subject })
  const tokenOf = async (next: OnBehalfOf | undefined) => {
    subject = next
    await fetch(url, message('ping'))
    return server.received.at(-1)?.authorization
  }
  const alice = await tokenOf({ token: ALICE, tokenType: 'id_token' })
  const bob = await tokenOf({ token: BOB, tokenType: 'id_token' })
  const self = await tokenOf(undefined)
  const otherKind = await tokenOf({ token: ALICE, tokenType: 'access_token' })
  assert.equal(new Set([alice, bob, self, otherKind]).size, 4)
  assert.equal(await tokenOf({ token: ALICE, tokenType: 'id_token' }), alice)
})

const failing: [string, () => OnBehalfOf | Promise<OnBehalfOf>][] = [
  ['fails', () => Promise.reject(new Error('signed out'))],
  ['returns no JWT', () => ({ token: 'opaque', tokenType: 'access_token' })],
  ['names no known type', () => ({ token: ALICE, tokenType: 'saml2' as never })],
  ['names a type that every object has', () => ({ token: ALICE, tokenType: 'toString' as never })],
]
for (const [what, onBehalfOf] of failing) {
  test(`when onBehalfOf ${what}, nobody is asked, and the agent does not act for itself instead`, async () => {
    const asked = broker.asked.length
    const { fetch } = agentFor({ onBehalfOf })
    await assert.rejects(fetch(url, pay), (error: unknown) => {
      assert.ok(error instanceof WritError)
      assert.equal(error.code, 'identity_unavailable')
      assert.doesNotMatch(inspect(error, { depth: 9 }), /a{40}/)
      return true
    })
    assert.equal(broker.asked.length, asked)
  })
}

const next = { id: 'spiffe://corp.example/agents/helper', key: generateSenderKey().jkt }
const part = {
  servers: ['https://mcp.example/mcp'],
  methods: ['tools/call'],
  names: ['pay', 'list'],
}

test('work is handed on to one agent and one key, under a ceiling', async () => {
  const agent = agentFor({
    task: 'invoice-1',
    onBehalfOf: () => ({ token: ALICE, tokenType: 'id_token' }),
  })
  const before = Date.now() / 1000
  const delegation = await agent.delegate({
    to: next.id,
    key: next.key,
    ceiling: [part, { ...part, names: ['pay'], arguments: { b: 1, a: 'é' } }],
  })
  assert.equal(delegation.token, 'a.delegation.token')
  assert.equal(delegation.tokenType, 'delegation')
  assert.ok(delegation.expiresAt >= before + 300 && delegation.expiresAt < before + 310)
  const { authorization_details: details, ...form } = lastForm()
  assert.deepEqual(form, {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: ALICE,
    subject_token_type: `${TOKEN_TYPE}id_token`,
    actor_token: IDENTITY,
    actor_token_type: `${TOKEN_TYPE}jwt`,
    requested_token_type: DELEGATION,
    may_act: next.id,
    may_act_jkt: next.key,
  })
  const element = {
    type: 'mcp_ceiling',
    locations: part.servers,
    actions: part.methods,
    identifiers: part.names,
    task: 'invoice-1',
  }
  assert.deepEqual(JSON.parse(details ?? ''), [
    element,
    { ...element, identifiers: ['pay'], arguments_hash: hashArguments({ a: 'é', b: 1 }) },
  ])
  assert.equal(broker.asked.at(-1)?.jkt, agent.thumbprint)
})

test('an agent that acts for itself hands on its own work', async () => {
  await agentFor().delegate({ to: next.id, key: next.key, ceiling: [part] })
  const { subject_token: subject, actor_token: actor } = lastForm()
  assert.deepEqual([subject, actor], [IDENTITY, undefined])
})

test('work that was handed on goes further under the label it has', async () => {
  const agent = agentFor({
    task: 'mine',
    onBehalfOf: () => ({ token: ALICE, tokenType: 'delegation' }),
  })
  await agent.delegate({ to: next.id, key: next.key, ceiling: [part] })
  assert.equal(broker.asked.at(-1)?.details?.task, undefined)
  assert.equal(lastForm().subject_token_type, DELEGATION)
})

test('a delegation that could allow nothing, or anybody, is a TypeError', async () => {
  const right = { to: next.id, key: next.key, ceiling: [part] }
  const wrong = [
    { ...right, to: '' },
    { ...right, key: 'short' },
    { ...right, key: '' },
    { ...right, ceiling: [] },
    { ...right, ceiling: [part, { ...part, servers: [] }] },
    { ...right, ceiling: [{ ...part, methods: [] }] },
    { ...right, ceiling: [{ ...part, names: [] }] },
  ]
  for (const request of wrong) await assert.rejects(agentFor().delegate(request), TypeError)
})

const answers: [string, Record<string, unknown>][] = [
  ['an access token', { issued_token_type: `${TOKEN_TYPE}access_token` }],
  ['something without a type', { issued_token_type: undefined }],
  ['nothing', { access_token: undefined }],
  ['a delegation without an end', { expires_in: undefined }],
]
for (const [what, answer] of answers) {
  test(`a broker that answers with ${what} has handed nothing on`, async () => {
    broker.answer = answer
    const asking = agentFor().delegate({ to: next.id, key: next.key, ceiling: [part] })
    await assert.rejects(asking, { code: 'broker_misconfigured' })
    broker.answer = {}
  })
}

test('the identity as an assertion is the same request by another grant', async () => {
  const { fetch } = agentFor({ grant: 'jwt-bearer', task: 'one' })
  assert.equal((await fetch(url, pay)).status, 200)
  const { authorization_details: details, ...form } = lastForm()
  assert.deepEqual(form, {
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: IDENTITY,
    resource: url,
  })
  assert.equal(JSON.parse(details ?? '')[0].task, 'one')
})

test('only for conformance tests, and with a warning each time, is an unbound token used', async () => {
  const warnings: (Error & { code?: string })[] = []
  const note = (warning: Error) => void warnings.push(warning)
  process.on('warning', note)
  const options: Partial<AgentOptions> = { unsafeAcceptBearer: 'for conformance tests only' }
  const agents = [agentFor(options), agentFor(options)]
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', note)
  assert.equal(warnings.filter(({ code }) => code === 'WRIT_UNSAFE_BEARER').length, 2)
  broker.answer = { token_type: 'Bearer' }
  await agents[0]?.fetch(url, message('ping')).catch(() => {})
  assert.match(server.received.at(-1)?.authorization ?? '', /^Bearer /)
  assert.equal(server.received.at(-1)?.headers.dpop, undefined)
  const sent = server.received.length
  await assert.rejects(agentFor().fetch(url, pay), { code: 'broker_misconfigured' })
  broker.answer = {}
  assert.equal(server.received.length, sent)
})

test('a delegation that is cancelled while an identity is waited for is not asked for', async () => {
  const controller = new AbortController()
  const waiting = agentFor({
    identity: () => {
      controller.abort(new Error('cancelled by the user'))
      return new Promise(() => {})
    },
  })
  const asked = broker.asked.length
  const request = { to: next.id, key: next.key, ceiling: [part], signal: controller.signal }
  await assert.rejects(waiting.delegate(request), /cancelled by the user/)
  assert.equal(broker.asked.length, asked)
})
