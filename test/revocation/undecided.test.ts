/** An entry that cannot be judged yet is neither believed nor let go of. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signBeat, signRevocation } from '../../src/revocation/feed-text.ts'
import { signJws } from '../../src/token/jws.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { holder, issuer, key, keys, revocationOf, settled } from './holder.ts'

describe('a holder with an entry that it cannot judge', () => {
  const unknown = makeSigningKey('k2')
  const unjudged = (value = 'jti-1') =>
    signRevocation(revocationOf({ kind: 'jti', value }), issuer, unknown)

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

  it('once they can be asked and do not know its key, it waits as any other', async () => {
    let reachable = false
    const h = holder({
      find(kid, alg) {
        if (kid === 'k1') return keys.find('k1', alg)
        if (reachable) return undefined
        throw new Error('no answer')
      },
    })
    h.feed.entry(unjudged())
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale')
    reachable = true
    h.pass(0.2)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
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

  it('while it is read again, nothing is relied on that was heard before', async () => {
    const h = holder()
    h.feed.entry(unjudged())
    while (h.follows() === 1) {
      h.pass(0.9)
      await h.beat()
    }
    assert.equal(h.outcome(), 'revocations_stale')
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
    h.pass(0.2)
    await h.beat()
    assert.equal(h.closes(), 1)
    before.lost('a test')
    before.entry(signRevocation(revocationOf({ kind: 'jti', value: 'jti-1' }), issuer, key))
    await settled()
    assert.equal(h.outcome(), 'passes')
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
    h.refused.length = 0
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
    assert.deepEqual(
      h.refused.map(({ why }) => why),
      Array.from({ length: 2 }, () => 'the key is not known'),
      'when it came, and when it was proved',
    )
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

  it('the keys are not asked again while they have not answered', async () => {
    let asked = 0
    const renew = () => new Promise<never>(() => void asked++)
    const h = holder({ find: (kid, alg) => keys.find(kid, alg), renew })
    h.feed.entry(unjudged())
    for (let n = 0; n < 4; n++) {
      h.pass(1.1)
      await h.beat()
    }
    assert.equal(asked, 1)
  })

  it('what the broker stopped in a way not known here stops everything until it ends', async () => {
    const h = holder()
    const payload = { iss: issuer, kind: 'revoke', id: 'x', target: { kind: 'planet', value: 't' } }
    const more = { at: h.clock.now, until: h.clock.now + 5, reason: '', by: '' }
    h.feed.entry(signJws({ typ: 'writ-feed+jwt' }, { ...payload, ...more }, key))
    const sooner = { id: 'y', until: h.clock.now - 5 }
    h.feed.entry(signJws({ typ: 'writ-feed+jwt' }, { ...payload, ...more, ...sooner }, key))
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale')
    h.pass(8)
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale', 'of the one that ends later')
    h.pass(8)
    await h.beat()
    assert.equal(h.outcome(), 'passes')
    h.feed.entry(signJws({ typ: 'writ-feed+jwt' }, { iss: issuer, kind: 'planet' }, key))
    h.pass(1000)
    await h.beat()
    assert.equal(h.outcome(), 'revocations_stale', 'for ever, when it tells no end')
  })
})
