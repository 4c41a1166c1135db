/** What a revocation stops, and for how long. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FEED_TYPE, signRevocation } from '../../src/revocation/feed-text.ts'
import type { Target } from '../../src/revocation/target.ts'
import { signJws } from '../../src/token/jws.ts'
import { agent, holder, issuer, key, revocationOf, settled, subject } from './holder.ts'

const hits: readonly [what: string, target: Target, expected: 'passes' | 'revoked'][] = [
  ['the token', { kind: 'jti', value: 'jti-1' }, 'revoked'],
  ['another token', { kind: 'jti', value: 'jti-2' }, 'passes'],
  ['the session', { kind: 'session', value: 'sid-1' }, 'revoked'],
  ['a token whose id is the session', { kind: 'jti', value: 'sid-1' }, 'passes'],
  ['the principal', { kind: 'principal', value: 'user:5f2c' }, 'revoked'],
  ['the agent', { kind: 'agent', value: agent }, 'revoked'],
  [
    'an actor before it',
    { kind: 'agent', value: 'spiffe://corp.example/agents/planner/7' },
    'revoked',
  ],
  ['a delegation it came by', { kind: 'jti', value: 'jti-of-a-delegation' }, 'revoked'],
  ['a session before it', { kind: 'session', value: 'sid-before' }, 'revoked'],
  ['an agent called as a link is', { kind: 'agent', value: 'sid-before' }, 'passes'],
  ['its folder, exactly', { kind: 'agent', value: 'spiffe://corp.example/agents' }, 'passes'],
  [
    'beneath its folder',
    { kind: 'agent', value: 'spiffe://corp.example/agents', beneath: true },
    'revoked',
  ],
  [
    'beneath an actor',
    { kind: 'agent', value: 'spiffe://corp.example/agents/planner', beneath: true },
    'revoked',
  ],
  [
    'beneath its trust domain',
    { kind: 'agent', value: 'spiffe://corp.example', beneath: true },
    'revoked',
  ],
  ['beneath itself', { kind: 'agent', value: agent, beneath: true }, 'revoked'],
  [
    'beneath a look-alike',
    { kind: 'agent', value: 'spiffe://corp.example/agents/report', beneath: true },
    'passes',
  ],
  [
    'beneath another case',
    { kind: 'agent', value: 'spiffe://corp.example/Agents', beneath: true },
    'passes',
  ],
  [
    'beneath a look-alike domain',
    { kind: 'agent', value: 'spiffe://corp.exampl', beneath: true },
    'passes',
  ],
  ['beneath what is beneath it', { kind: 'agent', value: `${agent}/x`, beneath: true }, 'passes'],
]

describe('a revocation stops what it names, and nothing else', () => {
  for (const [what, target, expected] of hits) {
    it(`${what}: ${expected}`, async () => {
      const h = holder()
      await h.entry(target)
      await h.beat()
      assert.equal(h.outcome(), expected)
    })
  }

  it('it ends some seconds after its end, because expired tokens are accepted that long', async () => {
    const h = holder()
    await h.entry({ kind: 'jti', value: 'jti-1' }, { until: h.clock.now + 5 })
    for (const [seconds, expected] of [
      [6, 'revoked'],
      [8, 'revoked'],
      [2, 'passes'],
    ] as const) {
      h.pass(seconds)
      await h.beat()
      assert.equal(h.outcome(), expected)
    }
    assert.equal(h.revocations.list().length, 0)
  })

  it('a clock that is wrong for a while ends nothing for good', async () => {
    const h = holder()
    const until = h.clock.now + 100
    const unknown = { iss: issuer, kind: 'planet', id: 'p', until }
    await h.entry({ kind: 'session', value: 'sid-1' }, { until })
    h.clock.now += 1000
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    await h.entry({ kind: 'task', value: 'heard meanwhile' }, { until })
    h.feed.entry(signJws({ typ: FEED_TYPE }, unknown, key))
    await settled()
    assert.equal(h.outcome(), 'passes')
    h.clock.now -= 1000
    await h.beat(h.clock.now, 'o2')
    assert.equal(h.outcome(), 'revocations_stale')
    await h.undo('p')
    assert.equal(h.outcome(), 'revoked')
    assert.equal(h.outcome({ ...subject, session: 's', task: 'heard meanwhile' }), 'revoked')
  })

  it('what has really ended stays so when a clock is put back', async () => {
    const h = holder()
    const until = h.clock.now + 5
    const unknown = { iss: issuer, kind: 'planet', id: 'p', until }
    const text = signRevocation(revocationOf({ kind: 'task', value: 't' }, { until }), issuer, key)
    h.feed.entry(text)
    h.feed.entry(signJws({ typ: FEED_TYPE }, unknown, key))
    h.pass(100)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    h.feed.entry(text)
    await settled()
    h.clock.now -= 99
    assert.deepEqual(h.revocations.list(), [])
    await h.beat(h.clock.now, 'o2')
    assert.equal(h.outcome(), 'passes')
  })

  it('what was heard while a clock was wrong does not claim what is published until then', async () => {
    const h = holder()
    await h.beat(h.clock.now, 'o1')
    h.clock.now += 3600
    await h.beat(h.clock.now, 'o2')
    h.clock.now -= 3600
    assert.deepEqual(Object.keys(h.revocations.heard), ['o1'])
    h.clock.now += 3599
    assert.deepEqual(Object.keys(h.revocations.heard), ['o1', 'o2'])
  })

  it('two that stop the same thing end one by one', async () => {
    const h = holder()
    await h.entry({ kind: 'session', value: 'sid-1' }, { until: h.clock.now + 5 })
    await h.entry({ kind: 'session', value: 'sid-1' }, { until: h.clock.now + 500 })
    h.pass(100)
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
    assert.equal(h.revocations.list().length, 1)
  })
})
