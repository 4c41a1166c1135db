/** What a broker undoes, what it does not, and that its undo is what stays. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { signRevocation } from '../../src/revocation/feed-text.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import type { Target } from '../../src/revocation/target.ts'
import { parseJws } from '../../src/token/jws.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'
import { issuer, key, settled } from './holder.ts'
import { listening, passes, SESSION, started, WHY } from './running.ts'

describe('the publisher', () => {
  it('undoes what another broker revoked, and answers what that was', async () => {
    const transport = memoryFeed()
    const [one, other] = [await started(transport), await started(transport)]
    const revocations = await listening(transport)
    const revocation = await one.revoke({ target: SESSION, reason: 'r', by: 'b' })
    assert.equal(revocation.origin, one.origin)
    await until(() => revocations.list().length === 1)
    assert.deepEqual(await other.undo(revocation.id, WHY), revocation)
    await until(() => revocations.list().length === 0)
    passes(revocations)
    const [undone] = revocations.undone()
    assert.deepEqual(
      [undone?.reason, undone?.by, undone?.origin],
      [...Object.values(WHY), other.origin],
    )
    assert.ok((undone?.until ?? 0) > Date.now() / 1000 + 6 * 86_400)
    passes(await listening(transport))
  })

  it('remembers an undo until the revocation would have ended', async () => {
    const transport = memoryFeed()
    const publisher = await started(transport)
    const end = Math.floor(Date.now() / 1000) + 90 * 86_400
    const { id } = await publisher.revoke({ target: SESSION, ...WHY, until: end })
    await publisher.undo(id, WHY)
    assert.deepEqual(
      (await listening(transport)).undone().map((undo) => undo.until),
      [end],
    )
  })

  for (const [what, target, until] of [
    ['a token', { kind: 'jti', value: 'x' }, undefined],
    ['a time', { kind: 'before', value: '1000' }, undefined],
    ['what has ended', SESSION, Date.now() / 1000 - 60],
  ] as const) {
    it(`does not undo ${what}`, async () => {
      const publisher = await started(memoryFeed())
      const revocation = await publisher.revoke({ target, reason: '', by: '', until })
      await assert.rejects(publisher.undo(revocation.id, WHY), TypeError)
      await assert.rejects(publisher.undo(revocation, WHY), TypeError)
    })
  }

  it('does not undo what nobody revoked, or twice, or without a reason that holders can read', async () => {
    const publisher = await started(memoryFeed())
    await assert.rejects(publisher.undo('nothing', WHY), TypeError)
    const { id } = await publisher.revoke({ target: SESSION, reason: '', by: '' })
    for (const [why, message] of [
      [{ reason: 7, by: '' } as never, /must be text/],
      [{ reason: '', by: undefined } as never, /must be text/],
      [{ reason: 'm'.repeat(1025), by: '' }, /must be text/],
      [{ reason: 'cut \ud83d', by: '' }, /no holder could read/],
      [{ reason: '', by: 'm'.repeat(20_000) }, /no holder could read/],
    ] as const) {
      await assert.rejects(publisher.undo(id, why), { name: 'TypeError', message })
    }
    await publisher.undo(id, WHY)
    await assert.rejects(publisher.undo(id, WHY), TypeError)
  })

  it('publishes an undo again when somebody who had not heard of it put the revocation back', async () => {
    const transport = memoryFeed()
    const publisher = await started(transport)
    const revocation = await publisher.revoke({ target: SESSION, reason: '', by: '' })
    await publisher.undo(revocation.id, WHY)
    const again = signRevocation(revocation, issuer, key)
    await transport.append(again, undefined, revocation.id)
    await until(async () => (await listening(transport)).undone().length === 1)
  })

  it('signs an undo again when the key changes, and never what it undid', async () => {
    const next = makeSigningKey('k2')
    const both = keySourceOf(key, next)
    const transport = memoryFeed()
    let current = key
    const publisher = await started(transport, () => current, both)
    const { id } = await publisher.revoke({ target: SESSION, reason: '', by: '' })
    await publisher.undo(id, WHY)
    current = next
    await until(async () => {
      const later = await listening(transport, keySourceOf(next))
      assert.deepEqual(later.list(), [])
      return later.undone().length === 1
    })
  })

  it('of an undo and a change of the key at the same time, the undo is what stays', async () => {
    for (let round = 0; round < 20; round++) {
      const next = makeSigningKey('k2')
      const both = keySourceOf(key, next)
      const memory = memoryFeed()
      const appended: string[] = []
      // Slow enough that the two meet.
      const transport: FeedTransport = {
        ...memory,
        async append(...entry) {
          await settled()
          appended.push(`${parseJws(entry[0]).payload.kind} ${entry[2]}`)
          await memory.append(...entry)
        },
      }
      let current = key
      const publisher = await started(transport, () => current, both)
      const targets = ['a', 'b', 'sid-1'].map((value): Target => ({ kind: 'session', value }))
      const revocations = await publisher.revokeAll(targets.map((target) => ({ target, ...WHY })))
      current = next
      await new Promise((resolve) => setTimeout(resolve, round))
      await publisher.undo(revocations[2]?.id ?? '', WHY)
      await publisher.close()
      const id = revocations[2]?.id
      const ofIt = appended.filter((each) => each.endsWith(` ${id}`))
      assert.equal(ofIt.at(-1), `undo ${id}`)
      assert.equal(ofIt.filter((each) => each.startsWith('undo')).length, 1)
    }
  })
})
