import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseChallenges } from '../../src/agent/challenge.ts'
import { quotable } from '../../src/agent/error.ts'
import { LatestNonces } from '../../src/agent/nonces.ts'
import { type HeldToken, TokenCache } from '../../src/agent/token-cache.ts'
import { credentialUrl } from '../../src/agent/url.ts'

const challenges: [string, string | null, unknown][] = [
  ['nothing', null, []],
  ['a lone scheme', 'DPoP', [['dpop', {}]]],
  [
    'one challenge',
    'DPoP error="use_dpop_nonce", algs="ES256 EdDSA"',
    [['dpop', { error: 'use_dpop_nonce', algs: 'ES256 EdDSA' }]],
  ],
  [
    'two challenges',
    'Bearer realm="a, b", scope=x, DPoP error="e"',
    [
      ['bearer', { realm: 'a, b', scope: 'x' }],
      ['dpop', { error: 'e' }],
    ],
  ],
  ['escapes and spaces', 'DPoP  error = "a\\"b\\\\" ,,', [['dpop', { error: 'a"b\\' }]]],
  ['names in any case', 'dPoP ERROR=use_dpop_nonce', [['dpop', { error: 'use_dpop_nonce' }]]],
  ['a repeated parameter', 'DPoP error="first", error="second"', [['dpop', { error: 'first' }]]],
  [
    'a challenge inside a quoted text',
    'Bearer error_description="DPoP error=\\"use_dpop_nonce\\""',
    [['bearer', { error_description: 'DPoP error="use_dpop_nonce"' }]],
  ],
  [
    'an open quote',
    'Bearer a="x", DPoP error="e',
    [
      ['bearer', { a: 'x' }],
      ['dpop', {}],
    ],
  ],
  ['a parameter without a scheme', 'a="x"', []],
]
for (const [name, header, expected] of challenges) {
  test(`a WWW-Authenticate with ${name} is read as it was meant`, () => {
    const read = parseChallenges(header).map(({ scheme, parameters }) => [
      scheme,
      Object.fromEntries(parameters),
    ])
    assert.deepEqual(read, expected)
  })
}

test('a WWW-Authenticate of more than 8 KiB is not read', () => {
  const challenge = 'DPoP error="use_dpop_nonce"'
  assert.equal(parseChallenges(challenge.padEnd(8_192)).length, 1)
  assert.deepEqual(parseChallenges(challenge.padEnd(8_193)), [])
})

test('a nonce is kept for its origin, and only in the form of one', () => {
  const nonces = new LatestNonces()
  const at = new URL('https://mcp.example/mcp')
  const note = (nonce: string) =>
    nonces.note(at, new Response(null, { headers: { 'dpop-nonce': nonce } }))
  note('good')
  for (const bad of ['a"b', 'a\\b', 'a b', 'n'.repeat(513), '']) note(bad)
  assert.equal(nonces.of(new URL('https://mcp.example/other')), 'good')
  assert.equal(nonces.of(new URL('https://evil.example/mcp')), undefined)
})

test('no WWW-Authenticate makes the reader throw or stall', () => {
  const piece = fc.constantFrom(
    'DPoP',
    'Bearer',
    ' ',
    ',',
    '=',
    '"',
    '\\',
    'error',
    'é',
    '==',
    'a="b"',
  )
  const text = fc.array(piece, { maxLength: 200 }).map((pieces) => pieces.join(''))
  fc.assert(fc.property(text, (header) => parseChallenges(header).length <= header.length))
  for (const bad of ['"\\', 'a =', 'DPoP a="'].map((part) => part.repeat(2_000)))
    parseChallenges(bad)
})

test('quoted text is one short line without tokens or invisible characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (text) => {
      const quoted = quotable(text)
      assert.doesNotMatch(quoted, /[\p{Cc}\p{Cf}]/u)
      assert.ok(quoted.length <= 301)
    }),
  )
  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
  assert.equal(quotable(`x ${jwt}, ${jwt.slice(0, -8)}`), 'x [removed], [removed]')
  assert.equal(quotable('a'.repeat(1_000_000)), '[removed]')
  assert.equal(quotable('no '.repeat(1_000)).length, 301)
})

const urls: [string, boolean][] = [
  ['https://mcp.example/mcp', true],
  ['http://localhost:4474/mcp', true],
  ['http://a.localhost/', false],
  ['http://127.0.0.1:1/', true],
  ['http://127.9.9.9/', true],
  ['http://[::1]/', true],
  ['http://mcp.example/mcp', false],
  ['http://localhost.evil.example/', false],
  ['http://127.0.0.1.evil.example/', false],
  ['http://notlocalhost/', false],
  ['http://[::ffff:127.0.0.1]/', false],
  ['http://0.0.0.0/', false],
  ['ws://localhost/', false],
  ['file:///etc/passwd', false],
  ['https://user@mcp.example/', false],
  ['/mcp', false],
]
test('a credential goes over https, or http on loopback, and nowhere else', () => {
  for (const [url, good] of urls) {
    if (good) assert.equal(credentialUrl(url, 'x').protocol, new URL(url).protocol, url)
    else assert.throws(() => credentialUrl(url, 'x'), { code: 'url_refused' }, url)
  }
})

const token = (number: number, over: Partial<HeldToken> = {}): HeldToken => ({
  token: `t${number}`,
  scheme: 'DPoP',
  serverSpiffeId: undefined,
  issuedAt: 0,
  expiresAt: 60,
  uses: Number.POSITIVE_INFINITY,
  ...over,
})

test('of fifty concurrent calls for one token, one asks', async () => {
  const cache = new TokenCache()
  let asked = 0
  const obtain = async () => token(++asked)
  await Promise.all(Array.from({ length: 50 }, () => cache.take('a', () => 0, obtain)))
  assert.equal(asked, 1)
  await cache.take('b', () => 0, obtain)
  assert.equal(asked, 2)
})

test('a token is renewed before its end, not at it', async () => {
  const cache = new TokenCache()
  let asked = 0
  const obtain = async () => token(++asked, { issuedAt: 0, expiresAt: 60 })
  for (const now of [0, 49]) assert.equal((await cache.take('a', () => now, obtain)).token, 't1')
  assert.equal((await cache.take('a', () => 51, obtain)).token, 't2')
})

test('a token that is already old is used once by who asked, and not asked for for ever', async () => {
  const cache = new TokenCache()
  let asked = 0
  const obtain = async () => token(++asked, { issuedAt: 0, expiresAt: 1 })
  const tokens = await Promise.all([1, 2, 3].map(() => cache.take('a', () => 5, obtain)))
  assert.equal(new Set(tokens).size, 3)
  assert.equal(asked, 3)
})

test('of concurrent uses of one token, no more go through than it is good for', async () => {
  const cache = new TokenCache()
  let asked = 0
  const obtain = async () => token(++asked, { uses: 3 })
  const tokens = await Promise.all(
    Array.from({ length: 10 }, () => cache.take('a', () => 0, obtain)),
  )
  const counts = Map.groupBy(tokens, (held) => held.token)
  for (const uses of counts.values()) assert.ok(uses.length <= 3)
  assert.equal(asked, 4)
})

test('a failure is told to all who waited, and tried again by the next', async () => {
  const cache = new TokenCache()
  const failing = async () => Promise.reject(new Error('down'))
  const both = [cache.take('a', () => 0, failing), cache.take('a', () => 0, failing)]
  for (const result of await Promise.allSettled(both)) assert.equal(result.status, 'rejected')
  assert.equal(
    (
      await cache.take(
        'a',
        () => 0,
        async () => token(1),
      )
    ).token,
    't1',
  )
})

test('only the token that was refused is forgotten', async () => {
  const cache = new TokenCache()
  let asked = 0
  const obtain = async () => token(++asked)
  await cache.take('a', () => 0, obtain)
  cache.forget('a', 't0')
  assert.equal((await cache.take('a', () => 0, obtain)).token, 't1')
  cache.forget('a', 't1')
  assert.equal((await cache.take('a', () => 0, obtain)).token, 't2')
})

test('the README lists every error code, and no other', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
  const type = /type WritErrorCode =([^;]*?)\n\n/.exec(read('../../src/agent/error.ts'))?.[1] ?? ''
  const codes = [...type.matchAll(/'(\w+)'/g)].map((match) => match[1])
  const listed = [...read('../../src/agent/README.md').matchAll(/^\| `(\w+)` +\|/gm)]
  assert.ok(codes.length > 5)
  assert.deepEqual(listed.map((match) => match[1]).sort(), codes.sort())
})
