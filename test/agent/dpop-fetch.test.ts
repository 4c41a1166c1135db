import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { after, before, beforeEach, test } from 'node:test'
import { createDpopFetch, generateSenderKey, WritError } from '../../src/agent/index.ts'
import { verifyProof } from '../../src/token/dpop.ts'
import { Nonces } from '../../src/token/nonce.ts'
import { type Running, readBody, sendJson, serve } from './servers.ts'

let servers: Running
let nonces: Nonces | undefined
let tokenType = 'DPoP'
let requests: { path: string; headers: IncomingMessage['headers']; body: string }[] = []

/** `/token` issues tokens; everything else takes them. Both want proofs, and a nonce when there are any. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request)
  const { headers, method = '', url: path = '' } = request
  requests.push({ path, headers, body })
  if (path === '/moved') return void response.writeHead(307, { location: '/token' }).end()
  if (path === '/plain') return sendJson(response, 200, {})
  const accessToken = /^DPoP (.*)$/.exec(headers.authorization ?? '')?.[1]
  try {
    await verifyProof([headers.dpop ?? []].flat(), {
      method,
      url: `${servers.origin}${path}`,
      now: Date.now() / 1000,
      nonces,
      accessToken,
    })
  } catch {
    const nonce = nonces?.issue(Date.now() / 1000) ?? 'n'
    const atToken = path === '/token'
    return sendJson(
      response,
      atToken ? 400 : 401,
      { error: 'use_dpop_nonce' },
      {
        'dpop-nonce': nonce,
        ...(!atToken && { 'www-authenticate': 'DPoP error="use_dpop_nonce"' }),
      },
    )
  }
  if (path !== '/token') return sendJson(response, 200, { ok: true })
  sendJson(response, 200, { access_token: `token-${requests.length}`, token_type: tokenType })
}

before(async () => {
  servers = await serve(answer)
})
beforeEach(() => {
  requests = []
  nonces = undefined
  tokenType = 'DPoP'
})
after(() => servers.close())

const form = () => new URLSearchParams({ grant_type: 'authorization_code', code: 'c' })

async function signIn(fetch: ReturnType<typeof createDpopFetch>): Promise<string> {
  const response = await fetch(`${servers.origin}/token`, { method: 'POST', body: form() })
  assert.equal(response.status, 200)
  return ((await response.json()) as { access_token: string }).access_token
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

for (const withNonces of [false, true]) {
  test(`an SDK's Bearer token becomes a bound one, ${withNonces ? 'with' : 'without'} nonces`, async () => {
    if (withNonces) nonces = new Nonces(randomBytes(32))
    const fetch = createDpopFetch()
    const token = await signIn(fetch)
    const response = await fetch(`${servers.origin}/mcp`, {
      method: 'POST',
      body: '{}',
      ...bearer(token),
    })
    assert.deepEqual(await response.json(), { ok: true })
    assert.equal(requests.length, withNonces ? 4 : 2)
    assert.equal(requests[0]?.body, form().toString())
    assert.equal(requests.at(-1)?.headers.authorization, `DPoP ${token}`)
    assert.equal(requests.at(-1)?.body, '{}')
    const proofs = requests.map(({ headers }) => headers.dpop)
    assert.equal(new Set(proofs).size, proofs.length, 'each try has a proof of its own')
  })
}

test('an authorization server that does not bind is not trusted to have bound, unless told so', async () => {
  tokenType = 'Bearer'
  const fetch = createDpopFetch()
  await assert.rejects(signIn(fetch), (error) => {
    assert.ok(error instanceof WritError)
    assert.equal(error.code, 'token_unbound')
    return true
  })
  const lenient = createDpopFetch({ allowBearer: true })
  const token = await signIn(lenient)
  await lenient(`${servers.origin}/plain`, bearer(token))
  assert.equal(requests.at(-1)?.headers.authorization, `Bearer ${token}`)
  assert.equal(requests.at(-1)?.headers.dpop, undefined)
})

for (const answer of [
  '{"access_token":"t","token_type":"Bearer","x":1,"x":2}',
  '{"access_token":"t","token_type":"Bearer","expires_in":1e400}',
  '{"access_token":"t"}',
]) {
  test(`a token that only a forgiving reader finds in an answer is not bound: ${answer}`, async () => {
    const send = async () => new Response(answer)
    const init = { method: 'POST', body: form() }
    const fetch = createDpopFetch({ fetch: send })
    await assert.rejects(fetch('https://as.example/token', init), { code: 'token_unbound' })
    const lenient = createDpopFetch({ fetch: send, allowBearer: true })
    assert.equal(await (await lenient('https://as.example/token', init)).text(), answer)
  })
}

test('a token of an earlier run is recognised by the key that it names', async () => {
  const key = generateSenderKey()
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const jwt = (jkt: string) => `${part({ alg: 'none' })}.${part({ cnf: { jkt } })}.c2ln`
  const fetch = createDpopFetch({ key })
  await fetch(`${servers.origin}/mcp`, bearer(jwt(key.jkt)))
  assert.match(requests.at(-1)?.headers.authorization ?? '', /^DPoP /)
  await fetch(`${servers.origin}/plain`, bearer(jwt(generateSenderKey().jkt)))
  assert.match(requests.at(-1)?.headers.authorization ?? '', /^Bearer /)
})

test('requests that are neither for a token nor with one pass as they are', async () => {
  const fetch = createDpopFetch()
  const cases: RequestInit[] = [
    {},
    { method: 'POST', body: '{"grant_type":"x"}', headers: { 'content-type': 'application/json' } },
    { method: 'POST', body: new URLSearchParams({ token: 't' }) },
    bearer('not-ours'),
    { headers: { authorization: 'Basic eDp5' } },
  ]
  for (const init of cases) {
    await fetch(`${servers.origin}/plain`, init)
    const { headers } = requests.at(-1) ?? assert.fail()
    assert.equal(headers.dpop, undefined)
    assert.equal(headers.authorization, new Headers(init.headers).get('authorization') ?? undefined)
  }
})

test('a redirect of a token request is handed back, not followed', async () => {
  const fetch = createDpopFetch()
  const response = await fetch(`${servers.origin}/moved`, { method: 'POST', body: form() })
  assert.equal(response.status, 307)
  assert.equal(requests.length, 1)
})

test('a body that can be sent once is sent once, even when a nonce is demanded', async () => {
  const fetch = createDpopFetch()
  const token = await signIn(fetch)
  nonces = new Nonces(randomBytes(32))
  const init = { method: 'POST', body: new Blob(['{}']).stream(), duplex: 'half', ...bearer(token) }
  const response = await fetch(`${servers.origin}/mcp`, init as RequestInit)
  assert.equal(response.status, 401)
  assert.equal(requests.length, 2)
})

test('a token request is never sent where it could be read on the way', async () => {
  const fetch = createDpopFetch({ fetch: () => assert.fail('sent') })
  const init = { method: 'POST', body: form() }
  await assert.rejects(fetch('http://as.example/token', init), { code: 'url_refused' })
})

for (const [what, status, times] of [
  ['asks for a nonce for ever', 400, 2],
  ['asks for a nonce in an answer that is no refusal', 200, 1],
] as const) {
  test(`an authorization server that ${what} is asked ${times === 1 ? 'once' : 'twice'}`, async () => {
    let asked = 0
    const send = async () => {
      asked += 1
      const headers = { 'dpop-nonce': `n${asked}` }
      return new Response('{"error":"use_dpop_nonce"}', { status, headers })
    }
    const fetch = createDpopFetch({ fetch: send, allowBearer: true })
    const response = await fetch('https://as.example/token', { method: 'POST', body: form() })
    assert.equal(response.status, status)
    assert.equal(asked, times)
  })
}

test('a bound token is never sent where it could be read on the way', async () => {
  const key = generateSenderKey()
  const claims = Buffer.from(JSON.stringify({ cnf: { jkt: key.jkt } })).toString('base64url')
  const fetch = createDpopFetch({ key, fetch: () => assert.fail('sent') })
  const sent = fetch('http://mcp.example/mcp', bearer(`e30.${claims}.c2ln`))
  await assert.rejects(sent, { code: 'url_refused' })
})
