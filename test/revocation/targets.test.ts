/** What each kind of target stops, and that the nearest thing that looks like it goes on. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { hits } from '../../src/revocation/hits.ts'
import { issuerOf } from '../../src/revocation/issuer-of.ts'
import { RevokedTimes, RevokedValues } from '../../src/revocation/revoked-index.ts'
import { RevokedSet } from '../../src/revocation/revoked-set.ts'
import { parseTarget, type Subject, type Target } from '../../src/revocation/target.ts'

const KEY = 'k'.repeat(43)
const subject: Subject = {
  jti: 'jti-1',
  session: 'sid-1',
  agents: ['spiffe://corp.example/agents/b/c', 'oidc:prod:repo:acme/app'],
  principal: 'user:idp:alice',
  task: 'invoice-1',
  key: KEY,
  server: 'https://mcp.example/mcp',
  issuedAt: 1000,
  links: ['jti-0', 'sid-0', 'l'.repeat(43)],
}

const rows: readonly [target: Target, lookAlike: Target | Partial<Subject>][] = [
  [
    { kind: 'jti', value: 'jti-1' },
    { kind: 'jti', value: 'sid-1' },
  ],
  [
    { kind: 'jti', value: 'jti-0' },
    { kind: 'jti', value: 'jti-' },
  ],
  [
    { kind: 'session', value: 'sid-1' },
    { kind: 'session', value: 'jti-1' },
  ],
  [
    { kind: 'session', value: 'sid-0' },
    { kind: 'task', value: 'sid-0' },
  ],
  [
    { kind: 'key', value: KEY },
    { kind: 'key', value: `x5t#S256:${KEY}` },
  ],
  [
    { kind: 'key', value: 'l'.repeat(43) },
    { kind: 'key', value: 'L'.repeat(43) },
  ],
  [
    { kind: 'agent', value: 'spiffe://corp.example/agents/b/c' },
    { kind: 'agent', value: 'spiffe://corp.example/agents/b' },
  ],
  [
    { kind: 'agent', value: 'spiffe://corp.example/agents/b', beneath: true },
    { agents: ['spiffe://corp.example/agents/b-c'] },
  ],
  [
    { kind: 'agent', value: 'oidc:prod:repo:acme', beneath: true },
    { kind: 'agent', value: 'oidc:prod:repo:acm', beneath: true },
  ],
  [
    {
      kind: 'agent',
      value: 'spiffe://corp.example/agents/b/c',
      principal: 'user:idp:alice',
    },
    {
      kind: 'agent',
      value: 'spiffe://corp.example/agents/b/c',
      principal: 'user:idp:alic',
    },
  ],
  [
    {
      kind: 'agent',
      value: 'spiffe://corp.example/agents',
      beneath: true,
      principal: 'user:idp:alice',
    },
    { principal: 'spiffe://corp.example/agents/b/c' },
  ],
  [{ kind: 'principal', value: 'user:idp:alice' }, { principal: 'user:idp:alice2' }],
  [{ kind: 'task', value: 'invoice-1' }, { task: 'invoice-10' }],
  [{ kind: 'server', value: 'https://mcp.example/mcp' }, { server: 'https://mcp.example/mcp/' }],
  [
    { kind: 'issuer', value: 'spiffe://corp.example' },
    { agents: ['spiffe://corp.example.evil/agents/b'] },
  ],
  [{ kind: 'issuer', value: 'oidc:prod' }, { agents: ['oidc:prod-2:repo:acme/app'] }],
  [{ kind: 'issuer', value: 'user:idp' }, { principal: 'user:idp-2:alice' }],
  [{ kind: 'issuer', value: 'user:idp' }, { principal: 'oidc:idp:alice' }],
  [
    { kind: 'before', value: '1000.5' },
    { kind: 'before', value: '1000' },
  ],
]

let made = 0
const revocationOf = (target: Target, until?: number) => ({
  id: `r${made++}`,
  target: parseTarget({ ...target }),
  at: 0,
  reason: 'test',
  by: 'test',
  ...(until === undefined ? {} : { until }),
})
function finds(target: Target, of: Subject): boolean {
  const set = new RevokedSet()
  set.add(revocationOf(target))
  const found = set.find(of, 0) !== undefined
  assert.equal(hits(target, of), found)
  return found
}

describe('a target stops what it names, and not what looks like it', () => {
  for (const [target, other] of rows) {
    it(`${JSON.stringify(target)}, not ${JSON.stringify(other)}`, () => {
      assert.equal(finds(target, subject), true)
      if ('kind' in other) assert.equal(finds(other, subject), false)
      else assert.equal(finds(target, { ...subject, ...other }), false)
    })
  }

  it('what cannot be known of a subject is not hit', () => {
    const bare: Subject = { session: 'sid', agents: ['a'], principal: 'p' }
    for (const [target] of rows) assert.equal(finds(target, bare), false)
  })

  it('of several times the latest that has not ended counts', () => {
    const set = new RevokedSet()
    set.add(revocationOf({ kind: 'before', value: '900' }))
    set.add(revocationOf({ kind: 'before', value: '2000' }, 10))
    assert.equal(set.find(subject, 5)?.target.value, '2000')
    assert.equal(set.find(subject, 30), undefined)
    assert.equal(set.find({ ...subject, issuedAt: 899 }, 30)?.target.value, '900')
    set.sweep(30)
    assert.equal(set.size, 1)
  })
})

describe('an id belongs to the issuer it begins with', () => {
  for (const [id, issuer] of [
    ['spiffe://corp.example/a/b', 'spiffe://corp.example'],
    ['spiffe://corp.example', 'spiffe://corp.example'],
    ['oidc:prod:repo:acme/app', 'oidc:prod'],
    ['user:idp:oidc:prod:x', 'user:idp'],
    ['user:5f2c', undefined],
    ['alice', undefined],
    ['', undefined],
  ] as const) {
    it(`${id}: ${issuer}`, () => assert.equal(issuerOf(id), issuer))
  }
})

const name = fc.constantFrom('a', 'b', 'a-b', 'ab', 'c')
const path = fc
  .array(name, { maxLength: 3 })
  .map((parts) => parts.map((each) => `/${each}`).join(''))
const id = fc.oneof(
  fc.tuple(name, path).map(([domain, rest]) => `spiffe://${domain}${rest}`),
  fc
    .tuple(fc.constantFrom('oidc', 'user'), name, name, path)
    .map((all) => all.slice(0, 3).join(':') + all[3]),
)
const keys = fc.constantFrom('a', 'b').map((letter) => letter.repeat(43))
const anyTarget: fc.Arbitrary<Target> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('jti', 'session', 'task', 'principal'),
    value: fc.oneof(name, id),
  }),
  fc.record({ kind: fc.constant('key'), value: keys }),
  fc.record({ kind: fc.constant('server'), value: name.map((each) => `https://${each}`) }),
  fc.record({ kind: fc.constant('issuer'), value: id.map((each) => issuerOf(each) ?? 'user:a') }),
  fc.record({ kind: fc.constant('before'), value: fc.integer({ min: 0, max: 3 }).map(String) }),
  fc.record(
    { kind: fc.constant('agent'), value: id, beneath: fc.constant(true), principal: id },
    { requiredKeys: ['kind', 'value'] },
  ),
) as fc.Arbitrary<Target>
const anySubject: fc.Arbitrary<Subject> = fc.record({
  jti: fc.option(name, { nil: undefined }),
  session: name,
  agents: fc.array(id, { minLength: 1, maxLength: 3 }),
  principal: id,
  task: fc.option(name, { nil: undefined }),
  key: keys,
  server: name.map((each) => `https://${each}`),
  issuedAt: fc.integer({ min: 0, max: 3 }),
  links: fc.array(fc.oneof(name, keys), { maxLength: 3 }),
})

it('a set of any number of them finds exactly what one of them names', () => {
  fc.assert(
    fc.property(fc.array(anyTarget, { maxLength: 6 }), anySubject, (targets, of) => {
      const set = new RevokedSet()
      const revocations = targets.map((target) => revocationOf(target))
      for (const each of revocations) set.add(each)
      const named = revocations.filter(({ target }) => hits(target, of))
      const found = set.find(of, 0)
      assert.equal(found !== undefined, named.length > 0)
      if (found !== undefined) assert.ok(named.includes(found))
      // Undone one by one, and nothing is left of any of them.
      for (const each of revocations) {
        set.undo({ id: each.id, at: 0, until: 1, reason: '', by: '', origin: '' })
        set.add(each)
      }
      assert.equal(set.find(of, 0), undefined)
      assert.equal(set.size, 0)
    }),
    { numRuns: 2000 },
  )
})

it('what is no object is no target, and says so', () => {
  for (const json of [null, undefined, 'jti:x', 7, []]) {
    assert.throws(() => parseTarget(json), /must be an object/)
  }
})

describe('a target that could stop nothing is none', () => {
  for (const [what, target] of Object.entries({
    'a key that is no thumbprint': { kind: 'key', value: 'k' },
    'a key of another marking': { kind: 'key', value: `x5t:${KEY}` },
    'a server that is no URL': { kind: 'server', value: 'mcp.example' },
    'a server with a fragment': { kind: 'server', value: 'https://mcp.example/#a' },
    'an issuer with a path': { kind: 'issuer', value: 'spiffe://corp.example/a' },
    'an issuer in capitals': { kind: 'issuer', value: 'spiffe://Corp.example' },
    'an issuer with more colons': { kind: 'issuer', value: 'oidc:prod:a' },
    'an issuer of another sort': { kind: 'issuer', value: 'https://idp.example' },
    'a time in milliseconds': { kind: 'before', value: '1800000000000' },
    'a time with an exponent': { kind: 'before', value: '1e9' },
    'a time that is a date': { kind: 'before', value: '2026-01-01' },
    'a time before all': { kind: 'before', value: '-1' },
    'a principal of a task': { kind: 'task', value: 't', principal: 'p' },
    'a principal that is nobody': { kind: 'agent', value: 'a', principal: '' },
    'a path that is so in words': { kind: 'agent', value: 'a', beneath: 'yes' },
    'a principal that is none': { kind: 'agent', value: 'a', principal: null },
    'a path of a principal': { kind: 'principal', value: 'a', beneath: true },
    'a member more': { kind: 'task', value: 't', exactly: true },
  })) {
    it(what, () => assert.throws(() => parseTarget(target as never), TypeError))
  }
})

it('what was stopped and is no more leaves nothing behind', () => {
  const values = new RevokedValues()
  const both = ['x', 'y'].map((id) => {
    return { id, target: { kind: 'jti', value: 'v' } as const, at: 0, reason: '', by: '' }
  })
  for (const each of both) values.add(each)
  for (const each of both) {
    assert.equal(values.isEmpty, false)
    values.remove(each)
  }
  assert.equal(values.isEmpty, true)
  const times = new RevokedTimes()
  const stopped = { ...both[0]!, target: { kind: 'before', value: '1000' } as const }
  times.add(stopped)
  assert.equal(times.find(999, 0), stopped)
  times.remove(stopped)
  assert.equal(times.find(999, 0), undefined)
})
