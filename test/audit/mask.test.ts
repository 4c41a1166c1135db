import assert from 'node:assert/strict'
import { test } from 'node:test'
import { maskCredentials } from '../../src/audit/mask.ts'

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const jwt = `${encode({ alg: 'ES256', typ: 'JWT' })}.${encode({ sub: 'spiffe://a/b', exp: 1 })}.${'s'.repeat(86)}`
const jwe = `${encode({ alg: 'RSA-OAEP-256', enc: 'A256GCM' })}..${'i'.repeat(16)}.${'c'.repeat(40)}.${'t'.repeat(22)}`

const hidden: [string, unknown, string][] = [
  ['a JWT alone', jwt, jwt],
  ['a JWT inside a sentence', `got ${jwt}, refused`, jwt],
  ['a JWT behind letters', `token_${jwt}`, jwt],
  ['an encrypted token with an empty key', jwe, jwe],
  ['a JWT without its signature', `${jwt.slice(0, jwt.lastIndexOf('.'))}.`, jwt.split('.')[1]!],
  ['a JWT deep in an argument', { a: [{ b: jwt }] }, jwt],
  ['a JWT as a member name', { [jwt]: 1 }, jwt],
  ['an opaque bearer token', 'Authorization: Bearer abcdefghijklmnop1234', 'abcdefghijklmnop1234'],
  ['a lower-case scheme', 'bearer  abcdefghijklmnop1234', 'abcdefghijklmnop1234'],
  ['a DPoP credential after a tab', 'DPoP\tabcdefghijklmnop1234==', 'abcdefghijklmnop1234'],
]

for (const [title, value, secret] of hidden) {
  test(`${title} is masked and the line stays JSON`, () => {
    const line = maskCredentials(JSON.stringify({ door: 'token-exchange', value }))
    assert.ok(!line.includes(secret), line)
    assert.equal(JSON.parse(line).door, 'token-exchange')
    assert.ok(line.includes('[masked]'))
  })
}

const kept: unknown[] = [
  { name: 'transfer_funds', hash: 'A'.repeat(43), session: 'b'.repeat(43) },
  { workload: 'spiffe://corp.example/agents/report-bot', server: 'https://mcp.example/mcp' },
  { binding: 'dpop', evidence: { check: 'signature' }, reason: 'binding_missing' },
  { name: 'eyJust.a.name' },
  { file: 'key.2026.10.01.txt' },
]
for (const value of kept) {
  test(`an ordinary record is not changed: ${JSON.stringify(value).slice(0, 40)}`, () => {
    assert.equal(maskCredentials(JSON.stringify(value)), JSON.stringify(value))
  })
}

test('a megabyte made to look like the start of tokens costs linear time', () => {
  const text = 'eyJ'.repeat(350_000)
  assert.equal(maskCredentials(text), text)
  const dotted = 'eyJ.'.repeat(250_000)
  assert.equal(maskCredentials(dotted), '[masked]')
})
