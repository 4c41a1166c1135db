/** A holder that does not hear the feed refuses everything. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signBeat } from '../../src/revocation/feed-text.ts'
import type { KeySource } from '../../src/token/key-set.ts'
import { holder, issuer, key, keys, settled } from './holder.ts'

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

  it('once it is closed, for it hears no more', async () => {
    const h = holder()
    await h.beat()
    await h.revocations.close()
    assert.equal(h.outcome(), 'revocations_stale')
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

  it('a first heartbeat that was held up makes the later ones look no younger', async () => {
    const h = holder()
    await h.beat(h.clock.now - 0.5)
    h.pass(0.25)
    await h.beat()
    h.pass(1.1)
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('a clock that runs slower than ours by little is forgiven, for its heartbeats are not late', async () => {
    const h = holder()
    await h.beat()
    h.pass(100)
    await h.beat(h.clock.now - 0.5)
    h.pass(0.9)
    assert.equal(h.outcome(), 'passes')
  })

  it('a late heartbeat of one broker takes nothing away from what another has said', async () => {
    const h = holder()
    await h.beat(h.clock.now, 'o2')
    h.pass(0.25)
    await h.beat()
    await h.beat(h.clock.now - 0.2, 'o2')
    h.pass(0.9)
    assert.equal(h.outcome(), 'passes')
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
})
