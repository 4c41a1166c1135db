import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { hashArguments } from '../../src/action/hash.ts'
import { createAgent, generateSenderKey, WritError } from '../../src/agent/index.ts'
import {
  IDENTITY,
  message,
  sendJson,
  startBroker,
  startMcpServer,
  type TestBroker,
  type TestServer,
} from './servers.ts'

let broker: TestBroker
let server: TestServer
let url: string

before(async () => {
  broker = await startBroker()
  server = await startMcpServer()
  url = `${server.origin}/mcp`
})
after(async () => {
  await broker.close()
  await server.close()
})

const agentFor = (options: Partial<Parameters<typeof createAgent>[0]> = {}) =>
  createAgent({ broker: broker.origin, identity: () => IDENTITY, ...options })

const refusedWith = (code: string, words: RegExp) => (error: unknown) => {
  assert.ok(error instanceof WritError, `${error}`)
  assert.equal(error.code, code)
  assert.match(error.message, words)
  return true
}

test('each call gets a token made for exactly its message, and the bytes that were read are sent', async () => {
  const { fetch, thumbprint } = agentFor({ task: 'invoice-4711' })
  const body =
    '{ "jsonrpc":"2.0","id":7, "method":"tools/call","params":{"name":"pay","arguments":{"b":1.50,"a":"é"}} }'
  const first = server.received.length
  await fetch(`${url}?x=1#y`, { method: 'POST', body })
  await fetch(url, { method: 'POST', body })

  const [one, two] = broker.asked.slice(-2)
  assert.ok(one && two)
  assert.equal(one.jkt, thumbprint)
  assert.equal(one.form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:token-exchange')
  assert.equal(one.form.get('resource'), url)
  assert.equal(one.form.get('subject_token'), IDENTITY)
  assert.deepEqual(JSON.parse(one.form.get('authorization_details') ?? ''), [
    {
      type: 'mcp_action',
      locations: [url],
      actions: ['tools/call'],
      identifier: 'pay',
      arguments: { b: 1.5, a: 'é' },
      task: 'invoice-4711',
    },
  ])
  const [sent, again] = server.received.slice(first)
  assert.ok(sent && again)
  assert.equal(sent.body, body)
  assert.notEqual(sent.authorization, again.authorization)
  assert.equal(sent.authorization, `DPoP ${broker.tokens.at(-2)}`)
  const claims = JSON.parse(
    Buffer.from(sent.authorization.split('.')[1] ?? '', 'base64url').toString(),
  )
  assert.equal(claims.authorization_details[0].arguments_hash, hashArguments({ a: 'é', b: 1.5 }))
})

test('methods that do nothing share one session token, and concurrent ones ask for it once', async () => {
  const { fetch } = agentFor()
  const asked = broker.asked.length
  await Promise.all([
    fetch(url, message('tools/list')),
    fetch(url, message('ping')),
    fetch(url, { method: 'GET' }),
  ])
  await fetch(url, { method: 'DELETE' })
  const requests = broker.asked.slice(asked)
  assert.equal(requests.length, 1)
  assert.equal(requests[0]?.form.has('authorization_details'), false)
  const tokens = new Set(server.received.slice(-4).map(({ authorization }) => authorization))
  assert.equal(tokens.size, 1)
  await fetch(`${server.origin}/other`, message('ping'))
  assert.equal(broker.asked.length - asked, 2, 'another server, another token')
  assert.equal(tokens.has(server.received.at(-1)?.authorization ?? ''), false)
})

test('one caller that gives up does not take the session token from the others', async () => {
  const { fetch } = agentFor({
    identity: async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      return IDENTITY
    },
  })
  const giveUp = new AbortController()
  const impatient = fetch(url, { ...message('ping'), signal: giveUp.signal })
  const patient = fetch(url, message('tools/list'))
  giveUp.abort(new Error('no longer wanted'))
  await assert.rejects(impatient, /no longer wanted/)
  assert.equal((await patient).status, 200)
})

test('one caller that gives up while the broker is asked leaves the asking to the others', async () => {
  const { fetch } = agentFor()
  const giveUp = new AbortController()
  broker.before = async () => {
    broker.before = undefined
    giveUp.abort(new Error('no longer wanted'))
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const asked = broker.asked.length
  const impatient = fetch(url, { ...message('ping'), signal: giveUp.signal })
  const patient = fetch(url, message('tools/list'))
  await assert.rejects(impatient, /no longer wanted/)
  assert.equal((await patient).status, 200)
  assert.equal(broker.asked.length - asked, 1)
})

test('a session token that a server refused is not shown again', async () => {
  const { fetch } = agentFor()
  await fetch(url, message('ping'))
  server.instead.push((_, response) =>
    sendJson(response, 401, { error: 'invalid_token', error_description: 'revoked' }),
  )
  const asked = broker.asked.length
  await assert.rejects(fetch(url, message('ping')), refusedWith('server_refused', /revoked/))
  assert.equal(broker.asked.length, asked, 'the refused request was not repeated')
  await fetch(url, message('ping'))
  assert.equal(broker.asked.length, asked + 1)
})

test('the requests about one task share its token as often as it may be used', async () => {
  const { fetch } = agentFor()
  const asked = broker.asked.length
  for (let i = 0; i < 4; i++) await fetch(url, message('tasks/get', { taskId: 't1' }))
  await fetch(url, message('tasks/cancel', { taskId: 't1' }))
  assert.equal(broker.asked.length - asked, 2, 'three uses a token: 3 + 2')
  await fetch(url, message('tasks/get', { taskId: 't2' }))
  assert.equal(broker.asked.length - asked, 3, 'another task, another token')
  const input = { taskId: 't2', inputResponses: { a: { action: 'accept' } } }
  await fetch(url, message('tasks/update', input))
  assert.equal(broker.asked.length - asked, 3, 'what a task is told needs no token of its own')
  await fetch(url, message('tasks/update', { ...input, taskId: 't3' }))
  assert.equal(broker.asked.length - asked, 4)
  assert.equal(broker.asked.at(-1)?.details?.input, undefined, 'nor is it told to the broker')
})

test('a second round asks for its input too, under the same task as the first', async () => {
  const { fetch } = agentFor()
  const round = { name: 'rename', arguments: { id: 1 } }
  await fetch(url, message('tools/call', round))
  const answers = { inputResponses: { ok: { action: 'accept' } }, requestState: 'opaque' }
  await fetch(url, message('tools/call', { ...round, ...answers }))
  const [first, second] = broker.asked.slice(-2)
  assert.equal(first?.details?.input, undefined)
  assert.deepEqual(second?.details?.input, answers)
  assert.equal(first?.details?.task, second?.details?.task)
})

test('a task label is asked for at each call', async () => {
  let task = 'one'
  const { fetch } = agentFor({ task: () => task })
  await fetch(url, message('tools/call', { name: 'a' }))
  task = 'two'
  await fetch(url, message('tools/call', { name: 'a' }))
  assert.deepEqual(
    broker.asked.slice(-2).map(({ details }) => details?.task),
    ['one', 'two'],
  )
})

test('a nonce demanded by broker and server costs one more try each, with the same token', async () => {
  const [strict, strictServer] = await Promise.all([
    startBroker({ nonces: true }),
    startMcpServer({ nonces: true }),
  ])
  try {
    let identities = 0
    const { fetch } = createAgent({
      broker: strict.origin,
      identity: () => {
        identities += 1
        return IDENTITY
      },
    })
    const at = `${strictServer.origin}/mcp`
    assert.equal((await fetch(at, message('tools/call', { name: 'a' }))).status, 200)
    assert.equal(strict.asked.length, 1)
    assert.equal(identities, 1)
    const [first, second] = strictServer.received
    assert.equal(strictServer.received.length, 2)
    assert.equal(first?.authorization, second?.authorization)
    assert.notEqual(first?.headers.dpop, second?.headers.dpop)
    assert.equal(first?.body, second?.body)
    await fetch(at, message('tools/call', { name: 'a' }))
    assert.equal(strictServer.received.length, 3, 'the nonce is kept')
  } finally {
    await strict.close()
    await strictServer.close()
  }
})

const NONCE_CHALLENGE = { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': 'n' }

const once: [string, number, Record<string, string>, unknown][] = [
  ['a token that was refused', 401, {}, { error: 'invalid_token' }],
  [
    'a challenge for a nonce without one',
    401,
    { 'www-authenticate': 'DPoP error="use_dpop_nonce"' },
    {},
  ],
  [
    'a demand by another scheme',
    401,
    { 'www-authenticate': 'Bearer error="use_dpop_nonce"', 'dpop-nonce': 'n' },
    {},
  ],
  ['a nonce in passing', 401, { 'dpop-nonce': 'n' }, { error: 'invalid_token' }],
  ['a refusal of the action', 403, NONCE_CHALLENGE, { error: 'insufficient_scope' }],
  ['a failure', 500, NONCE_CHALLENGE, {}],
  ['an unavailable server', 503, { 'retry-after': '0', ...NONCE_CHALLENGE }, {}],
]
for (const [name, status, headers, body] of once) {
  test(`${name} (${status}) is not tried again: the call may have run`, async () => {
    const { fetch } = agentFor()
    const sent = server.received.length
    server.instead.push((_, response) => sendJson(response, status, body, headers))
    const outcome = await fetch(url, message('tools/call', { name: 'a' })).then(
      (response) => response.status,
      (error: WritError) => `${error.code} ${error.status}`,
    )
    assert.equal(outcome, status < 500 ? `server_refused ${status}` : status)
    assert.equal(server.received.length - sent, 1)
  })
}

test('a server that asks for a nonce for ever is asked twice', async () => {
  const { fetch } = agentFor()
  const sent = server.received.length
  for (let i = 0; i < 3; i++) {
    server.instead.push((_, response) =>
      sendJson(response, 401, { error: 'use_dpop_nonce' }, NONCE_CHALLENGE),
    )
  }
  await assert.rejects(
    fetch(url, message('tools/call', { name: 'a' })),
    refusedWith('server_refused', /use_dpop_nonce.*nonce twice/),
  )
  assert.equal(server.received.length - sent, 2)
  server.instead.length = 0
})

test('a lost connection after the body has left is the caller’s to see, once', async () => {
  const { fetch } = agentFor()
  const sent = server.received.length
  server.instead.push((_, response) => void response.destroy())
  await assert.rejects(fetch(url, message('tools/call', { name: 'a' })), TypeError)
  assert.equal(server.received.length - sent, 1)
})

test('a redirect carries no token away', async () => {
  const { fetch } = agentFor()
  const sent = server.received.length
  for (const status of [301, 302, 303, 307, 308]) {
    server.instead.push((_, response) => {
      response.writeHead(status, { location: `${server.origin}/elsewhere` }).end()
    })
    await assert.rejects(
      fetch(url, { ...message('tools/call', { name: 'a' }), redirect: 'follow' }),
      refusedWith('redirect_refused', /redirect/),
    )
  }
  assert.equal(server.received.length - sent, 5)
})

test('what cannot be bound to a token is not sent, and the broker is not asked', async () => {
  const { fetch } = agentFor()
  const asked = broker.asked.length
  const sent = server.received.length
  const cases: [string, string, RegExp][] = [
    ['a batch', '[]', /batch_refused/],
    [
      'two members of one name',
      '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
      /message_malformed/,
    ],
    [
      'a number that does not survive',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"n":9007199254740993}}}',
      /message_malformed/,
    ],
    [
      'an unknown method',
      '{"jsonrpc":"2.0","id":1,"method":"tools/destroy"}',
      /method_unknown tools\/destroy/,
    ],
    [
      'a member no hash covers',
      '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","task":{}}}',
      /message_malformed/,
    ],
  ]
  for (const [name, body, words] of cases) {
    await assert.rejects(
      fetch(url, { method: 'POST', body }),
      refusedWith('message_refused', words),
      name,
    )
  }
  assert.equal(broker.asked.length, asked)
  assert.equal(server.received.length, sent)
})

test('a token is never asked for where it could be read on the way, or sent to another origin', async () => {
  const { fetch } = agentFor()
  for (const at of [
    'http://mcp.example/mcp',
    'ftp://127.0.0.1/',
    'not a url',
    'https://u:p@mcp.example/',
  ]) {
    await assert.rejects(fetch(at, message('ping')), refusedWith('url_refused', /./), at)
  }
  for (const resource of ['https://other.example/mcp', 'other.example']) {
    const elsewhere = agentFor({ resource: () => resource })
    await assert.rejects(
      elsewhere.fetch(url, message('ping')),
      refusedWith('resource_refused', /other\.example/),
    )
  }
  assert.throws(
    () => createAgent({ broker: 'http://broker.example', identity: () => IDENTITY }),
    refusedWith('url_refused', /not encrypted/),
  )
})

test('misuse is a TypeError: a second Authorization, a body that is a stream, a method MCP has not', async () => {
  const { fetch } = agentFor()
  const cases: RequestInit[] = [
    { ...message('ping'), headers: { authorization: 'Bearer x' } },
    { method: 'POST', body: new ReadableStream() },
    { method: 'POST' },
    { method: 'PUT', body: '{}' },
  ]
  for (const init of cases) await assert.rejects(fetch(url, init), TypeError)
})

test('a resource may be named, and a bare host has no slash', async () => {
  const named = agentFor({ resource: (at) => `${at.origin}/canonical` })
  await named.fetch(url, message('ping'))
  assert.equal(broker.asked.at(-1)?.form.get('resource'), `${server.origin}/canonical`)
  await agentFor().fetch(server.origin, message('ping'))
  assert.equal(broker.asked.at(-1)?.form.get('resource'), server.origin)
})

test('a key that is given is the key that holds the tokens', async () => {
  const key = generateSenderKey('Ed25519')
  const agent = agentFor({ key })
  await agent.fetch(url, message('ping'))
  assert.equal(agent.thumbprint, key.jkt)
  assert.equal(broker.asked.at(-1)?.jkt, key.jkt)
})

test('a call that is cancelled while the token is being fetched is never sent', async () => {
  const controller = new AbortController()
  const { fetch } = agentFor({
    identity: () => {
      controller.abort(new Error('cancelled by the user'))
      return IDENTITY
    },
  })
  const sent = server.received.length
  const init = { ...message('tools/call', { name: 'a' }), signal: controller.signal }
  await assert.rejects(fetch(url, init), /cancelled by the user/)
  assert.equal(server.received.length, sent)
})

test('a stream arrives as it is sent, and ends when the caller aborts', async () => {
  const { fetch } = agentFor()
  let closed: Promise<void> | undefined
  server.instead.push((_, response) => {
    closed = new Promise((resolve) => response.on('close', () => resolve()))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
  })
  const controller = new AbortController()
  const init = { ...message('tools/call', { name: 'a' }), signal: controller.signal }
  const response = await fetch(url, init)
  const reader = response.body?.getReader()
  assert.match(Buffer.from((await reader?.read())?.value ?? []).toString(), /data: 1/)
  controller.abort()
  await assert.rejects(async () => await reader?.read())
  await closed
})
