/** Which calls share a token: those of one workload, for one subject, under one label. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createAgent } from '../../src/agent/index.ts'
import {
  IDENTITY,
  message,
  startBroker,
  startMcpServer,
  type TestBroker,
  type TestServer,
} from './servers.ts'
import { type Domain, makeDomain, makeWorkload, tlsOf } from './spiffe-site.ts'

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

const agentFor = (options: Partial<Parameters<typeof createAgent>[0]> = {}) =>
  createAgent({ broker: broker.origin, identity: () => IDENTITY, ...options })

test('the token of a task is not used under another label', async () => {
  let task: string | undefined = 'one'
  const { fetch } = agentFor({ task: () => task })
  const look = () => fetch(url, message('tasks/get', { taskId: 't1' }))
  const asked = broker.asked.length
  await look()
  task = 'two'
  await look()
  task = undefined
  await look()
  task = 'one'
  await look()
  const labels = broker.asked.slice(asked).map(({ details }) => details?.task)
  assert.deepEqual(labels.slice(0, 2), ['one', 'two'])
  assert.match(String(labels[2]), /^agent-/)
  assert.equal(labels.length, 3, 'the first one is still good for its own')
})

const jwtSaying = (claims: object) =>
  `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.${'s'.repeat(86)}`
const ONE = { iss: 'https://a.example', sub: 'one' }

const identities: [string, string, string, boolean][] = [
  ['a renewed JWT of the same subject', jwtSaying({ ...ONE, exp: 1 }), jwtSaying(ONE), true],
  ['another subject', jwtSaying(ONE), jwtSaying({ ...ONE, sub: 'two' }), false],
  [
    'the same subject of another issuer',
    jwtSaying(ONE),
    jwtSaying({ ...ONE, iss: 'https://b.example' }),
    false,
  ],
  ['a JWT that names nobody', jwtSaying({ exp: 1 }), jwtSaying({ exp: 2 }), false],
  ['a JWT that cannot be read here', 'a.b.c', 'a.d.c', false],
]
for (const [name, before, after, same] of identities) {
  test(`a session token is ${same ? '' : 'not '}used for ${name}`, async () => {
    let identity = before
    const { fetch } = agentFor({ identity: () => identity })
    const asked = broker.asked.length
    await fetch(url, message('ping'))
    identity = after
    await fetch(url, message('ping'))
    const shown = broker.asked.slice(asked).map(({ form }) => form.get('subject_token'))
    assert.deepEqual(shown, same ? [before] : [before, after])
  })
}

test('a session token is used with a renewed certificate of the same workload, and no other', async (t) => {
  const { spiffe, rotate, close } = await makeWorkload(domain, '/agents/one')
  t.after(close)
  const brokerSpiffeId = 'spiffe://corp.example/broker'
  const { fetch } = createAgent({ broker: broker.origin, brokerSpiffeId, spiffe })
  const asked = broker.asked.length
  await fetch(url, message('ping'))
  await rotate()
  await fetch(url, message('ping'))
  await rotate('/agents/two')
  await fetch(url, message('ping'))
  assert.deepEqual(
    broker.asked.slice(asked).map(({ form }) => form.get('client_id')),
    ['spiffe://corp.example/agents/one', 'spiffe://corp.example/agents/two'],
  )
})

test('an identity that does not come holds up no caller that gives up', async () => {
  const { fetch } = agentFor({ identity: () => new Promise(() => undefined) })
  const giveUp = new AbortController()
  const call = fetch(url, { ...message('tools/call', { name: 'pay' }), signal: giveUp.signal })
  giveUp.abort(new Error('no longer wanted'))
  await assert.rejects(call, /no longer wanted/)
})
