/** What was undone counts no more at a holder, and nothing brings it back. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signRevocation } from '../../src/revocation/feed-text.ts'
import type { Target } from '../../src/revocation/target.ts'
import { targetText } from '../../src/revocation/target-text.ts'
import { signJws } from '../../src/token/jws.ts'
import { makeSigningKey } from '../support/feed-keys.ts'
import { agent, holder, issuer, key, revocationOf, settled } from './holder.ts'
import { SESSION } from './running.ts'

describe('a holder', () => {
  const orders: readonly [what: string, order: readonly ('revoke' | 'undo' | 'lost')[]][] = [
    ['undone after it was heard', ['revoke', 'undo']],
    ['undone before it was heard', ['undo', 'revoke']],
    ['played again after its undo', ['revoke', 'undo', 'revoke']],
    ['played again when the feed is read from its start', ['revoke', 'undo', 'lost', 'revoke']],
    ['undone twice', ['revoke', 'undo', 'undo', 'revoke']],
  ]
  for (const [what, order] of orders) {
    it(`lets pass what was ${what}`, async () => {
      const h = holder()
      const text = signRevocation(revocationOf(SESSION, { id: 'x' }), issuer, key)
      for (const each of order) {
        if (each === 'revoke') h.feed.entry(text)
        else if (each === 'undo') await h.undo('x')
        else h.feed.lost('test')
      }
      await h.beat()
      assert.equal(h.outcome(), 'passes')
      assert.deepEqual(h.revocations.list(), [])
      assert.deepEqual(
        h.revocations.undone().map(({ id }) => id),
        ['x'],
      )
    })
  }

  for (const target of [
    SESSION,
    { kind: 'agent', value: agent, principal: 'user:5f2c' } as const,
  ]) {
    for (const undone of ['x', 'y']) {
      it(`keeps what another revocation of the same ${target.kind} stops: ${undone} undone`, async () => {
        const h = holder()
        await h.entry(target, { id: 'x' })
        await h.entry(target, { id: 'y' })
        await h.undo(undone)
        await h.beat()
        assert.equal(h.outcome(), 'revoked')
      })
    }
  }

  const others: readonly Target[] = [
    { kind: 'agent', value: agent },
    { kind: 'agent', value: agent.slice(0, agent.lastIndexOf('/')), beneath: true },
    { kind: 'agent', value: agent, principal: 'user:5f2c' },
    { kind: 'principal', value: 'user:5f2c' },
    { kind: 'issuer', value: 'spiffe://corp.example' },
  ]
  for (const target of others) {
    it(`lets pass what was undone, of every kind: ${targetText(target)}`, async () => {
      const h = holder()
      // Where nothing is stopped, nothing is looked for.
      await h.entry({ kind: 'task', value: 'of somebody else' })
      await h.entry(target, { id: 'x' })
      await h.beat()
      assert.equal(h.outcome(), 'revoked')
      await h.undo('x')
      assert.equal(h.outcome(), 'passes')
    })
  }

  it('does not believe an undo that the broker did not sign', async () => {
    const h = holder()
    await h.entry(SESSION, { id: 'x' })
    await h.undo('x', {}, makeSigningKey('k1'))
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
    assert.equal(h.refused.length, 1)
  })

  it('forgets an undo no sooner than what was undone has ended', async () => {
    const h = holder()
    const end = h.clock.now + 100
    const text = signRevocation(revocationOf(SESSION, { id: 'x', until: end }), issuer, key)
    await h.undo('x', { until: end })
    for (const seconds of [50, 59, 2]) {
      h.pass(seconds)
      h.feed.entry(text)
      await h.beat()
      assert.equal(h.outcome(), 'passes', `${h.clock.now - end} s after the end`)
    }
    assert.deepEqual(h.revocations.undone(), [])
  })

  const unknown = (h: ReturnType<typeof holder>, kind: string, more: object = {}) =>
    signJws(
      { typ: 'writ-feed+jwt' },
      {
        ...{ iss: issuer, kind, id: 'x', target: { kind: 'planet', value: 't' } },
        ...{ at: h.clock.now, until: h.clock.now + 100, reason: '', by: '', ...more },
      },
      key,
    )

  for (const order of [
    ['revoke', 'undo'],
    ['undo', 'revoke'],
  ]) {
    it(`waits no longer for a kind it does not know once it is undone: ${order}`, async () => {
      const h = holder()
      for (const each of order) {
        if (each === 'revoke') h.feed.entry(unknown(h, 'revoke'))
        else await h.undo('x')
      }
      await h.beat()
      assert.equal(h.outcome(), 'passes')
    })
  }

  it('stops everything at an undo that it does not understand', async () => {
    const h = holder()
    await h.beat()
    h.feed.entry(unknown(h, 'undo', { by: 7 }))
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
  })

  it('stops everything at a member of a target that it does not know', async () => {
    const h = holder()
    await h.beat()
    const target = { kind: 'agent', value: 'a', during: 'the night' }
    h.feed.entry(unknown(h, 'revoke', { target }))
    await settled()
    assert.equal(h.outcome(), 'revocations_stale')
  })
})
