/** What a broker publishes is in force, outlives its keys, and can be read by every holder. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { MAX_FEED_TEXT_BYTES, signBeat, signRevocation } from '../../src/revocation/feed-text.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { type RefusedText, Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'
import { issuer, key, keys, revocationOf, subject } from './holder.ts'
import { listening, SESSION, started, WHY } from './running.ts'

const now = (): number => Date.now() / 1000

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

  it('does not revoke everything before a time that is far off, which nobody could undo', async () => {
    const publisher = await started(memoryFeed())
    const revoke = (value: number) =>
      publisher.revoke({ target: { kind: 'before', value: String(value) }, reason: '', by: '' })
    const now = Math.floor(Date.now() / 1000)
    await assert.rejects(revoke(9_999_999_999), TypeError)
    await assert.rejects(revoke(now + 310), TypeError)
    await revoke(now + 60)
  })

  it('revokes all or nothing: one request that is not right stops none of them', async () => {
    const transport = memoryFeed()
    const publisher = await started(transport)
    const revocations = await listening(transport)
    const wrong = { target: { kind: 'planet', value: 'x' } as unknown as Target, ...WHY }
    await assert.rejects(publisher.revokeAll([{ target: SESSION, ...WHY }, wrong]), TypeError)
    assert.deepEqual(await publisher.revokeAll([]), [])
    assert.equal(revocations.list().length, 0)
    const made = await publisher.revokeAll([
      { target: SESSION, ...WHY },
      { target: { kind: 'task', value: 't' }, ...WHY },
    ])
    assert.equal(new Set(made.map(({ id }) => id)).size, 2)
    await until(() => revocations.list().length === 2)
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
    'an end in milliseconds': { until: 1.8e12 },
    'an end after the year 5138': { until: 1e11 },
    'an end before all': { until: -1 },
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
      const saysWhat = { name: 'TypeError', message: /^(a target's|beneath|a path) / }
      await assert.rejects(publisher.revoke({ target, reason: '', by: '' }), saysWhat)
    })
  }
})
