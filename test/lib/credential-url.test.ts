import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { test } from 'node:test'
import { credentialUrl } from '../../src/agent/url.ts'
import { isResource } from '../../src/config/url.ts'
import { type UrlFault, urlFault } from '../../src/lib/credential-url.ts'
import { httpFeed } from '../../src/revocation/http-feed.ts'
import { checkUrl } from '../../src/token/web-url.ts'
import { parseUrl } from '../../src/verifier/options.ts'

const cases: [url: string, fault: UrlFault | undefined][] = [
  ['https://mcp.example/mcp', undefined],
  ['http://127.0.0.1:4474/mcp', undefined],
  ['http://127.255.0.9/mcp', undefined],
  ['http://[::1]:4474/mcp', undefined],
  ['http://localhost:4474/mcp', undefined],
  ['http://mcp.localhost/mcp', 'not encrypted'],
  ['http://localhost.example/mcp', 'not encrypted'],
  ['http://notlocalhost/mcp', 'not encrypted'],
  ['http://127.0.0.1.example/mcp', 'not encrypted'],
  ['http://128.0.0.1/mcp', 'not encrypted'],
  ['http://0.0.0.0/mcp', 'not encrypted'],
  ['http://[::]/mcp', 'not encrypted'],
  ['http://[::ffff:7f00:1]/mcp', 'not encrypted'],
  ['http://10.0.0.1/mcp', 'not encrypted'],
  ['http://mcp.example/mcp', 'not encrypted'],
  ['ws://localhost/mcp', 'not encrypted'],
  ['file:///mcp', 'not encrypted'],
  ['https://user@mcp.example/mcp', 'user information'],
  ['https://:word@mcp.example/mcp', 'user information'],
  ['http://user:word@localhost/mcp', 'user information'],
]

/** Everybody who sends a credential somewhere, or believes what comes from there. */
const doors: Record<string, (url: string) => unknown> = {
  'an agent': (url) => credentialUrl(url, 'the server'),
  'a key set': (url) => checkUrl(url, 'url'),
  'a verifier': (url) => parseUrl('resource', url),
  'a feed': (url) => httpFeed({ url }),
  'a configuration': (url) => assert.ok(isResource(url)),
}

for (const [url, fault] of cases) {
  test(`${url} is ${fault ?? 'good'}, and everybody says so`, () => {
    assert.equal(urlFault(new URL(url)), fault)
    for (const [who, check] of Object.entries(doors)) {
      if (fault === undefined) assert.doesNotThrow(() => check(url), who)
      else assert.throws(() => check(url), who)
    }
  })
}

test('nobody else decides what loopback is before sending a credential', async () => {
  for await (const file of glob('src/**/*.ts')) {
    if (file === 'src/lib/credential-url.ts') continue
    assert.doesNotMatch(readFileSync(file, 'utf8'), /isLoopback|LOOPBACK|\^127/, file)
  }
})
