import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { TARGET_KINDS, type Target } from '../../src/revocation/target.ts'
import { parseTargetText, targetText } from '../../src/revocation/target-text.ts'

const KEY = 'k'.repeat(43)
const BOT = 'spiffe://corp.example/agents/bot'

const texts: readonly [text: string, target: Target][] = [
  ['jti:a', { kind: 'jti', value: 'a' }],
  ['session:a:b', { kind: 'session', value: 'a:b' }],
  [`agent:${BOT}`, { kind: 'agent', value: BOT }],
  [`agent:${BOT}/*`, { kind: 'agent', value: BOT, beneath: true }],
  [
    'agent:spiffe://corp.example/*',
    { kind: 'agent', value: 'spiffe://corp.example', beneath: true },
  ],
  [`agent:${BOT} for user:idp:alice`, { kind: 'agent', value: BOT, principal: 'user:idp:alice' }],
  [`agent:${BOT}/* for ${BOT}`, { kind: 'agent', value: BOT, beneath: true, principal: BOT }],
  ['agent:oidc:ci:repo:a/b', { kind: 'agent', value: 'oidc:ci:repo:a/b' }],
  ['principal:user:idp:5f2c', { kind: 'principal', value: 'user:idp:5f2c' }],
  ['task:invoice 1 for all', { kind: 'task', value: 'invoice 1 for all' }],
  [`key:${KEY}`, { kind: 'key', value: KEY }],
  [`key:x5t#S256:${KEY}`, { kind: 'key', value: `x5t#S256:${KEY}` }],
  ['server:https://mcp.example/mcp', { kind: 'server', value: 'https://mcp.example/mcp' }],
  ['issuer:spiffe://corp.example', { kind: 'issuer', value: 'spiffe://corp.example' }],
  ['issuer:oidc:ci', { kind: 'issuer', value: 'oidc:ci' }],
  ['before:1800000000.25', { kind: 'before', value: '1800000000.25' }],
]

describe('a target is written in one way, and read back as it was', () => {
  for (const [text, target] of texts) {
    it(text, () => {
      assert.deepEqual(parseTargetText(text), target)
      assert.equal(targetText(target), text)
    })
  }

  for (const [text, value] of [
    ['before:2026-11-21T08:00:00Z', '1795248000'],
    ['before:2026-11-21t08:00:00.5z', '1795248000.5'],
    ['before:2026-11-21T09:30:00+01:30', '1795248000'],
  ] as const) {
    it(`${text} is ${value}`, () => {
      assert.deepEqual(parseTargetText(text), { kind: 'before', value })
    })
  }

  it('what reads as more than it is, is written as JSON', () => {
    const exact: Target = { kind: 'agent', value: 'oidc:ci:*/*' }
    assert.equal(targetText(exact), JSON.stringify(exact))
    const spaced: Target = { kind: 'agent', value: 'oidc:ci:a for b' }
    assert.deepEqual(parseTargetText(targetText(spaced)), spaced)
  })
})

describe('what is no target is none', () => {
  for (const text of [
    '',
    'bot',
    ':a',
    'jti:',
    'planet:1',
    'Agent:spiffe://a/b',
    'agent:bot',
    'agent:spiffe://Corp.example/a',
    'agent:spiffe://corp.example/a/../b',
    'agent:spiffe://corp.example/a/',
    'agent:spiffe://corp.example/a*',
    'agent:spiffe://corp.example/*/b',
    'agent:spiffe://corp.example/a for ',
    'agent:spiffe://corp.example/a for b for c',
    'agent: for user:idp:a',
    'agent:*',
    'agent:oidc:prod:repo:*/app',
    'agent:/*',
    'principal:user:*',
    'task:*',
    'key:abc',
    'server:mcp.example',
    'issuer:corp.example',
    'issuer:spiffe://corp.example/*',
    'before:yesterday',
    'before:2026-02-30T00:00:00Z',
    'before:2026-11-21T25:00:00Z',
    'before:2026-11-21T08:00:00',
    'before:2026-11-21',
    'before:1800000000000',
    '{"kind":"jti"}',
    '{"kind":"jti","value":"a","more":1}',
    '{"kind":"jti","kind":"task","value":"a"}',
    '{',
  ]) {
    it(JSON.stringify(text), () => assert.throws(() => parseTargetText(text), TypeError))
  }
})

const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,8}$/)
const anyText = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }),
  fc.constantFrom('a for b', 'a/*', '*', '/*', ' for ', '{', 'oidc:a/*', 'a/* for b', '%2A'),
  fc
    .array(segment, { minLength: 1, maxLength: 4 })
    .map((all) => `spiffe://corp.example/${all.join('/')}`),
)
const value: Readonly<Record<string, fc.Arbitrary<string>>> = {
  key: fc.stringMatching(/^(x5t#S256:)?[A-Za-z0-9_-]{43}$/),
  server: fc.webUrl(),
  issuer: fc.stringMatching(/^(oidc|user):[A-Za-z0-9._-]{1,64}$/),
  before: fc.stringMatching(/^\d{1,10}(\.\d{1,6})?$/),
}
const anyAgent: fc.Arbitrary<Target> = fc.record(
  { kind: fc.constant('agent'), value: anyText, beneath: fc.constant(true), principal: anyText },
  { requiredKeys: ['kind', 'value'], noNullPrototype: true },
)
const others = TARGET_KINDS.filter((kind) => kind !== 'agent').map(
  (kind): fc.Arbitrary<Target> => (value[kind] ?? anyText).map((named) => ({ kind, value: named })),
)
const anyTarget = fc.oneof(anyAgent, ...others)

it('any target is read back from its text as it was', () => {
  fc.assert(
    fc.property(anyTarget, (target) => {
      fc.pre(!(target.beneath && target.value.endsWith('/')))
      assert.deepEqual(parseTargetText(targetText(target)), target)
    }),
    { numRuns: 5000 },
  )
})

it('no text is read as a target that is written as another one', () => {
  const begun = fc.tuple(fc.constantFrom(...TARGET_KINDS), anyText)
  fc.assert(
    fc.property(begun, ([kind, rest]) => {
      let target: Target
      try {
        target = parseTargetText(`${kind}:${rest}`)
      } catch (error) {
        assert.ok(error instanceof TypeError)
        return
      }
      assert.deepEqual(parseTargetText(targetText(target)), target)
      assert.equal(target.kind, kind)
    }),
    { numRuns: 5000 },
  )
})
