import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { CliError } from '../../src/cli/answer.ts'
import { type Prompt, signInByDevice } from '../../src/cli/device-flow.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { METADATA, metadataOf, type Received, type Reply, standIn } from './stand-in.ts'

const BEGUN = {
  device_code: 'the-device-code',
  user_code: 'BCDF-GHJK',
  expires_in: 600,
  interval: 5,
}
const TOKENS = {
  access_token: 'access',
  refresh_token: 'refresh',
  token_type: 'DPoP',
  expires_in: 900,
}
const no = (error: string, headers = {}): Reply => ({ status: 400, body: { error }, headers })

interface Script {
  readonly metadata?: (url: string) => Reply
  readonly begun?: (url: string) => Reply
  /** One for each poll; the last stays. */
  readonly polls?: readonly Reply[]
}

/** What a sign-in says, waits and shows against a server with this script. */
async function signIn(t: TestContext, script: Script) {
  let polls = 0
  const server = await standIn((received, url) => {
    if (received.path === METADATA) return script.metadata?.(url) ?? { body: metadataOf(url) }
    if (received.path === '/oauth/device_authorization') {
      const begun = { ...BEGUN, verification_uri: `${url}/sign-in/device` }
      return script.begun?.(url) ?? { body: begun }
    }
    const all = script.polls ?? [{ body: TOKENS }]
    return all[Math.min(polls++, all.length - 1)] ?? {}
  })
  t.after(() => server.close())
  const waits: number[] = []
  const shown: Prompt[] = []
  const outcome = await signInByDevice({
    url: server.url,
    scope: 'writ:viewer',
    key: generateSenderKey(),
    show: (prompt) => void shown.push(prompt),
    wait: async (ms) => void waits.push(ms / 1000),
  }).catch((error: unknown) => error)
  return { outcome, waits, shown, server }
}

test('the code is shown, and asked for with proofs of one key until somebody has signed in', async (t) => {
  const pending = no('authorization_pending')
  const { outcome, waits, shown, server } = await signIn(t, {
    polls: [pending, pending, { body: TOKENS }],
  })
  assert.ok(!(outcome instanceof Error), String(outcome))
  const { accessToken, refreshToken, scope } = outcome as Record<string, unknown>
  assert.deepEqual([accessToken, refreshToken, scope], ['access', 'refresh', 'writ:viewer'])
  assert.deepEqual(waits, [5, 5, 5])
  assert.deepEqual(
    shown.map(({ code, url }) => [code, url]),
    [['BCDF-GHJK', `${server.url}/sign-in/device`]],
  )
  const posts = server.received.filter(({ method }) => method === 'POST')
  const keys = posts.map(({ headers }) => jwkOf(headers.dpop))
  assert.equal(new Set(keys).size, 1)
  const [begun, poll] = posts.map(({ body }) => Object.fromEntries(new URLSearchParams(body)))
  assert.deepEqual(begun, { client_id: 'writ-cli', scope: 'writ:viewer', resource: server.url })
  assert.equal(poll?.device_code, 'the-device-code')
})

function jwkOf(proof: Received['headers'][string]): string {
  const [header = ''] = String(proof).split('.')
  return JSON.stringify(JSON.parse(Buffer.from(header, 'base64url').toString()).jwk)
}

test('slow_down makes every later poll slower, a cut connection too', async (t) => {
  const pending = no('authorization_pending')
  const polls = [pending, no('slow_down'), pending, { cut: true } as const, { body: TOKENS }]
  const { outcome, waits } = await signIn(t, { polls })
  assert.ok(!(outcome instanceof Error), String(outcome))
  assert.deepEqual(waits, [5, 5, 10, 10, 20])
})

test('a server that has trouble is asked less often, until the code is over', async (t) => {
  const trouble = (status: number, headers = {}, body: unknown = '<html>') => ({
    status,
    headers,
    body,
  })
  const polls = [
    ...[trouble(503), trouble(500, {}, { error: 'server_error' })],
    ...[trouble(502, { 'retry-after': '45' }), { body: TOKENS }],
  ]
  const { outcome, waits } = await signIn(t, { polls })
  assert.ok(!(outcome instanceof Error), String(outcome))
  assert.deepEqual(waits, [5, 10, 20, 45])
  const endless = await signIn(t, { polls: [trouble(503, { 'retry-after': '100000' })] })
  assert.deepEqual(endless.waits, [5, BEGUN.expires_in - 5])
  assert.match(String(endless.outcome), /nobody signed in in time/)
})

test('a server that says when to come again is believed', async (t) => {
  const busy = { status: 429, body: { error: 'slow_down' }, headers: { 'retry-after': '30' } }
  const { waits } = await signIn(t, { polls: [busy, { body: TOKENS }] })
  assert.deepEqual(waits, [5, 30])
})

test('a demanded nonce is given, once', async (t) => {
  const headers = { 'dpop-nonce': 'n-1' }
  const { outcome, server } = await signIn(t, {
    polls: [no('use_dpop_nonce', headers), { body: TOKENS }],
  })
  assert.ok(!(outcome instanceof Error), String(outcome))
  const payload = String(server.received.at(-1)?.headers.dpop).split('.')[1] ?? ''
  assert.equal(JSON.parse(Buffer.from(payload, 'base64url').toString()).nonce, 'n-1')
  const endless = await signIn(t, { polls: [no('use_dpop_nonce', headers)] })
  assert.ok(endless.outcome instanceof CliError)
})

const uri = (url: string) => ({ verification_uri: `${url}/sign-in/device` })
/** Each: what the server does, the error code of the command, and its words. */
const ends: [string, Script, CliError['code'], RegExp][] = [
  ['somebody says no', { polls: [no('access_denied')] }, 'refused', /refused in the browser/],
  ['the code is over', { polls: [no('expired_token')] }, 'refused', /in time/],
  [
    'nobody ever comes',
    {
      polls: [no('authorization_pending')],
      begun: (url) => ({ body: { ...BEGUN, ...uri(url), expires_in: 20 } }),
    },
    'refused',
    /in time/,
  ],
  ['the grant is refused', { polls: [no('invalid_grant')] }, 'refused', /invalid_grant/],
  [
    'an error that could move the cursor is not repeated',
    { polls: [no('\u001b[2J')] },
    'refused',
    /an error of its own$/,
  ],
  [
    'tokens that anybody could use',
    { polls: [{ body: { ...TOKENS, token_type: 'Bearer' } }] },
    'unavailable',
    /not bound/,
  ],
  [
    'no token to renew with',
    { polls: [{ body: { ...TOKENS, refresh_token: undefined } }] },
    'unavailable',
    /not bound/,
  ],
  ['the scope is refused', { begun: () => no('invalid_scope') }, 'refused', /invalid_scope/],
  [
    'a page elsewhere',
    { begun: () => ({ body: { ...BEGUN, verification_uri: 'https://evil.example/' } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'a code that is no code',
    { begun: (url) => ({ body: { ...BEGUN, ...uri(url), user_code: 'a\u001b[2Jb' } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'no device code',
    { begun: (url) => ({ body: { ...BEGUN, ...uri(url), device_code: undefined } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'a code that is a number',
    { begun: (url) => ({ body: { ...BEGUN, ...uri(url), user_code: 12_345 } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'a code that is good for ever',
    { begun: (url) => ({ body: { ...BEGUN, ...uri(url), expires_in: 1801 } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'a code that is over',
    { begun: (url) => ({ body: { ...BEGUN, ...uri(url), expires_in: 0 } }) },
    'unavailable',
    /cannot be followed/,
  ],
  [
    'no access token',
    { polls: [{ body: { ...TOKENS, access_token: undefined } }] },
    'unavailable',
    /not bound/,
  ],
  [
    'a scope that is no text',
    { polls: [{ body: { ...TOKENS, scope: 1 } }] },
    'unavailable',
    /not bound/,
  ],
  [
    'another issuer',
    { metadata: (url) => ({ body: { ...metadataOf(url), issuer: 'https://other.example' } }) },
    'unavailable',
    /another name/,
  ],
  [
    'a token endpoint elsewhere',
    {
      metadata: (url) => ({
        body: { ...metadataOf(url), token_endpoint: 'https://evil.example/t' },
      }),
    },
    'unavailable',
    /no sign-in for a command line/,
  ],
  [
    'no metadata',
    { metadata: () => ({ status: 404, body: 'x' }) },
    'unavailable',
    /it answered 404/,
  ],
  [
    'a redirect',
    { metadata: () => ({ status: 302, headers: { location: '/' } }) },
    'unavailable',
    /it answered 302/,
  ],
]
for (const [title, script, code, words] of ends) {
  test(`no sign-in: ${title}`, async (t) => {
    const { outcome } = await signIn(t, script)
    assert.ok(outcome instanceof CliError, String(outcome))
    assert.equal(outcome.code, code)
    assert.match(outcome.message, words)
    assert.doesNotMatch(`${outcome.message}${outcome.hint}`, /the-device-code/)
  })
}
