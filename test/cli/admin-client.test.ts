import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { health, listOf, revocation } from '../../src/admin/schemas.ts'
import { type AdminClient, clientOfLogin } from '../../src/cli/admin-client.ts'
import { CliError } from '../../src/cli/answer.ts'
import { followEvents } from '../../src/cli/event-stream.ts'
import { countHits } from '../../src/cli/revoke-preview.ts'
import { waitForHolders } from '../../src/cli/revoke-wait.ts'
import type { SavedLogin } from '../../src/cli/saved-login.ts'
import type { Revocation } from '../../src/revocation/target.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { type Received, type Reply, type StandIn, standIn } from './stand-in.ts'

const HEALTH = {
  ready: true,
  checks: { store: 'ok' },
  feed: { fresh: true, revocations: 0 },
  policyVersion: 'p',
  catalogueVersion: 'c',
  now: 1,
}
const problem = (status: number, code: string, more = {}, headers = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  body: { type: `x/${code}`, title: 'It is so', status, code, ...more },
})

/** A client with a sign-in whose tokens are `token-1`, `token-2` …, against these replies in order. */
async function clientFor(t: TestContext, replies: readonly Reply[]) {
  let at = 0
  const server: StandIn = await standIn(() => replies[Math.min(at++, replies.length - 1)] ?? {})
  t.after(() => server.close())
  let tokens = 1
  const told = { signedInAgain: 0 }
  const login: SavedLogin = {
    url: server.url,
    key: generateSenderKey(),
    async accessToken(refused) {
      if (refused === `token-${tokens}`) tokens += 1
      return `token-${tokens}`
    },
    async signInAgain() {
      told.signedInAgain += 1
    },
  }
  return { admin: clientOfLogin(login), received: server.received, told }
}

const getHealth = (admin: AdminClient) => admin.get('/v1/health', health)
const postOne = (admin: AdminClient) =>
  admin.post('/v1/revocations', listOf(revocation), { targets: [], reason: 'x' }, { key: 'k-1' })

test('each request has the token and a proof of its own; members nobody knows come through', async (t) => {
  const { admin, received } = await clientFor(t, [{ body: { ...HEALTH, later: 1 } }])
  assert.deepEqual(await getHealth(admin), { ...HEALTH, later: 1 })
  await getHealth(admin)
  const [one, two] = received.map(({ headers }) => headers)
  assert.equal(one?.authorization, 'DPoP token-1')
  assert.notEqual(one?.dpop, two?.dpop)
})

test('a token that is not accepted is renewed once, and not for ever', async (t) => {
  const over = problem(401, 'signin_required')
  const { admin, received } = await clientFor(t, [over, { body: HEALTH }])
  await getHealth(admin)
  assert.deepEqual(
    received.map(({ headers }) => headers.authorization),
    ['DPoP token-1', 'DPoP token-2'],
  )
  const never = await clientFor(t, [over])
  const error = await getHealth(never.admin).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof CliError)
  assert.deepEqual([error.code, never.received.length], ['refused', 2])
  assert.match(String(error.hint), /^run writ login --url http/)
})

test('a demanded nonce is given with the same token', async (t) => {
  const headers = { 'dpop-nonce': 'n', 'www-authenticate': 'DPoP error="use_dpop_nonce"' }
  const { admin, received } = await clientFor(t, [
    problem(401, 'nonce_required', {}, headers),
    { body: HEALTH },
  ])
  await getHealth(admin)
  const claims = String(received[1]?.headers.dpop).split('.')[1] ?? ''
  assert.equal(JSON.parse(Buffer.from(claims, 'base64url').toString()).nonce, 'n')
  assert.equal(received[1]?.headers.authorization, 'DPoP token-1')
})

const sent = ({ headers, body }: Received) => [headers['idempotency-key'], body]

test('where a touch is asked for, somebody signs in again and the very request is sent again', async (t) => {
  const { admin, received, told } = await clientFor(t, [
    problem(403, 'touch_required'),
    { status: 201, body: { items: [] } },
  ])
  await postOne(admin)
  assert.equal(told.signedInAgain, 1)
  assert.deepEqual(sent(received[0]!), sent(received[1]!))
  const endless = await clientFor(t, [problem(403, 'touch_required')])
  await assert.rejects(postOne(endless.admin), CliError)
  assert.equal(endless.told.signedInAgain, 1)
})

test('a request that is being worked on is sent again under its key; any other conflict is told', async (t) => {
  const { admin, received } = await clientFor(t, [
    problem(409, 'conflict', {}, { 'retry-after': '1' }),
    { status: 201, body: { items: [] } },
  ])
  await postOne(admin)
  assert.deepEqual(sent(received[0]!), sent(received[1]!))
  const other = await clientFor(t, [problem(409, 'conflict')])
  await assert.rejects(postOne(other.admin), { code: 'refused' })
  assert.equal(other.received.length, 1)
})

/** Each: what comes back, and the end of the command. */
const ends: [string, Reply, CliError['code'], RegExp][] = [
  [
    'a role',
    problem(403, 'role_insufficient', { detail: 'this needs the role admin' }),
    'refused',
    /^it is so: this needs/,
  ],
  ['nothing there', problem(404, 'not_found'), 'refused', /^it is so$/],
  [
    'a wrong request',
    problem(400, 'request_invalid', { pointer: '/targets/0' }),
    'usage',
    /it is so/,
  ],
  ['a store that is away', problem(503, 'ledger_unavailable'), 'unavailable', /it is so/],
  [
    'words that move the cursor',
    problem(404, 'not_found', { detail: '\u001b[2J' }),
    'refused',
    /\\u\{1b\}\[2J$/,
  ],
  ['no JSON', { body: '<html>' }, 'unavailable', /not understood/],
  ['another thing', { body: { ready: 'maybe' } }, 'unavailable', /not understood/],
  ['another server', { status: 502, body: '<html>' }, 'unavailable', /answered 502/],
  [
    'a redirect',
    { status: 302, headers: { location: 'https://evil.example' } },
    'unavailable',
    /answered 302/,
  ],
  ['a cut connection', { cut: true }, 'unavailable', /nobody answers/],
]
for (const [title, reply, code, words] of ends) {
  test(`${title}: the command ends with ${code}`, async (t) => {
    const { admin } = await clientFor(t, [reply])
    const error = await getHealth(admin).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof CliError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, words)
    assert.doesNotMatch(`${error.message} ${error.hint}`, /token-\d/)
  })
}

test('a stream that breaks goes on after the last event that was heard', async (t) => {
  const event = (id: string) => `event: session\nid: ${id}\ndata: ${id}\n\n`
  const { admin, received } = await clientFor(t, [
    { headers: { 'content-type': 'text/event-stream' }, body: event('r.1') + event('r.2') },
    { cut: true },
    { headers: { 'content-type': 'text/event-stream' }, body: event('r.3') },
  ])
  const stop = new AbortController()
  const heard: string[] = []
  for await (const { data } of followEvents(admin, { signal: stop.signal })) {
    heard.push(data)
    if (data === 'r.3') stop.abort()
  }
  assert.deepEqual(heard, ['r.1', 'r.2', 'r.3'])
  assert.deepEqual(
    received.slice(0, 3).map(({ headers }) => headers['last-event-id']),
    [undefined, 'r.2', 'r.2'],
  )
})

test('a no ends the following: asking again would not change it', async (t) => {
  const { admin } = await clientFor(t, [problem(403, 'role_insufficient')])
  const following = followEvents(admin, { signal: new AbortController().signal }).next()
  await assert.rejects(following, { code: 'refused' })
})

test('an id that cannot be sent back ends the following', async (t) => {
  for (const id of ['é', 'x\u0007', 'x'.repeat(1025)]) {
    const headers = { 'content-type': 'text/event-stream' }
    const body = `event: session\nid: ${id}\ndata: {}\n\n`
    const { admin, received } = await clientFor(t, [{ headers, body }])
    const following = followEvents(admin, { signal: AbortSignal.timeout(20_000) }).next()
    await assert.rejects(following, { code: 'unavailable', message: /not understood/ })
    assert.equal(received.length, 1)
  }
})

test('who is silent is named when a revocation is waited for, and keeps nobody waiting', async (t) => {
  const made = { id: 'r', target: { kind: 'task', value: 'x' }, at: 1, reason: 'x', by: 'cli:a' }
  const holder = (id: string, silent: boolean, holds: boolean) => ({
    ...{ id, kind: 'verifier', server: 'https://mcp.test/mcp', lastHeardAt: 1 },
    ...{ silent, holds, fresh: !silent, lost: 0 },
  })
  const items = [holder('heard', false, true), holder('gone', true, false), holder('b', true, true)]
  const state = { state: 'live', canUndo: true, command: 'x' }
  const body = { ...made, ...state, holders: { holding: 1, all: 1, items } }
  const { admin, received } = await clientFor(t, [{ body }])
  const { all, json, text } = await waitForHolders(admin, [made as Revocation])
  assert.deepEqual([all, received.length], [true, 1])
  assert.deepEqual(json, { holding: 1, all: 1, missing: [], silent: ['gone'] })
  assert.match(text, /^1 of 1 holders; 1 silent: gone \(https:\/\/mcp\.test\/mcp\); /)
})

test('a stop does not wait for a broker, or a sign-in, that does not say whom it hits', async (t) => {
  const cut = Promise.withResolvers<void>()
  const server = createServer((request) => request.socket.once('close', () => cut.resolve()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.closeAllConnections())
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const key = generateSenderKey()
  const targets = [{ kind: 'task', value: 'x' }] as const
  for (const accessToken of [async () => 'token', () => new Promise<string>(() => {})]) {
    const login = { url: `http://127.0.0.1:${port}`, key, accessToken, signInAgain: async () => {} }
    assert.equal(await countHits(clientOfLogin(login), targets), undefined)
  }
  await cut.promise
})
