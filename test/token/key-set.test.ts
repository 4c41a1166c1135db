import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'node:test'
import type { JsonObject } from '../../src/lib/json.ts'
import { Refusal } from '../../src/refusal.ts'
import { JwsError } from '../../src/token/jws.ts'
import { localKeySet } from '../../src/token/key-set.ts'
import { type RemoteKeySet, remoteKeySet } from '../../src/token/remote-key-set.ts'

function jwkOf(kid: string | undefined, more: JsonObject = {}): JsonObject {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...(publicKey.export({ format: 'jwk' }) as JsonObject), alg: 'ES256', ...more }
  return kid === undefined ? jwk : { ...jwk, kid }
}

const A = jwkOf('a')
const B = jwkOf('b')

test('a key is found by kid and algorithm together', () => {
  const keys = localKeySet({ keys: [A, B] }, ['ES256', 'RS256'])
  assert.equal(keys.find('a', 'ES256')?.kid, 'a')
  for (const [kid, algorithm] of [
    ['a', 'RS256'],
    ['c', 'ES256'],
    ['', 'ES256'],
    ['__proto__', 'ES256'],
  ] as const) {
    assert.equal(keys.find(kid, algorithm), undefined)
  }
})

test('two keys under one kid are both unusable', () => {
  const keys = localKeySet({ keys: [A, jwkOf('a'), B] }, ['ES256'])
  assert.equal(keys.find('a', 'ES256'), undefined)
  assert.equal(keys.find('b', 'ES256')?.kid, 'b')
})

test('without a kid only a single key can be meant', () => {
  assert.equal(localKeySet({ keys: [A] }, ['ES256']).find(undefined, 'ES256')?.kid, 'a')
  assert.equal(localKeySet({ keys: [A, B] }, ['ES256']).find(undefined, 'ES256'), undefined)
  assert.equal(localKeySet({ keys: [A] }, ['ES256']).find(undefined, 'RS256'), undefined)
})

test('keys for other purposes are left out, the rest is used', () => {
  const secret = { ...jwkOf('s'), d: 'AA' }
  const keys = localKeySet(
    { keys: [{ kty: 'oct', k: 'AA', kid: 'o' }, jwkOf('e', { use: 'enc' }), secret, 'text', A] },
    ['ES256'],
  )
  for (const kid of ['o', 'e', 's']) assert.equal(keys.find(kid, 'ES256'), undefined)
  assert.equal(keys.find('a', 'ES256')?.kid, 'a')
})

test('what is not a key set, or is too large, is an error', () => {
  for (const jwks of [{}, { keys: {} }, { keys: Array.from({ length: 101 }, () => A) }]) {
    assert.throws(() => localKeySet(jwks as JsonObject, ['ES256']), JwsError)
  }
})

/** An issuer whose answer a test can change, and a clock it can turn. */
class Issuer {
  #keys: readonly JsonObject[] = [A]
  #nowMs = 1_000_000
  #requests = 0
  readonly #server: Server
  #answer: ((response: ServerResponse) => void) | undefined

  constructor() {
    this.#server = createServer((_, response) => {
      this.#requests++
      if (this.#answer) this.#answer(response)
      else response.end(JSON.stringify({ keys: this.#keys }))
    })
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks`
  }
  get requests(): number {
    return this.#requests
  }
  publish(...keys: readonly JsonObject[]): void {
    this.#keys = keys
  }
  answer(with_: ((response: ServerResponse) => void) | undefined): void {
    this.#answer = with_
  }
  turn(ms: number): void {
    this.#nowMs += ms
  }
  keySet(): RemoteKeySet {
    return remoteKeySet({
      url: this.url,
      algorithms: ['ES256'],
      minRefreshMs: 10_000,
      maxAgeMs: 600_000,
      clockMs: () => this.#nowMs,
    })
  }
  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function issuerTest(name: string, body: (issuer: Issuer, keys: RemoteKeySet) => Promise<void>) {
  test(name, async () => {
    const issuer = new Issuer()
    await issuer.open()
    const keys = issuer.keySet()
    try {
      await body(issuer, keys)
    } finally {
      keys.close()
      await issuer.close()
    }
  })
}

async function assertUnavailable(find: () => unknown): Promise<void> {
  await assert.rejects(
    async () => find(),
    (error) => error instanceof Refusal && error.reason.code === 'keys_unavailable',
  )
}

issuerTest('after the first fetch a known key is found at once', async (issuer, keys) => {
  await keys.ready()
  await keys.ready()
  const found = keys.find('a', 'ES256')
  assert.ok(found !== undefined && !(found instanceof Promise))
  assert.equal(issuer.requests, 1)
})

issuerTest('a key published later is found without a restart', async (issuer, keys) => {
  await keys.ready()
  const before = keys.find('a', 'ES256')
  issuer.publish(A, B)
  issuer.turn(10_000)
  assert.equal((await keys.find('b', 'ES256'))?.kid, 'b')
  assert.equal(keys.find('a', 'ES256'), before, 'a key that stayed must stay the same object')
})

issuerTest(
  'renewed keys are younger than the question, whenever it is asked',
  async (issuer, keys) => {
    await keys.ready()
    issuer.publish(A, B)
    await keys.renew?.()
    assert.equal(issuer.requests, 2)
    assert.equal((await keys.find('b', 'ES256'))?.kid, 'b')
    issuer.turn(10_000)
    const underWay = keys.find('c', 'ES256')
    await keys.renew?.()
    assert.equal(issuer.requests, 4, 'a fetch that was under way already is not enough')
    assert.equal(await underWay, undefined)
  },
)

issuerTest('a thousand unknown kids at once cause one fetch', async (issuer, keys) => {
  await keys.ready()
  issuer.turn(10_000)
  const found = await Promise.all(
    Array.from({ length: 1000 }, async (_, index) => keys.find(`unknown-${index}`, 'ES256')),
  )
  assert.ok(found.every((key) => key === undefined))
  assert.equal(issuer.requests, 2)
  assert.equal(keys.find('still-unknown', 'ES256'), undefined)
  assert.equal(issuer.requests, 2)
})

issuerTest('a removed key is forgotten though nobody asks for another', async (issuer, keys) => {
  await keys.ready()
  issuer.publish(B)
  issuer.turn(121_000)
  assert.equal((await keys.find('a', 'ES256'))?.kid, 'a')
  // That look-up has started a fetch, which an unknown kid waits for.
  assert.equal((await keys.find('b', 'ES256'))?.kid, 'b')
  assert.equal(await keys.find('a', 'ES256'), undefined)
})

issuerTest('known keys are refreshed now and then, in the background', async (issuer, keys) => {
  await keys.ready()
  issuer.publish(B)
  issuer.turn(120_000)
  assert.equal((await keys.find('a', 'ES256'))?.kid, 'a')
  // A request made after theirs would have been: when it has been answered, so has theirs.
  await (await fetch(issuer.url)).text()
  assert.equal(issuer.requests, 2, 'they are young enough')
  issuer.turn(1)
  assert.ok(!(keys.find('a', 'ES256') instanceof Promise), 'nobody waits for it')
  while (keys.find('a', 'ES256') !== undefined)
    await new Promise((resolve) => setImmediate(resolve))
  assert.equal(issuer.requests, 3)
})

issuerTest('an issuer that is away is not asked for every token', async (issuer, keys) => {
  await keys.ready()
  issuer.answer((response) => response.writeHead(503).end())
  issuer.turn(200_000)
  await assertUnavailable(() => keys.find('b', 'ES256'))
  for (let time = 0; time < 10; time++) {
    assert.equal((await keys.find('a', 'ES256'))?.kid, 'a')
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(issuer.requests, 2)
})

issuerTest('a closed set knows no key any more', async (_, keys) => {
  await keys.ready()
  keys.close()
  await assertUnavailable(() => keys.find('a', 'ES256'))
  await assertUnavailable(() => keys.ready())
})

issuerTest(
  'an issuer that is away: known keys serve until they are too old, then nothing does',
  async (issuer, keys) => {
    await keys.ready()
    issuer.answer((response) => response.writeHead(503).end())
    issuer.turn(300_000)
    assert.equal((await keys.find('a', 'ES256'))?.kid, 'a')
    await assertUnavailable(() => keys.find('b', 'ES256'))
    await assertUnavailable(() => keys.find('b', 'ES256'))
    issuer.turn(300_001)
    await assertUnavailable(() => keys.find('a', 'ES256'))
    const { requests } = issuer
    await assertUnavailable(() => keys.find('a', 'ES256'))
    assert.equal(issuer.requests, requests, 'asked again too soon')
    issuer.answer(undefined)
    issuer.turn(10_000)
    assert.equal((await keys.find('a', 'ES256'))?.kid, 'a')
  },
)

const BAD_ANSWERS: readonly (readonly [string, (response: ServerResponse) => void])[] = [
  [
    'an error, whatever comes with it',
    (response) => response.writeHead(500).end(`{"keys":[${JSON.stringify(A)}]}`),
  ],
  ['a part of it', (response) => response.writeHead(206).end('{"keys":[]}')],
  ['a redirect', (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
  ['text that is no JSON', (response) => response.end('<html>')],
  ['duplicate members', (response) => response.end('{"keys":[],"keys":[]}')],
  ['an array', (response) => response.end('[]')],
  ['a set without keys', (response) => response.end('{}')],
  ['more than 256 KiB', (response) => response.end(`{"keys":[],"x":"${'x'.repeat(300_000)}"}`)],
  ['a connection that breaks', (response) => response.destroy()],
]

for (const [name, answer] of BAD_ANSWERS) {
  issuerTest(`an answer that cannot be believed is no keys: ${name}`, async (issuer, keys) => {
    issuer.answer(answer)
    await assertUnavailable(() => keys.ready())
    await assertUnavailable(() => keys.find('a', 'ES256'))
  })
}

issuerTest(
  'a body without end is read no further than a key set may be long',
  async (issuer, keys) => {
    let sent = 0
    issuer.answer((response) => {
      const flood = () => {
        if (response.destroyed) return
        sent += 65_536
        response.write(Buffer.alloc(65_536, 0x20), flood)
      }
      flood()
    })
    await assertUnavailable(() => keys.ready())
    assert.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken`)
  },
)

issuerTest(
  'an issuer that never answers is given up when the set is closed',
  async (issuer, keys) => {
    issuer.answer(() => undefined)
    const waiting = assertUnavailable(() => keys.ready())
    keys.close()
    await waiting
    await assertUnavailable(() => keys.find('a', 'ES256'))
    await assertUnavailable(() => keys.ready())
  },
)

issuerTest('an issuer that never answers is given up after a while', async (issuer) => {
  issuer.answer(() => undefined)
  const keys = remoteKeySet({ url: issuer.url, algorithms: ['ES256'], timeoutMs: 20 })
  await assertUnavailable(() => keys.ready())
})

for (const url of [
  'http://broker.example/jwks',
  'ftp://broker.example/',
  'https://a:b@broker.example/',
  'jwks',
]) {
  test(`keys are not fetched from ${url}`, () => {
    assert.throws(() => remoteKeySet({ url, algorithms: ['ES256'] }), TypeError)
  })
}
