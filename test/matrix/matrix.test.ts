/**
 * Official clients against official servers, through every gate: a call works, every wrong use of
 * its token is refused with the status the specifications ask for, and the client is told in words.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createAgent, type Fetch, generateSenderKey } from '../../src/agent/index.ts'
import { decodeBase64url } from '../../src/lib/base64url.ts'
import type { TokenClaims } from '../../src/token/claims.ts'
import { makeProof, type SenderKey } from '../../src/token/proof.ts'
import { startBroker } from './broker.ts'
import { CLIENTS, type ConnectedClient } from './clients.ts'
import { GATES, reserve, serveV1, serveV2, startServer, TOOLS } from './servers.ts'

/** SDK v1's server knows the older era only. */
const SERVERS = {
  'SDK v1': { serve: serveV1, clients: ['SDK v1', 'SDK v2, older era'] },
  'SDK v2': { serve: serveV2, clients: Object.keys(CLIENTS) },
}

const combinations = Object.keys(GATES).flatMap((gate) =>
  Object.entries(SERVERS).map(([sdk, server]) => ({ gate, sdk, ...server })),
)

// Places first: a broker is started with the servers it knows.
const places = await Promise.all(combinations.map(reserve))
const otherPlace = await reserve()
const broker = await startBroker(
  [...places, otherPlace].map(({ url }) => url),
  TOOLS,
)
const elsewhere = await startServer(otherPlace, 'node', serveV2(), broker.issuer)

after(async () => {
  await elsewhere.close()
  await broker.close()
})

/** A request as it would have left the agent. */
interface Held {
  readonly url: string
  readonly body: string
  readonly headers: Headers
}

/** An agent whose next call can be stopped at the last moment, or changed on its way. */
function startAgent() {
  const key = generateSenderKey()
  const way: { held?: Held; hold: boolean; change?: (body: string) => string } = { hold: false }
  const fetch: Fetch = async (input, init) => {
    const headers = new Headers(init?.headers)
    const isCall = String(init?.body).includes('"tools/call"') && headers.has('authorization')
    if (isCall && way.hold) {
      way.held = { url: String(input), body: String(init?.body), headers }
      throw new Error('held')
    }
    const body = isCall && way.change !== undefined ? way.change(String(init?.body)) : init?.body
    return globalThis.fetch(input, { ...init, body: body ?? null })
  }
  const agent = createAgent({ broker: broker.issuer, identity: broker.identity, key, fetch })
  return { agent, key, way }
}

async function hold(
  client: ConnectedClient,
  way: ReturnType<typeof startAgent>['way'],
  text: string,
) {
  way.hold = true
  await assert.rejects(client.call('add', text))
  way.hold = false
  assert.ok(way.held)
  return way.held
}

const tokenOf = (held: Held) => (held.headers.get('authorization') ?? '').replace(/^DPoP /, '')

function claimsOf(token: string): TokenClaims {
  return JSON.parse(String(decodeBase64url(token.split('.')[1] ?? '')))
}

interface Changes {
  readonly url?: string
  readonly body?: string
  readonly token?: string
  readonly key?: SenderKey
  readonly headers?: Record<string, string | undefined>
}

/** Sends a held request with a proof of its own, after some changes. */
async function send(held: Held, key: SenderKey, changes: Changes = {}) {
  const url = changes.url ?? held.url
  const token = changes.token ?? tokenOf(held)
  const headers = new Headers(held.headers)
  headers.set('authorization', `DPoP ${token}`)
  const proof = { method: 'POST', url, now: Date.now() / 1000, accessToken: token }
  headers.set('dpop', makeProof(changes.key ?? key, proof))
  for (const [name, value] of Object.entries(changes.headers ?? {})) {
    if (value === undefined) headers.delete(name)
    else headers.set(name, value)
  }
  const response = await fetch(url, { method: 'POST', headers, body: changes.body ?? held.body })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

const past = (claims: TokenClaims): TokenClaims => ({
  ...claims,
  iat: claims.iat - 90,
  exp: claims.exp - 90,
})

/** Wrong uses of one right token, the status each gets, and the words. */
const attacks: {
  title: string
  status: number
  says: RegExp
  changes: (held: Held) => Changes
}[] = [
  {
    title: 'changed arguments',
    status: 403,
    says: /other arguments/,
    changes: ({ body }) => ({ body: body.replace('"text":"', '"text":"not ') }),
  },
  {
    title: 'another tool',
    status: 403,
    says: /another tool/,
    changes: ({ body, headers }) => ({
      body: body.replace('"name":"add"', '"name":"drop"'),
      headers: headers.has('mcp-name') ? { 'mcp-name': 'drop' } : {},
    }),
  },
  {
    title: 'another server',
    status: 401,
    says: /another server/,
    changes: () => ({ url: elsewhere.url, headers: { 'mcp-session-id': undefined } }),
  },
  {
    title: 'no proof',
    status: 401,
    says: /a proof of the token.s key is needed/,
    changes: () => ({ headers: { dpop: undefined } }),
  },
  {
    title: 'another key',
    status: 401,
    says: /another key/,
    changes: () => ({ key: generateSenderKey() }),
  },
  {
    title: 'no token',
    status: 401,
    says: /token is needed/,
    changes: () => ({ headers: { authorization: undefined } }),
  },
  {
    title: 'the token as Bearer',
    status: 401,
    says: /DPoP scheme/,
    changes: (held) => ({ headers: { authorization: `Bearer ${tokenOf(held)}` } }),
  },
  {
    title: 'an expired token',
    status: 401,
    says: /expired/,
    changes: (held) => ({ token: broker.sign(past(claimsOf(tokenOf(held)))) }),
  },
  {
    title: 'a batch',
    status: 400,
    says: /-32600.*one message per request|one message per request.*-32600/,
    changes: ({ body }) => ({ body: `[${body},${body}]` }),
  },
  {
    title: 'a batch of one',
    status: 400,
    says: /one message per request/,
    changes: ({ body }) => ({ body: `[${body}]` }),
  },
  {
    title: 'half a message',
    status: 400,
    says: /-32700/,
    changes: ({ body }) => ({ body: body.slice(0, -2) }),
  },
  {
    title: 'a member twice',
    status: 400,
    says: /-32700/,
    changes: ({ body }) => ({ body: body.replace('"text":"', '"text":"x","text":"') }),
  },
]

for (const [index, { gate, sdk, serve, clients }] of combinations.entries()) {
  test(`${gate} gate before a server on ${sdk}`, async (t) => {
    const server = await startServer(places[index]!, gate, serve(), broker.issuer)
    t.after(() => server.close())

    for (const name of clients) {
      await t.test(`client on ${name}`, async (t) => {
        const { agent, key, way } = startAgent()
        const client = await CLIENTS[name]!(server.url, agent.fetch)
        t.after(() => client.close())
        server.ran.length = 0

        await t.test('a call works and its tool knows the caller', async () => {
          assert.ok((await client.list()).includes('add'))
          assert.equal(await client.call('add', 'milk'), `add milk for ${broker.agent}`)
          assert.deepEqual(server.ran.splice(0), ['add milk'])
        })

        await t.test('a replay is 401, with the same proof or a new one', async () => {
          const held = await hold(client, way, 'once')
          const first = await send(held, key)
          assert.equal(first.status, 200, first.text)
          assert.match(first.text, /add once/)
          const again = await send(held, key)
          assert.deepEqual([again.status, /already been used/.test(again.text)], [401, true])
          assert.match(
            again.headers.get('www-authenticate') ?? '',
            /^Bearer .*error="invalid_token".*DPoP /,
          )
          assert.deepEqual(server.ran.splice(0), ['add once'])
        })

        for (const { title, status, says, changes } of attacks) {
          await t.test(`${title}: ${status}, and the right token is not burnt`, async () => {
            const held = await hold(client, way, title)
            const answer = await send(held, key, changes(held))
            assert.equal(answer.status, status, answer.text)
            assert.match(answer.text, says)
            assert.deepEqual(server.ran, [])
            const right = await send(held, key)
            assert.equal(right.status, 200, right.text)
            assert.deepEqual(server.ran.splice(0), [`add ${title}`])
          })
        }

        await t.test('a call changed on its way fails, and the program learns why', async () => {
          way.change = (body) => body.replace('"text":"', '"text":"not ')
          await assert.rejects(client.call('add', 'changed'), /other arguments/)
          delete way.change
          assert.deepEqual(server.ran, [])
        })

        if (name === 'SDK v2, newer era') {
          await t.test('a tool that asks back gets its answer under a second token', async () => {
            assert.equal(await client.call('confirm', 'sure'), 'confirm sure')
            assert.deepEqual(server.ran.splice(0), ['confirm sure'])
            const rounds = server.records.filter(
              (r) => r.name === 'confirm' && r.outcome === 'allowed',
            )
            assert.equal(rounds.length, 2)
            assert.equal(new Set(rounds.map((r) => r.jti)).size, 2)
            assert.equal(new Set(rounds.map((r) => r.task)).size, 1)
            assert.deepEqual(
              rounds.map((r) => r.inputHash !== undefined),
              [false, true],
            )
          })
        }
      })
    }

    await t.test('the metadata is found without a token', async () => {
      const { origin } = new URL(server.url)
      for (const path of [
        '/.well-known/oauth-protected-resource/mcp',
        '/.well-known/oauth-protected-resource',
      ]) {
        const response = await fetch(origin + path)
        assert.equal(response.status, 200)
        const metadata = (await response.json()) as Record<string, unknown>
        assert.equal(metadata.resource, server.url)
        assert.deepEqual(metadata.authorization_servers, [broker.issuer])
      }
    })
  })
}
