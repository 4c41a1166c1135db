/** What was undone counts no more, and nothing brings it back. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { signRevocation } from '../../src/revocation/feed-text.ts'
import { memoryFeed } from '../../src/revocation/memory-feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { parseJws, signJws } from '../../src/token/jws.ts'
import { startBroker, startVerifier } from '../ledger/redis-setup.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { holder, issuer, key, keys, revocationOf, settled, subject } from './holder.ts'

const SESSION: Target = { kind: 'session', value: 'sid-1' }
const WHY = { reason: 'a mistake', by: 'admin' }

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

  it('keeps what another revocation of the same stops', async () => {
    const h = holder()
    await h.entry(SESSION, { id: 'x' })
    await h.entry(SESSION, { id: 'y' })
    await h.undo('x')
    await h.beat()
    assert.equal(h.outcome(), 'revoked')
  })

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

const open: { close(): Promise<void> }[] = []
after(async () => {
  for (const each of open.reverse()) await each.close()
})

async function started(transport: FeedTransport, signWith = () => key, verify = keys) {
  const publisher = new RevocationPublisher({
    issuer,
    key: signWith,
    keys: verify,
    transport,
    beatEveryMs: 10,
  })
  open.push(publisher)
  await publisher.start()
  return publisher
}
async function listening(transport: FeedTransport, verify = keys) {
  const revocations = new Revocations({ keys: verify, issuer, transport })
  open.push(revocations)
  await revocations.start()
  return revocations
}
const passes = (revocations: Revocations) => revocations.check(subject, Date.now() / 1000)

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

  it('does not revoke everything before a time that is far off, which nobody could undo', async () => {
    const publisher = await started(memoryFeed())
    const revoke = (value: number) =>
      publisher.revoke({ target: { kind: 'before', value: String(value) }, reason: '', by: '' })
    const now = Math.floor(Date.now() / 1000)
    await assert.rejects(revoke(9_999_999_999), TypeError)
    await assert.rejects(revoke(now + 310), TypeError)
    await revoke(now + 60)
  })

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
})

it('on SQLite, after a restart: what was undone is undone, what was not is in force', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'writ-undo-'))
  t.after(() => rm(directory, { recursive: true }))
  const opened = async () => {
    const ledger = sqliteLedger({ file: join(directory, 'writ.db'), role: 'broker' })
    await ledger.open()
    return { ledger, transport: ledger.feed as FeedTransport }
  }
  const first = await opened()
  const publisher = await started(first.transport)
  const [gone, kept] = await publisher.revokeAll([
    { target: SESSION, ...WHY },
    { target: { kind: 'issuer', value: 'oidc:ci' }, ...WHY },
  ])
  await publisher.undo(gone?.id ?? '', WHY)
  await publisher.close()
  await first.ledger.close()

  const second = await opened()
  await started(second.transport)
  const revocations = await listening(second.transport)
  passes(revocations)
  assert.deepEqual(revocations.list(), [kept])
  assert.deepEqual(
    revocations.undone().map(({ id }) => id),
    [gone?.id],
  )
  for (const each of open.splice(-2).reverse()) await each.close()
  await second.ledger.close()
})

it('on Redis, two brokers: a store that lost everything gets undos back as undos', {
  skip,
}, async (t) => {
  const server = await startRedis()
  t.after(() => server.stop())
  const one = await startBroker({ url: server.url })
  const other = await startBroker({ url: server.url }, one.key)
  const verifier = await startVerifier({ url: server.url }, one.key)
  const running: { close(): Promise<void> }[] = [verifier, other, one]
  const [gone, kept] = await one.publisher.revokeAll([
    { target: SESSION, ...WHY },
    { target: { kind: 'task', value: 't' }, ...WHY },
  ])
  assert.ok(gone && kept)
  // Whether or not it has heard of it.
  await other.publisher.undo(gone, WHY)
  const held = () => verifier.revocations.list().map(({ id }) => id)
  const undone = () => verifier.revocations.undone().map(({ id }) => id)
  await until(() => held().join() === kept.id && undone().join() === gone.id)

  await server.kill()
  await server.restart('empty')
  await until(() => verifier.revocations.fresh)
  const later = await startVerifier({ url: server.url }, one.key)
  running.push(later)
  await until(
    () =>
      later.revocations.list().length === 1 &&
      later.revocations
        .undone()
        .map(({ id }) => id)
        .join() === gone.id,
  )
  assert.deepEqual(later.revocations.list()[0], kept)
  passes(later.revocations)
  assert.throws(
    () => later.revocations.check({ ...subject, task: 't' }, Date.now() / 1000),
    /revoked/,
  )
  // Before the server goes: they would wait for it.
  await Promise.all(running.map((each) => each.close()))
})
