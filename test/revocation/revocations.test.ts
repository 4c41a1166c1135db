import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import {
  FEED_TYPE,
  MAX_FEED_TEXT_BYTES,
  signBeat,
  signRevocation,
} from '../../src/revocation/feed-text.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { type RefusedText, Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { signJws } from '../../src/token/jws.ts'
import type { KeySource } from '../../src/token/key-set.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'
import { agent, holder, issuer, key, keys, revocationOf, settled, subject } from './holder.ts'

const now = (): number => Date.now() / 1000

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

describe('a holder that does not hear refuses', () => {
  it('before the first heartbeat, after the bound, and after a loss; it recovers by itself', async () => {
    const h = holder()
    assert.equal(h.outcome(), 'revocations_stale')
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    h.pass(1)
    assert.equal(h.outcome(), 'passes')
    h.pass(0.001)
    assert.equal(h.outcome(), 'revocations_stale')
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    h.feed.lost('test')
    assert.equal(h.outcome(), 'revocations_stale')
    h.pass(0.25)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
  })

  it('a heartbeat that was held up on its way does not extend the bound', async () => {
    const h = holder()
    await h.beat()
    const sentAt = h.clock.now + 0.1
    h.pass(0.9)
    await h.beat(sentAt)
    h.pass(0.15)
    assert.equal(h.outcome(), 'passes')
    h.pass(0.1)
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('the wall clock of the holder does not matter to the bound', async () => {
    const h = holder()
    await h.beat()
    h.clock.now -= 3600
    h.clock.ms += 1001
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('a heartbeat received before a loss counts for nothing after it', async () => {
    const slow: KeySource = {
      find: (kid, alg) =>
        new Promise((resolve) => setTimeout(() => resolve(keys.find(kid, alg)), 3)),
    }
    const h = holder(slow)
    h.feed.beat(signBeat({ origin: 'o1', at: h.clock.now, epochs: [] }, issuer, key))
    h.feed.lost('test')
    await settled()
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('an entry whose key is slow to come still counts before the heartbeat after it', async () => {
    const slow: KeySource = {
      find: (kid, alg) =>
        new Promise((resolve) => setTimeout(() => resolve(keys.find(kid, alg)), 3)),
    }
    const h = holder(slow)
    void h.entry({ kind: 'jti', value: 'jti-1' })
    void h.beat()
    while (h.outcome() === 'revocations_stale') await settled()
    assert.equal(h.outcome(), 'revoked')
  })

  it('while the keys cannot be asked about an entry, everything is refused', async () => {
    let reachable = false
    const h = holder({
      find(kid, alg) {
        if (kid === 'k1' || reachable) return keys.find('k1', alg)
        throw new Error('no answer')
      },
    })
    const later = { ...key, kid: 'k2' }
    await h.beat()
    h.feed.entry(signRevocation(revocationOf({ kind: 'jti', value: 'jti-1' }), issuer, later))
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale')
    reachable = true
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
  })

  it('an entry with a key that is not known yet counts as soon as it is', async () => {
    const second = makeSigningKey('k2')
    let known = keySourceOf(key)
    const h = holder({ find: (kid, alg) => known.find(kid, alg) })
    h.feed.entry(signRevocation(revocationOf({ kind: 'jti', value: 'jti-1' }), issuer, second))
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    known = keySourceOf(key, second)
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
  })

  const unknown = makeSigningKey('k2')
  const unjudged = (value = 'jti-1') =>
    signRevocation(revocationOf({ kind: 'jti', value }), issuer, unknown)

  it('an entry that nobody can judge stops everything, whatever heartbeats come', async () => {
    const h = holder()
    h.feed.entry(unjudged())
    await h.beat()
    assert.equal(h.outcome(), 'passes', 'its key may be on the way')
    for (let n = 0; n < 20; n++) {
      h.pass(0.9)
      await h.beat()
    }
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('when its time is up it is not forgotten: the feed is read again', async () => {
    const h = holder()
    const text = unjudged()
    h.feed.entry(text)
    h.pass(61)
    await h.beat()
    assert.equal(h.follows(), 2)
    assert.equal(h.outcome(), 'revocations_stale')
    h.feed.entry(text)
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale', 'it has waited long enough already')
    for (let n = 0; n < 8; n++) {
      h.pass(0.5)
      await h.beat()
    }
    assert.equal(h.follows(), 2, 'not with every heartbeat')
    h.pass(5)
    await h.beat()
    assert.equal(h.follows(), 3)
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'passes', 'the feed no longer has it')
  })

  it('entries beyond what is held are not dropped: the feed is read again until they are known', async () => {
    let known = keySourceOf(key)
    const h = holder({ find: (kid, alg) => known.find(kid, alg) })
    const texts = Array.from({ length: 300 }, (_, n) => unjudged(`jti-${300 - n}`))
    for (const text of texts) h.feed.entry(text)
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale', 'at once')
    known = keySourceOf(key, unknown)
    h.pass(6)
    await h.beat()
    assert.equal(h.follows(), 2)
    assert.equal(h.outcome(), 'revocations_stale')
    for (const text of texts) h.feed.entry(text)
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
    assert.equal(h.revocations.list().length, 300)
  })

  it('what an earlier subscription still says counts for nothing', async () => {
    const h = holder()
    const before = h.feed
    before.entry(unjudged())
    h.pass(61)
    await h.beat()
    before.beat(signBeat({ origin: 'o1', at: h.clock.now + 0.1, epochs: [] }, issuer, key))
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('keys that are younger than the entry and do not know it prove it forged', async () => {
    let renewals = 0
    const h = holder({
      find: (kid, alg) => keys.find(kid, alg),
      renew: async () => void renewals++,
    })
    for (let n = 0; n < 300; n++) h.feed.entry(unjudged(`jti-${n}`))
    await settled()
    // The first asked when it came; the rest came later than the question.
    for (let n = 0; n < 30; n++) {
      h.pass(0.5)
      await h.beat()
    }
    assert.equal(h.outcome(), 'passes')
    assert.ok(h.refused.length >= 300)
    const before = renewals
    h.feed.entry(unjudged('one more'))
    h.pass(0.5)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    h.pass(0.5)
    await h.beat()
    assert.equal(renewals, before + 1)
    h.pass(0.9)
    await h.beat()
    assert.equal(h.outcome(), 'passes', 'and it is forgotten')
    assert.equal(renewals, before + 1)
  })

  it('the keys are asked at most once a second, and an answer older than the entry proves nothing', async () => {
    const asked: PromiseWithResolvers<void>[] = []
    const renew = () => {
      asked.push(Promise.withResolvers<void>())
      return asked.at(-1)!.promise
    }
    const h = holder({ find: (kid, alg) => keys.find(kid, alg), renew })
    h.feed.entry(unjudged('first'))
    await settled()
    h.feed.entry(unjudged('second'))
    await settled()
    assert.equal(asked.length, 1)
    asked[0]!.resolve()
    await settled()
    h.pass(0.9)
    await h.beat()
    assert.equal(asked.length, 1)
    assert.equal(h.outcome(), 'passes')
    h.pass(0.2)
    await h.beat()
    assert.equal(asked.length, 2)
    assert.equal(h.outcome(), 'revocations_stale', 'the second is still undecided')
    asked[1]!.reject(new Error('no answer'))
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
    h.pass(1)
    await h.beat()
    asked[2]!.resolve()
    await settled()
    assert.equal(h.outcome(), 'passes')
  })

  it('what the broker stopped in a way not known here stops everything until it ends', async () => {
    const h = holder()
    const payload = { iss: issuer, kind: 'revoke', id: 'x', target: { kind: 'planet', value: 't' } }
    const more = { at: h.clock.now, until: h.clock.now + 5, reason: '', by: '' }
    h.feed.entry(signJws({ typ: 'writ-feed+jwt' }, { ...payload, ...more }, key))
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale')
    h.pass(16)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
  })
})

describe('only what the broker signed counts', () => {
  const stranger = makeSigningKey('k1')
  const target: Target = { kind: 'jti', value: 'jti-1' }
  const good = (): string => signRevocation(revocationOf(target), issuer, key)
  const forged: readonly [what: string, text: () => string][] = [
    [
      'signed by another key of the same id',
      () => signRevocation(revocationOf(target), issuer, stranger),
    ],
    ['of another issuer', () => signRevocation(revocationOf(target), 'https://other.example', key)],
    [
      'of another type',
      () =>
        signJws(
          { typ: 'at+jwt' },
          {
            iss: issuer,
            kind: 'revoke',
            id: 'x',
            at: 0,
            reason: '',
            by: '',
            target: { ...target },
          },
          key,
        ),
    ],
    ['unsigned', () => `${good().split('.').slice(0, 2).join('.')}.`],
    ['with a changed payload', () => good().replace(/\.(.)/, '.e30')],
    ['that is no JWS', () => 'hello'],
    ['that is a heartbeat', () => signBeat({ origin: 'o', at: now(), epochs: [] }, issuer, key)],
    ['that is too long', () => 'a'.repeat(20_000)],
  ]
  for (const [what, text] of forged) {
    it(`an entry ${what} is refused and reported`, async () => {
      const h = holder()
      h.feed.entry(text())
      await h.beat()
      assert.equal(h.outcome(), 'passes')
      assert.deepEqual(
        h.refused.map(({ kind }) => kind),
        ['entry'],
      )
    })
  }

  const beats: readonly [what: string, beat: (h: ReturnType<typeof holder>) => Promise<void>][] = [
    ['played again', (h) => h.beat(h.clock.now - 0.9)],
    ['of a time long gone', (h) => h.beat(h.clock.now - 3, 'o2')],
    ['of a time to come', (h) => h.beat(h.clock.now + 3, 'o2')],
    ['signed by another key', (h) => h.beat(h.clock.now, 'o1', stranger)],
    ['that is an entry', async (h) => h.feed.beat(good())],
  ]
  for (const [what, beat] of beats) {
    it(`a heartbeat ${what} is refused and reported`, async () => {
      const h = holder()
      await h.beat()
      h.pass(0.9)
      await beat(h)
      await settled()
      h.pass(0.2)
      assert.equal(h.outcome(), 'revocations_stale')
      assert.deepEqual(
        h.refused.map(({ kind }) => kind),
        ['beat'],
      )
    })
  }
})

describe('the publisher', () => {
  const open: { close(): Promise<void> }[] = []
  after(async () => {
    for (const each of open) await each.close()
  })

  it('what is revoked is in force at every holder, and later holders learn it', async () => {
    const transport = memoryFeed()
    const publisher = new RevocationPublisher({
      issuer,
      key: () => key,
      keys,
      transport,
      beatEveryMs: 20,
    })
    const first = new Revocations({ keys, issuer, transport })
    open.push(publisher, first)
    await Promise.all([publisher.start(), first.start()])
    first.check(subject, now())
    await publisher.revoke({
      target: { kind: 'session', value: 'sid-1' },
      reason: 'lost',
      by: 'admin',
    })
    await until(() => first.list().length === 1)
    assert.throws(() => first.check(subject, now()), /revoked/)
    const later = new Revocations({ keys, issuer, transport })
    open.push(later)
    await later.start()
    assert.throws(() => later.check(subject, now()), /revoked/)
  })

  it('signs live entries again when the key changes, so that they outlive it', async () => {
    const next = makeSigningKey('k2')
    const transport = memoryFeed()
    let current = key
    const publisher = new RevocationPublisher({
      issuer,
      key: () => current,
      keys: keySourceOf(key, next),
      transport,
      beatEveryMs: 10,
    })
    open.push(publisher)
    await publisher.start()
    await publisher.revoke({ target: { kind: 'jti', value: 'jti-1' }, reason: '', by: 'admin' })
    current = next
    const later = new Revocations({ keys: keySourceOf(next), issuer, transport })
    open.push(later)
    await later.start()
    await until(() => later.list().length === 1)
  })

  it('never signs again what it cannot verify', async () => {
    const transport = memoryFeed()
    const stranger = makeSigningKey('k9')
    await transport.append(
      signRevocation(revocationOf({ kind: 'jti', value: 'jti-1' }), issuer, stranger),
      undefined,
    )
    const publisher = new RevocationPublisher({
      issuer,
      key: () => key,
      keys,
      transport,
      beatEveryMs: 10,
    })
    const refused: RefusedText[] = []
    const held = new Revocations({
      keys,
      issuer,
      transport,
      onRefused: (text) => refused.push(text),
    })
    open.push(publisher, held)
    await Promise.all([publisher.start(), held.start()])
    assert.equal(held.list().length, 0)
    assert.equal(refused.length, 1)
  })

  it('signs again what a broker with the key of before has left, when it never comes back', async () => {
    const transport = memoryFeed()
    const [before, after] = [makeSigningKey('k1'), makeSigningKey('k2')]
    let ahead = 0
    const publisher = new RevocationPublisher({
      ...{ issuer, transport, key: () => after, keys: keySourceOf(before, after), beatEveryMs: 5 },
      clock: () => Date.now() / 1000 + ahead,
    })
    open.push(publisher)
    await publisher.start()
    const revocation = revocationOf({ kind: 'jti', value: 'jti-1' })
    await transport.append(signRevocation(revocation, issuer, before), undefined, revocation.id)
    const held = new Revocations({ keys: keySourceOf(after), issuer, transport })
    open.push(held)
    await held.start()
    assert.equal(held.list().length, 0)
    ahead = 61
    await until(async () => held.list().length === 1)
  })

  it('signs no heartbeat that no holder could read', () => {
    const epochOf = (n: number) => ({
      server: `${n}`,
      since: 0,
      guardKey: 'k',
      guard: 'g'.repeat(200),
    })
    const beatOf = (servers: number) => ({
      origin: 'o1',
      at: 1_800_000_000,
      epochs: Array.from({ length: servers }, (_, n) => epochOf(n)),
    })
    assert.ok(signBeat(beatOf(40), issuer, key).length <= MAX_FEED_TEXT_BYTES)
    assert.throws(() => signBeat(beatOf(60), issuer, key), /too many servers/)
  })

  for (const [what, more] of Object.entries({
    'an end in nanoseconds': { until: 1.8e18 },
    'an end that is none': { until: Number.NaN },
    'an end that never comes': { until: Number.POSITIVE_INFINITY },
    'a reason without end': { reason: 'm'.repeat(1025) },
    'half a character': { reason: 'cut \ud83d' },
    'a name without end': { by: 'm'.repeat(20_000) },
    'a value that needs too many escapes': {
      target: { kind: 'principal', value: '\u0001'.repeat(2048) } as const,
    },
  })) {
    it(`does not acknowledge what no holder could read: ${what}`, async () => {
      const transport = memoryFeed()
      const publisher = new RevocationPublisher({ issuer, key: () => key, keys, transport })
      const request = { target: { kind: 'jti', value: 'x' } as const, reason: '', by: '', ...more }
      await assert.rejects(publisher.revoke(request), TypeError)
    })
  }

  for (const target of [
    { kind: 'planet', value: 'x' },
    { kind: 'jti', value: '' },
    { kind: 'jti', value: 'x', beneath: true },
    { kind: 'agent', value: 'spiffe://a/b/', beneath: true },
    { kind: 'agent', value: 'a'.repeat(2049) },
  ] as unknown as Target[]) {
    it(`${JSON.stringify(target).slice(0, 60)} is not a target`, async () => {
      const publisher = new RevocationPublisher({
        issuer,
        key: () => key,
        keys,
        transport: memoryFeed(),
      })
      await assert.rejects(publisher.revoke({ target, reason: '', by: '' }), TypeError)
    })
  }
})
