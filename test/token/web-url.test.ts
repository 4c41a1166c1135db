import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { checkUrl, normaliseTarget } from '../../src/token/web-url.ts'

const SAME: readonly (readonly [string, string])[] = [
  ['https://mcp.example/mcp', 'https://mcp.example/mcp'],
  ['HTTPS://MCP.Example/mcp', 'https://mcp.example/mcp'],
  ['https://mcp.example:443/mcp', 'https://mcp.example/mcp'],
  ['https://mcp.example:/mcp', 'https://mcp.example/mcp'],
  ['https://mcp.example:00443/mcp', 'https://mcp.example/mcp'],
  ['http://127.0.0.1:80/mcp', 'http://127.0.0.1/mcp'],
  ['http://[::1]:4470/token', 'http://[::1]:4470/token'],
  ['http://[FE80::A]/x', 'http://[fe80::a]/x'],
  ['https://mcp.example', 'https://mcp.example/'],
  ['https://mcp.example?q', 'https://mcp.example/'],
  ['https://mcp.example/mcp?a=1&b=https://x/#f', 'https://mcp.example/mcp'],
  ['https://mcp.example/mcp#', 'https://mcp.example/mcp'],
  ['https://mcp.example/a/./b/../mcp', 'https://mcp.example/a/mcp'],
  ['https://mcp.example/a/..', 'https://mcp.example/'],
  ['https://mcp.example/a/.', 'https://mcp.example/a/'],
  ['https://mcp.example/../../mcp', 'https://mcp.example/mcp'],
  ['https://mcp.example/%7Euser/%6dcp', 'https://mcp.example/~user/mcp'],
  ['https://mcp.example/a%2fb', 'https://mcp.example/a%2Fb'],
  ['https://%6dcp.example/', 'https://mcp.example/'],
  ['https://%4DCP.example/%2e%2E/x', 'https://mcp.example/x'],
]

for (const [given, wanted] of SAME) {
  test(`${given} is ${wanted}`, () => assert.equal(normaliseTarget(given), wanted))
}

const DIFFERENT: readonly (readonly [string, string])[] = [
  ['https://mcp.example/mcp', 'https://mcp.example/mcp/'],
  ['https://mcp.example/mcp', 'https://mcp.example/MCP'],
  ['https://mcp.example/mcp', 'http://mcp.example/mcp'],
  ['https://mcp.example/mcp', 'https://mcp.example.evil/mcp'],
  ['https://mcp.example/mcp', 'https://mcp.example:8443/mcp'],
  ['https://mcp.example/mcp', 'https://mcp.example:80/mcp'],
  ['https://mcp.example/a/b', 'https://mcp.example/a%2Fb'],
  ['https://mcp.example/a//b', 'https://mcp.example/a/b'],
  ['https://mcp.example./', 'https://mcp.example/'],
]

for (const [a, b] of DIFFERENT) {
  test(`${a} is not ${b}`, () => {
    assert.notEqual(normaliseTarget(a), undefined)
    assert.notEqual(normaliseTarget(a), normaliseTarget(b))
  })
}

const NO_URI = [
  '',
  '/mcp',
  'mcp.example/mcp',
  'https:mcp.example/mcp',
  'https:/mcp.example/mcp',
  'https:///mcp',
  'https:\\\\mcp.example\\mcp',
  'https://mcp.example\\@evil.example/mcp',
  'https://mcp.example@evil.example/mcp',
  'https://user:secret@mcp.example/mcp',
  'ftp://mcp.example/mcp',
  ' https://mcp.example/mcp',
  'https://mcp.example/mcp ',
  'https://mcp.example/mcp\n',
  'https://mcp.exa\tmple/mcp',
  'https://mcp.example/m cp',
  'https://mcp.example/%zz',
  'https://mcp.example/%4',
  'https://mcp.example:port/',
  'https://mcp.example:999999/',
  'https://mcp.exämple/mcp',
  'https://mcp.example/\u202epcm',
  `https://mcp.example/${'a'.repeat(5000)}`,
]

for (const text of NO_URI) {
  test(`${JSON.stringify(text.slice(0, 60))} is no http(s) URI`, () => {
    assert.equal(normaliseTarget(text), undefined)
  })
}

test('normalising twice changes nothing, and the result names the same place', () => {
  fc.assert(
    fc.property(fc.webUrl({ withQueryParameters: true, withFragments: true }), (url) => {
      const once = normaliseTarget(url)
      assert.ok(once !== undefined, url)
      assert.equal(normaliseTarget(once), once)
      assert.equal(new URL(once).host, new URL(url).host)
    }),
  )
})

test('any text is answered, with a URI or with undefined', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (tail) => {
      normaliseTarget(`https://mcp.example/${tail}`)
      normaliseTarget(`https://${tail}`)
    }),
  )
})

for (const url of [
  'https://broker.example/jwks',
  'http://127.0.0.1:4470/jwks',
  'http://[::1]/',
  'http://localhost/',
]) {
  test(`a configured url may be ${url}`, () => assert.equal(checkUrl(url, 'url').href, url))
}

for (const url of [
  'http://broker.example/jwks',
  'http://127.0.0.1.evil.example/',
  'https://a:b@broker.example/',
  'file:///etc/passwd',
  '',
]) {
  test(`a configured url may not be ${JSON.stringify(url)}`, () => {
    assert.throws(() => checkUrl(url, 'url'), TypeError)
  })
}
