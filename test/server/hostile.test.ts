import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { Refusal } from '../../src/refusal.ts'
import { exchangeForm, type Fixture, postToken, RESOURCE, send, startFixture } from './fixture.ts'

let fixture: Fixture
before(async () => {
  fixture = await startFixture({
    parts: { limits: { requestMs: 300, feedStreams: 2, drainMs: 200 } },
  })
})
after(() => fixture.close())

/** Writes raw bytes and collects what comes back until the other side closes. */
function raw(bytes: string | Buffer, options: { port?: string } = {}): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect(Number(options.port ?? new URL(fixture.issuer).port), '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', () => undefined)
  socket.on('close', () => resolve(text))
  socket.write(bytes)
  return promise
}
const host = () => new URL(fixture.issuer).host
const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)

const foreign: [string, Record<string, string>, number, 'host' | 'origin'][] = [
  ['a name that rebinds to loopback', { host: 'evil.example' }, 421, 'host'],
  ['another port', { host: '127.0.0.1:1' }, 421, 'host'],
  ['our host as a prefix', { host: '127.0.0.1.evil.example' }, 421, 'host'],
  ['a foreign origin', { origin: 'https://evil.example' }, 403, 'origin'],
  ['an opaque origin', { origin: 'null' }, 403, 'origin'],
  ['an origin on another port', { origin: 'http://127.0.0.1:1' }, 403, 'origin'],
]
for (const [title, headers, status, header] of foreign) {
  test(`a request with ${title} is refused on every listener and path`, async () => {
    for (const url of [
      `${fixture.issuer}/token`,
      `${fixture.issuer}/jwks`,
      `${fixture.issuer}/healthz`,
      `${fixture.issuer}/revocations`,
      `${fixture.adminUrl}/metrics`,
    ]) {
      assert.equal((await send(url, { headers })).status, status, url)
      const { reason, evidence } = fixture.records.at(-1)!
      assert.deepEqual([reason, evidence], ['origin_refused', { header }])
    }
  })
}

test('the broker answers to its issuer and, on loopback, to the names of loopback', async () => {
  const { port } = new URL(fixture.issuer)
  for (const name of [
    `127.0.0.1:${port}`,
    `localhost:${port}`,
    `[::1]:${port}`,
    `LOCALHOST:${port}`,
  ]) {
    assert.equal(
      (await send(`${fixture.issuer}/jwks`, { headers: { host: name } })).status,
      200,
      name,
    )
  }
  const { status } = await send(`${fixture.issuer}/jwks`, { headers: { origin: fixture.issuer } })
  assert.equal(status, 200)
})

test('a body over the limit is refused by its declared length, before it is sent', async () => {
  const answer = await raw(
    `POST /token HTTP/1.1\r\nHost: ${host()}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9999999\r\n\r\n`,
  )
  assert.equal(statusOf(answer), 413)
  assert.match(answer, /connection: close/i)
  assert.equal(fixture.records.at(-1)!.reason, 'request_too_large')
})

test('a body of no declared length is cut off at the limit', async () => {
  const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`
  const answer = await raw(
    `POST /token HTTP/1.1\r\nHost: ${host()}\r\nContent-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(40)}`,
  )
  // The answer may be lost when the sender goes on sending; the request is refused all the same.
  assert.ok([413, 0].includes(statusOf(answer)), answer)
  assert.equal(fixture.records.at(-1)!.reason, 'request_too_large')
})

test('a body that comes too slowly is cut off', async () => {
  const answer = await raw(
    `POST /token HTTP/1.1\r\nHost: ${host()}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=`,
  )
  assert.equal(statusOf(answer), 408)
})

test('headers that come too slowly are cut off', async () => {
  assert.equal(statusOf(await raw(`POST /token HTTP/1.1\r\nHost: ${host()}\r\nX-A: `)), 408)
})

test('headers that are too large are refused', async () => {
  const answer = await raw(
    `GET /jwks HTTP/1.1\r\nHost: ${host()}\r\nX-A: ${'a'.repeat(40_000)}\r\n\r\n`,
  )
  assert.equal(statusOf(answer), 431)
})

const smuggled: [string, string][] = [
  ['two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n'],
  ['a length and chunks', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'],
  ['an obsolete folded header', 'X-A: a\r\n b: c\r\n'],
]
for (const [title, headers] of smuggled) {
  test(`a request with ${title} is no request`, async () => {
    const answer = await raw(`POST /token HTTP/1.1\r\nHost: ${host()}\r\n${headers}\r\na=1`)
    assert.equal(statusOf(answer), 400)
  })
}

test('a request without Host is refused', async () => {
  assert.equal(statusOf(await raw('GET /jwks HTTP/1.1\r\nConnection: close\r\n\r\n')), 400)
  assert.equal(statusOf(await raw('GET /jwks HTTP/1.0\r\n\r\n')), 421)
})

test('a request with two Hosts is refused, whichever comes first', async () => {
  for (const hosts of [
    [host(), 'evil.example'],
    ['evil.example', host()],
  ]) {
    const lines = hosts.map((each) => `Host: ${each}\r\n`).join('')
    assert.equal(
      statusOf(await raw(`GET /jwks HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`)),
      421,
    )
  }
})

test('who asks for the headers of the feed does not follow it', async () => {
  for (let i = 0; i < 3; i += 1) {
    const answer = await raw(`HEAD /revocations HTTP/1.1\r\nHost: ${host()}\r\n\r\n`)
    assert.equal(statusOf(answer), 200)
  }
})

test('an absolute request target does not stand in for Host', async () => {
  const answer = await raw(
    'GET http://127.0.0.1/jwks HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
  )
  assert.equal(statusOf(answer), 421)
})

test('a path is matched as it is, not as it could be read', async () => {
  for (const path of ['/token/', '//token', '/TOKEN', '/%74oken', '/x/../jwks', '/jwks;a']) {
    const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: ${host()}\r\nConnection: close\r\n\r\n`)
    assert.equal(statusOf(answer), 404, path)
  }
})

test('a follower of the feed hears what is kept, that it is whole, and heartbeats', async () => {
  const stop = new AbortController()
  const response = await fetch(`${fixture.issuer}/revocations`, { signal: stop.signal })
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  let text = ''
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString()
    if (text.includes('event: ready') && text.includes('event: beat')) break
  }
  stop.abort()
  assert.match(text, /event: beat\ndata: eyJ/)
})

test('followers beyond the limit are told to come again', async () => {
  const stop = new AbortController()
  const url = `${fixture.issuer}/revocations`
  const open = () => fetch(url, { signal: stop.signal })
  while (/writ_feed_streams [1-9]/.test((await send(`${fixture.adminUrl}/metrics`)).text)) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const first = await open()
  const second = await open()
  const third = await open()
  assert.deepEqual([first.status, second.status, third.status], [200, 200, 503])
  assert.equal(third.headers.get('retry-after'), '5')
  stop.abort()
})

test('the metrics count by door and result and name no caller', async () => {
  await postToken(fixture, await exchangeForm(fixture))
  await postToken(fixture, 'grant_type=password')
  const { text } = await send(`${fixture.adminUrl}/metrics`)
  assert.match(text, /writ_exchanges_total\{door="token-exchange",result="issued"\} [1-9]/)
  assert.match(text, /writ_exchanges_total\{door="token",result="grant_unsupported"\} [1-9]/)
  assert.match(text, /writ_revocations_fresh 1/)
  assert.ok(!text.includes('corp.test') && !text.includes(RESOURCE))
  assert.equal((await send(`${fixture.issuer}/metrics`)).status, 404)
})

test('health is the process, readiness is what it depends on', async () => {
  for (const url of [fixture.issuer, fixture.adminUrl]) {
    assert.deepEqual((await send(`${url}/healthz`)).body, { status: 'ok' })
    const { status, body } = await send(`${url}/readyz`)
    assert.equal(status, 200)
    assert.deepEqual(body.checks, { store: 'ok', feed: 'ok', keys: 'ok', audit: 'ok' })
  }
})

test('what fails is named, its reason is not', async () => {
  const failing = await startFixture({
    parts: {
      revocations: { fresh: false },
      checks: {
        policy: () => {
          throw new Error('redis://user:secret@store')
        },
        trust: () => 'no bundle for corp.test',
      },
    },
  })
  const { status, body, text } = await send(`${failing.issuer}/readyz`)
  assert.equal(status, 503)
  const expected = {
    store: 'ok',
    feed: 'failing',
    keys: 'ok',
    audit: 'ok',
    policy: 'failing',
    trust: 'failing',
  }
  assert.deepEqual(body.checks, expected)
  assert.ok(!text.includes('secret') && !text.includes('corp.test'))
  assert.equal((await send(`${failing.issuer}/healthz`)).status, 200)
  await failing.close()
})

const broken: [string, () => never, number, string][] = [
  [
    'an error nobody expected',
    () => {
      throw new Error('password=hunter2')
    },
    500,
    'server_error',
  ],
  [
    'a store that cannot be asked',
    () => {
      throw new Refusal({ code: 'ledger_unavailable', detail: 'hunter2' })
    },
    503,
    'temporarily_unavailable',
  ],
]
for (const [title, fail, status, error] of broken) {
  test(`${title} gives no token and tells nothing`, async () => {
    const lines: string[] = []
    const { pino } = await import('pino')
    const hit = await startFixture({
      broker: { ledger: { spend: async () => fail() } },
      parts: { log: pino({}, { write: (line: string) => void lines.push(line) }) },
    })
    const form = await exchangeForm(hit)
    const answer = await postToken(hit, form)
    assert.deepEqual([answer.status, answer.body.error], [status, error])
    assert.ok(!answer.text.includes('hunter2'))
    assert.equal(answer.headers['retry-after'], status === 503 ? '1' : undefined)
    assert.ok(!lines.join('').includes(form.get('subject_token')!))
    const { text } = await send(`${hit.adminUrl}/metrics`)
    assert.match(text, status === 503 ? /writ_store_errors_total 1\n/ : /writ_errors_total 1\n/)
    const result = status === 503 ? 'ledger_unavailable' : 'server_error'
    assert.match(text, new RegExp(`door="token-exchange",result="${result}"} 1\n`))
    await hit.close()
  })
}

test('an audit that cannot be written means no token, and no refusal without a 503', async () => {
  const audit = { record: () => Promise.reject(new Error('disk full')) }
  const hit = await startFixture({ broker: { audit } })
  for (const form of [await exchangeForm(hit), new URLSearchParams({ grant_type: 'password' })]) {
    const { status, body } = await postToken(hit, form)
    assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'])
  }
  await hit.close()
})

test('a rotated key is published at once', async () => {
  const { join } = await import('node:path')
  const { rotateKeys } = await import('../../src/mint/keys.ts')
  const rotating = await startFixture()
  const kids = async () =>
    ((await send(`${rotating.issuer}/jwks`)).body.keys as { kid: string; d?: string }[]).map(
      (key) => {
        assert.equal(key.d, undefined)
        return key.kid
      },
    )
  assert.equal((await kids()).length, 1)
  await rotateKeys(join(rotating.directory, 'keys'), Date.now() / 1000)
  await (rotating.parts.keys as unknown as { reload(): Promise<void> }).reload()
  assert.equal((await kids()).length, 2)
  await rotating.close()
})

test('a request in flight is finished before the broker closes, and no new one is accepted', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  const closing = await startFixture({
    broker: {
      audit: {
        record: async () => {
          arrived.resolve()
          await gate
        },
      },
    },
    parts: { limits: { drainMs: 5_000 } },
  })
  const pending = postToken(closing, await exchangeForm(closing))
  await arrived.promise
  const closed = closing.close()
  await assert.rejects(send(`${closing.issuer}/healthz`), /ECONNREFUSED/)
  open()
  assert.equal((await pending).status, 200)
  await closed
})

test('a connection whose last request was in flight at the end is not kept open', async () => {
  const arrived = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const limits = { drainMs: 120_000, keepAliveMs: 120_000 }
  const slow = async () => {
    arrived.resolve()
    await gate.promise
    return true
  }
  const closing = await startFixture({ parts: { limits, checks: { slow } } })
  // A client that would use its connection again.
  const pending = fetch(`${closing.issuer}/readyz`)
  await arrived.promise
  const closed = closing.close().then(() => 'closed')
  gate.resolve()
  const answer = await pending
  const { draining } = (await answer.json()) as { draining: boolean }
  assert.deepEqual([answer.status, draining], [503, true], 'nobody sends it more')
  const late = new Promise((resolve) => setTimeout(resolve, 20_000, 'still open').unref())
  assert.equal(await Promise.race([closed, late]), 'closed')
})

test('a request that never finishes does not keep the broker from closing', async () => {
  const arrived = Promise.withResolvers<void>()
  const closing = await startFixture({
    broker: {
      audit: {
        record: () => {
          arrived.resolve()
          return new Promise(() => undefined)
        },
      },
    },
    parts: { limits: { drainMs: 50 } },
  })
  const pending = postToken(closing, await exchangeForm(closing)).catch(() => 'cut')
  await arrived.promise
  await closing.close()
  assert.equal(await pending, 'cut')
})
