/** Whoever is said to hold a revocation holds it. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { BeatClock } from '../../src/revocation/beat-clock.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { signRevocation } from '../../src/revocation/feed-text.ts'
import { holds } from '../../src/revocation/held.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import { parseJws } from '../../src/token/jws.ts'
import { makeSigningKey } from '../support/feed-keys.ts'
import { holder, issuer, key, keys, revocationOf, settled } from './holder.ts'

describe('a holder holds a revocation when it has heard', () => {
  const revocation = { at: 100, origin: 'o1' }
  for (const [what, heard, expected] of [
    ['nothing', {}, false],
    ['its origin before it', { o1: 99.9 }, false],
    ['its origin at its time', { o1: 100 }, false],
    ['its origin after it', { o1: 100.001 }, true],
    ['another origin after it', { o2: 103.9 }, false],
    ['another origin as late as clocks may differ', { o2: 104 }, false],
    ['another origin later than clocks may differ', { o2: 104.1 }, true],
    ['its origin before it, and another long after', { o1: 99, o2: 105 }, true],
  ] as const) {
    it(`${what}: ${expected}`, () => assert.equal(holds(revocation, heard), expected))
  }

  it('one of an older broker, which named no origin: any origin, later', () => {
    assert.equal(holds({ at: 100 }, { o1: 104 }), false)
    assert.equal(holds({ at: 100 }, { o1: 104.1 }), true)
  })
})

describe('what a holder has heard', () => {
  it('is the last good heartbeat of each origin', async () => {
    const h = holder()
    await h.beat(h.clock.now, 'o1')
    await h.beat(h.clock.now + 1, 'o2')
    await h.beat(h.clock.now - 1, 'o1')
    await h.beat(h.clock.now + 1, 'o1', makeSigningKey('k1'))
    assert.deepEqual(h.revocations.heard, { o1: h.clock.now, o2: h.clock.now + 1 })
  })

  it('is of those brokers that were heard last, when there are very many', async () => {
    const h = holder()
    for (let n = 0; n < 260; n++) h.beat(h.clock.now, `o${n}`)
    await settled()
    await h.beat(h.clock.now + 0.1, 'o4')
    assert.deepEqual(Object.keys(h.revocations.heard), [
      ...Array.from({ length: 255 }, (_, n) => `o${n + 5}`),
      'o4',
    ])
  })

  it('is not what came while an entry before it was undecided', async () => {
    const h = holder()
    await h.beat()
    const heard = h.revocations.heard
    h.feed.entry(
      signRevocation(revocationOf({ kind: 'task', value: 't' }), issuer, makeSigningKey('k2')),
    )
    h.pass(0.1)
    await h.beat()
    assert.deepEqual(h.revocations.heard, heard)
  })

  it('is told by entry as well, an undo included', async () => {
    const h = holder()
    await h.entry({ kind: 'task', value: 't' }, { id: 'x' })
    await h.undo('x')
    assert.deepEqual(
      h.heard.map(({ kind }) => kind),
      ['revoke', 'undo'],
    )
  })
})

describe('a heartbeat that overtakes a revocation on its way to the store is of an earlier time', () => {
  it('by the clock of the broker', () => {
    let now = 1_800_000_000
    const clock = new BeatClock(() => now)
    const beats = [clock.beat()]
    const first = clock.publish()
    assert.ok(first.at > (beats[0] ?? 0))
    now += 0.1
    const second = clock.publish()
    for (let n = 0; n < 100; n++) beats.push(clock.beat())
    assert.ok(beats.every((at) => at < first.at))
    first.published()
    for (let n = 0; n < 100; n++) beats.push(clock.beat())
    assert.ok(beats.every((at) => at < second.at))
    assert.ok((beats.at(-1) ?? 0) > first.at)
    second.published()
    beats.push(clock.beat())
    assert.equal(beats.at(-1), now)
    assert.ok(beats.every((at, index) => index === 0 || at > (beats[index - 1] ?? 0)))
  })

  it('and what is published in one moment has an order too', () => {
    const clock = new BeatClock(() => 1_800_000_000)
    const times = Array.from({ length: 50 }, () => {
      const { at, published } = clock.publish()
      published()
      return at
    })
    assert.ok(times.every((at, index) => index === 0 || at > (times[index - 1] ?? 0)))
  })

  it('and in a new order once the clock was put back, or nobody would hear it for as long', () => {
    let now = 1_800_003_600
    const clock = new BeatClock(() => now)
    const { origin } = clock
    clock.beat()
    now -= 0.4
    assert.ok(clock.beat() > now, 'by a little, it goes on')
    assert.equal(clock.origin, origin)
    now -= 0.6
    const first = clock.publish()
    assert.notEqual(clock.origin, origin)
    assert.equal(first.at, now)
    assert.ok(clock.beat() < first.at)
    first.published()
    assert.ok(clock.beat() <= now)
  })

  const open: { close(): Promise<void> }[] = []
  after(async () => {
    for (const each of open.reverse()) await each.close()
  })

  it('so nobody is said to hold what has not reached it, whatever the store takes for it', async () => {
    const memory = memoryFeed()
    let at = Number.POSITIVE_INFINITY
    const transport: FeedTransport = {
      ...memory,
      async append(...entry) {
        at = Number(parseJws(entry[0]).payload.at)
        await new Promise((resolve) => setTimeout(resolve, 30))
        await memory.append(...entry)
      },
    }
    const publisher = new RevocationPublisher({
      issuer,
      key: () => key,
      keys,
      transport,
      beatEveryMs: 3,
    })
    const revocations = new Revocations({ issuer, keys, transport: memory })
    open.push(publisher, revocations)
    await Promise.all([publisher.start(), revocations.start()])
    for (let round = 0; round < 10; round++) {
      const target = { kind: 'task', value: `t${round}` } as const
      at = Number.POSITIVE_INFINITY
      const revoking = publisher.revoke({ target, reason: '', by: '' })
      let done = false
      void revoking.then(() => {
        done = true
      })
      while (!done) {
        const isSaid = holds({ at, origin: publisher.origin }, revocations.heard)
        if (isSaid) assert.ok(revocations.list().some((each) => each.target.value === target.value))
        await new Promise((resolve) => setImmediate(resolve))
      }
      const revocation = await revoking
      while (!holds(revocation, revocations.heard)) await settled()
      assert.ok(revocations.list().some(({ id }) => id === revocation.id))
    }
  })
})
