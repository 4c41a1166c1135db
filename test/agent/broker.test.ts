import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { hashArguments } from '../../src/action/hash.ts'
import type { GrantedDetail } from '../../src/action/mcp-action.ts'
import { createAgent, WritError } from '../../src/agent/index.ts'
import {
  IDENTITY,
  message,
  type Running,
  sendJson,
  serve,
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

async function refusalOf(call: Promise<unknown>): Promise<WritError> {
  const error: unknown = await call.then(
    () => assert.fail('the call went through'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof WritError, `${error}`)
  assert.doesNotMatch(inspect(error, { depth: 9 }), new RegExp(`${IDENTITY}|p{80}`))
  return error
}

const call = (agent = agentFor()) => agent.fetch(url, message('tools/call', { name: 'pay' }))

test('the metadata is read once, and again only after it could not be had', async () => {
  const agent = agentFor()
  const before = broker.metadataRequests
  broker.metadata = { token_endpoint: 7 }
  assert.equal((await refusalOf(call(agent))).code, 'broker_misconfigured')
  broker.metadata = {}
  await Promise.all([call(agent), call(agent)])
  await call(agent)
  assert.equal(broker.metadataRequests - before, 2)
})

for (const path of ['/tenant/a', '/tenant/a/']) {
  test(`an issuer with the path ${path} has its metadata where RFC 8414 puts it`, async () => {
    const tenant = await startBroker({ path })
    try {
      assert.equal((await call(agentFor({ broker: tenant.origin }))).status, 200)
    } finally {
      await tenant.close()
    }
  })
}

const issuers: [string, (origin: string) => string][] = [
  ['another issuer', () => 'https://evil.example'],
  ['a trailing slash', (origin) => `${origin}/`],
  ['capitals', (origin) => origin.toUpperCase()],
]
for (const [name, issuer] of issuers) {
  test(`metadata that names ${name} is not believed, and the identity stays here`, async () => {
    broker.metadata = { issuer: issuer(broker.origin) }
    const asked = broker.asked.length
    const error = await refusalOf(call())
    broker.metadata = {}
    assert.equal(error.code, 'broker_misconfigured')
    assert.match(error.message, /issuer/)
    assert.equal(broker.asked.length, asked)
  })
}

test('metadata in an answer that is not 200 is not believed', async () => {
  const failing: Running = await serve((_, response) => {
    const { origin } = failing
    sendJson(response, 404, { issuer: origin, token_endpoint: `${broker.origin}/token` })
  })
  const asked = broker.asked.length
  const error = await refusalOf(call(agentFor({ broker: failing.origin })))
  await failing.close()
  assert.equal(error.code, 'broker_misconfigured')
  assert.equal(broker.asked.length, asked)
})

test('a token endpoint that is not encrypted is not used', async () => {
  broker.metadata = { token_endpoint: 'http://broker.example/token' }
  const error = await refusalOf(call())
  broker.metadata = {}
  assert.equal(error.code, 'url_refused')
})

const refusals: [number, Record<string, unknown>, RegExp][] = [
  [
    400,
    { error: 'invalid_target', error_description: 'unknown server' },
    /invalid_target: unknown server; .*registered/,
  ],
  [
    400,
    { error: 'invalid_request', error_description: 'subject_token was not accepted' },
    /audience/,
  ],
  [
    400,
    { error: 'invalid_authorization_details' },
    /invalid_authorization_details: .*not permitted$/,
  ],
  [400, { error: 'invalid_dpop_proof' }, /clock/],
  [400, { error: 'something_new' }, /something_new$/],
  [503, { error: 'temporarily_unavailable' }, /try again later/],
  [500, {}, /HTTP 500/],
  // Only 200 says that a token was issued (RFC 6749 §5.1).
  [202, { access_token: 'a.b.c', token_type: 'DPoP' }, /HTTP 202/],
  // Nothing to answer it with.
  [400, { error: 'use_dpop_nonce' }, /use_dpop_nonce/],
]
for (const [status, body, words] of refusals) {
  test(`the broker's ${status} ${body.error ?? 'without words'} is told in words, and asked for once`, async () => {
    let requests = 0
    broker.instead.push((_, response) => {
      requests += 1
      sendJson(response, status, body)
    })
    const sent = server.received.length
    const error = await refusalOf(call())
    assert.equal(error.code, 'token_refused')
    assert.equal(error.status, status)
    assert.equal(error.error, body.error)
    assert.match(error.message, words)
    assert.match(error.message, /tools\/call "pay"/)
    assert.equal(requests, 1)
    assert.equal(server.received.length, sent, 'without a token nothing is sent')
  })
}

test('a party that repeats the credential it was sent does not get it into an error', async () => {
  const echo = (text: string) => (_: unknown, response: ServerResponse) =>
    sendJson(response, 400, { error: text, error_description: `was\n${text} and\u202e more` })
  broker.instead.push(echo(IDENTITY))
  const atBroker = await refusalOf(call())
  assert.match(atBroker.message, /was \[removed\] and more/)

  server.instead.push((request, response) => {
    const said = `${request.headers.authorization} ${request.headers.dpop}`
    sendJson(response, 401, { error: 'invalid_token', error_description: said })
  })
  const atServer = await refusalOf(call())
  assert.doesNotMatch(inspect(atServer), /eyJ/)
})

const answers: [string, Record<string, unknown>][] = [
  ['no token', { access_token: undefined }],
  ['a token that splits the header', { access_token: 'a\r\nx: y' }],
  ['a Bearer token', { token_type: 'Bearer' }],
  [
    'something that is not an access token',
    { issued_token_type: 'urn:ietf:params:oauth:token-type:jwt' },
  ],
  ['no word about what it issued', { issued_token_type: undefined }],
  ['a token without an end', { expires_in: undefined }],
  ['a token that has ended', { expires_in: 0 }],
  ['no details', { authorization_details: undefined }],
  ['details that are no list', { authorization_details: {} }],
]
for (const [name, answer] of answers) {
  test(`an answer with ${name} is not used`, async () => {
    broker.answer = answer
    const sent = server.received.length
    const error = await refusalOf(call())
    broker.answer = {}
    assert.equal(error.code, 'broker_misconfigured')
    assert.equal(server.received.length, sent)
  })
}

const parts: [string, Partial<GrantedDetail>][] = [
  ['another tool', { identifier: 'other' }],
  ['another server', { locations: ['https://mcp.example/mcp'] }],
  ['another method', { actions: ['prompts/get'] }],
  ['other arguments', { arguments_hash: hashArguments({ to: 'somebody else' }) }],
  ['another round', { input_hash: hashArguments({}) }],
  ['another type', { type: 'payment' as 'mcp_action' }],
  ['uses without number', { max_uses: Number.MAX_SAFE_INTEGER }],
]
test('an answer that grants anything but the action that was asked for is not used', async () => {
  const right: GrantedDetail = {
    type: 'mcp_action',
    locations: [url],
    actions: ['tools/call'],
    identifier: 'pay',
    arguments_hash: hashArguments({}),
    hash_alg: 'sha-256',
    max_uses: 1,
  }
  broker.answer = { authorization_details: [right] }
  assert.equal((await call()).status, 200)
  const sent = server.received.length
  const wrong = parts.map(([name, part]): [string, unknown] => [name, [{ ...right, ...part }]])
  for (const [name, details] of [...wrong, ['two grants', [right, right]], ['none', []]]) {
    broker.answer = { authorization_details: details }
    assert.equal((await refusalOf(call())).code, 'broker_misconfigured', `${name}`)
  }
  broker.answer = {}
  assert.equal(server.received.length, sent)
})

test('a nonce that the broker asks for again and again is tried once', async () => {
  let requests = 0
  for (let i = 0; i < 3; i++) {
    broker.instead.push((_, response) => {
      requests += 1
      sendJson(response, 400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': `n${requests}` })
    })
  }
  const error = await refusalOf(call())
  broker.instead.length = 0
  assert.equal(error.error, 'use_dpop_nonce')
  assert.equal(requests, 2)
})

test('a call that is cancelled while the broker is asked says so, and is never sent', async () => {
  const answers: ((response: ServerResponse) => void)[] = [
    () => {},
    (response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{')
    },
  ]
  const sent = server.received.length
  for (const answer of answers) {
    const controller = new AbortController()
    broker.instead.push((_, response) => {
      answer(response)
      setTimeout(() => controller.abort(new Error('cancelled by the user')), 30)
    })
    const init = { ...message('tools/call', { name: 'pay' }), signal: controller.signal }
    await assert.rejects(agentFor().fetch(url, init), /^Error: cancelled by the user$/)
  }
  assert.equal(server.received.length, sent)
})

test('a redirect of the token request carries no identity away', async () => {
  broker.instead.push((_, response) => {
    response.writeHead(307, { location: `${server.origin}/token` }).end()
  })
  const sent = server.received.length
  assert.equal((await refusalOf(call())).code, 'redirect_refused')
  assert.equal(server.received.length, sent)
})

test('an answer without end does not fill the memory', async () => {
  broker.instead.push((_, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(`{"error":"invalid_target"}${' '.repeat(300_000)}`)
  })
  const error = await refusalOf(call())
  assert.equal(error.code, 'token_refused')
  assert.equal(error.error, undefined, 'what follows after 256 KiB is not read')
})

test('a broker that is not there is told apart from one that refuses', async () => {
  const gone = await startBroker()
  await gone.close()
  const error = await refusalOf(call(agentFor({ broker: gone.origin })))
  assert.equal(error.code, 'broker_unreachable')
  assert.match(error.message, /check that it runs/)
})

test('an identity from a file may end in a newline', async () => {
  await call(agentFor({ identity: async () => `${IDENTITY}\n` }))
  assert.equal(broker.asked.at(-1)?.form.get('subject_token'), IDENTITY)
})

test('an identity that cannot be had is told in words, with its cause', async () => {
  const cause = new Error('the workload API is not there')
  const failing = () => Promise.reject(cause)
  const error = await refusalOf(call(agentFor({ identity: failing })))
  assert.equal(error.code, 'identity_unavailable')
  assert.equal(error.cause, cause)
  for (const nothing of ['', 'not a jwt', 'a.b', undefined as unknown as string]) {
    const refused = await refusalOf(call(agentFor({ identity: () => nothing })))
    assert.equal(refused.code, 'identity_unavailable')
  }
})
