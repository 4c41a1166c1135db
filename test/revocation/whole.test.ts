/** A heartbeat says "you know everything", so a broker sends none while that is not so. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Epoch, FeedFollower, KeptEntry } from '../../src/revocation/feed.ts'
import { signRevocation } from '../../src/revocation/feed-text.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import type { Target } from '../../src/revocation/target.ts'
import { parseJws, type SigningKey } from '../../src/token/jws.ts'
import type { KeySource } from '../../src/token/key-set.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'
import { issuer, key, keys, revocationOf, settled } from './holder.ts'

const SESSION: Target = { kind: 'session', value: 'sid-1' }
const WHY = { reason: 'a test', by: 'admin' }

/** Every key takes a while to be found. */
const slow: KeySource = {
  find: (kid, alg) => new Promise((resolve) => setTimeout(() => resolve(keys.find(kid, alg)), 20)),
}

const said = ({ id, text }: KeptEntry) => `${parseJws(text).payload.kind} ${id}`
const kidOf = ({ text }: KeptEntry) => String(parseJws(text).header.kid)

/** A broker on a store that a test moves by hand, and that never says back what it was told. */
function startBroker(t: TestContext, given: { keys?: KeySource; key?: () => SigningKey } = {}) {
  const clock = { offset: 0 }
  const scene = {
    clock,
    follower: undefined as unknown as FeedFollower,
    epoch: 'first',
    /** What the store was told, in order. */
    done: [] as ('beat' | readonly KeptEntry[])[],
    restored: [] as (readonly KeptEntry[])[],
    lastBeatAt: 0,
    /** What the next heartbeats wait for on their way. */
    gate: Promise.resolve(),
    errors: 0,
    refusesToRestore: false,
    beats: () => scene.done.filter((each) => each === 'beat').length,
    /** Whatever has begun is over, and as much again. */
    async beatsOn(): Promise<void> {
      const before = scene.beats()
      await until(() => scene.beats() > before + 1)
    },
    async failsOn(): Promise<void> {
      const before = scene.errors
      await until(() => scene.errors > before + 1)
    },
  }
  const epochs = (): Epoch[] => [{ server: 's', since: 0, guardKey: 'g', guard: scene.epoch }]
  const publisher = new RevocationPublisher({
    issuer,
    key: () => key,
    keys,
    ...given,
    beatEveryMs: 1,
    clock: () => Date.now() / 1000 + clock.offset,
    onError: () => scene.errors++,
    transport: {
      append: async (text, expiresAt, id = text) => void scene.done.push([{ id, text, expiresAt }]),
      appendAll: async (entries) => void scene.done.push(entries),
      async beat(text) {
        scene.done.push('beat')
        scene.lastBeatAt = Number(parseJws(text).payload.at)
        await scene.gate
      },
      epochs: async () => epochs(),
      async restore(entries) {
        if (scene.refusesToRestore) throw new Error('not now')
        scene.restored.push(entries)
      },
      follow(follower) {
        scene.follower = follower
        return { close: async () => undefined }
      },
    },
  })
  publisher.start().catch(() => undefined)
  t.after(() => publisher.close())
  return { scene, publisher }
}

describe('a broker sends no heartbeat', () => {
  it('before it has read the feed to its end, and after a loss not before it has again', async (t) => {
    const { scene } = startBroker(t)
    await settled()
    assert.deepEqual([scene.beats(), scene.errors], [0, 0], 'a first reading takes its time')
    scene.follower.lost('a test')
    await scene.failsOn()
    assert.equal(scene.beats(), 0)
    scene.follower.ready?.()
    await scene.beatsOn()
    scene.follower.lost('a test')
    await scene.failsOn()
    const before = scene.beats()
    await scene.failsOn()
    assert.equal(scene.beats(), before)
    scene.follower.ready?.()
    await scene.beatsOn()
  })

  it('while what a store lost cannot be put back', async (t) => {
    const { scene, publisher } = startBroker(t)
    scene.follower.ready?.()
    await publisher.revoke({ target: SESSION, ...WHY })
    await scene.beatsOn()
    scene.refusesToRestore = true
    scene.epoch = 'second'
    await scene.failsOn()
    const before = scene.beats()
    await scene.failsOn()
    assert.equal(scene.beats(), before)
    scene.refusesToRestore = false
    await scene.beatsOn()
    assert.equal(scene.restored.at(-1)?.length, 1)
  })

  it('once it is closed', async (t) => {
    const { scene, publisher } = startBroker(t)
    scene.follower.ready?.()
    await scene.beatsOn()
    const { promise, resolve } = Promise.withResolvers<void>()
    scene.gate = promise
    const before = scene.beats()
    await until(() => scene.beats() > before)
    let closed = false
    const closing = publisher.close().then(() => {
      closed = true
    })
    await settled()
    assert.equal(closed, false, 'not while one is on its way')
    resolve()
    await closing
    await settled()
    await settled()
    assert.equal(scene.beats(), before + 1)
  })
})

it('one that is closed before it has read the feed ends, and says nothing more', async (t) => {
  const { scene, publisher } = startBroker(t)
  await publisher.close()
  scene.follower.ready?.()
  await settled()
  assert.deepEqual([scene.beats(), scene.errors], [0, 0])
})

describe('a store that lost everything is given back', () => {
  async function restored({ scene }: ReturnType<typeof startBroker>): Promise<string[]> {
    const before = scene.restored.length
    scene.epoch += '+'
    await until(() => scene.restored.length > before)
    return (scene.restored.at(-1) ?? []).map(said)
  }

  it('what this broker revoked and undid, though it never heard of it again', async (t) => {
    const broker = startBroker(t)
    broker.scene.follower.ready?.()
    const kept = await broker.publisher.revoke({ target: SESSION, ...WHY })
    const gone = await broker.publisher.revoke({ target: SESSION, ...WHY })
    await broker.publisher.undo(gone.id, WHY)
    assert.deepEqual(await restored(broker), [`revoke ${kept.id}`, `undo ${gone.id}`])
    const undo = parseJws(broker.scene.restored.at(-1)?.at(-1)?.text ?? '').payload
    await until(() => broker.scene.lastBeatAt > Number(undo.at) + 0.05)
  })

  it('what it heard just now, which another broker signed', async (t) => {
    const broker = startBroker(t, { keys: slow })
    broker.scene.follower.ready?.()
    await broker.scene.beatsOn()
    broker.scene.follower.entry(signRevocation(revocationOf(SESSION, { id: 'x' }), issuer, key))
    assert.deepEqual(await restored(broker), ['revoke x'])
  })

  it('nothing that has ended, and everything that a clock was wrong about', async (t) => {
    const broker = startBroker(t)
    const now = Date.now() / 1000
    broker.scene.follower.ready?.()
    await broker.publisher.revoke({ target: SESSION, ...WHY, until: now - 60 })
    const live = await broker.publisher.revoke({ target: SESSION, ...WHY, until: now + 600 })
    broker.scene.clock.offset = 3600
    await broker.scene.beatsOn()
    broker.scene.clock.offset = 0
    await broker.scene.beatsOn()
    assert.deepEqual(await restored(broker), [`revoke ${live.id}`])
  })
})

it('an undo whose revocation was put back is published until it is heard, and no longer', async (t) => {
  const { scene, publisher } = startBroker(t)
  scene.follower.ready?.()
  const revocation = await publisher.revoke({ target: SESSION, ...WHY })
  await publisher.undo(revocation.id, WHY)
  const entries = () => scene.done.flatMap((each) => (each === 'beat' ? [] : each))
  const [, undo] = entries()
  assert.ok(undo)
  scene.follower.entry(signRevocation(revocation, issuer, key))
  await until(() => entries().length > 4)
  assert.deepEqual([...new Set(entries().slice(2).map(said))], [`undo ${revocation.id}`])
  scene.follower.entry(undo.text)
  await scene.beatsOn()
  const { length } = entries()
  await scene.beatsOn()
  assert.equal(entries().length, length)
})

it('what another broker revoked a moment ago can be undone', async (t) => {
  const { scene, publisher } = startBroker(t, { keys: slow })
  scene.follower.entry(signRevocation(revocationOf(SESSION, { id: 'x' }), issuer, key))
  assert.equal((await publisher.undo('x', WHY)).id, 'x')
})

it('however much a new key has to sign again, heartbeats go on in between', async (t) => {
  const next = makeSigningKey('k2')
  let current = key
  const given = { keys: keySourceOf(key, next), key: () => current }
  const { scene, publisher } = startBroker(t, given)
  scene.follower.ready?.()
  const targets = Array.from({ length: 1050 }, (_, n): Target => ({ kind: 'task', value: `${n}` }))
  const made = await publisher.revokeAll(targets.map((target) => ({ target, ...WHY })))
  await scene.beatsOn()
  const undone = made.at(-1)?.id ?? ''
  const from = scene.done.length
  current = next
  await until(() => scene.done.slice(from).some((each) => each !== 'beat'))
  await publisher.undo(undone, WHY)
  const signed = () => scene.done.slice(from).flatMap((each) => (each === 'beat' ? [] : each))
  await until(() => new Set(signed().map(({ id }) => id)).size === 1050)
  await scene.beatsOn()
  let since = 0
  for (const each of scene.done.slice(from)) {
    since = each === 'beat' ? 0 : since + each.length
    assert.ok(since <= 201, `${since} entries without a heartbeat`)
  }
  assert.ok(signed().every((entry) => kidOf(entry) === 'k2'))
  const [ofIt, others] = [true, false].map((is) =>
    signed().filter(({ id }) => (id === undone) === is),
  )
  assert.equal(others?.length, 1049, 'each of them once')
  assert.equal(ofIt?.map(said).at(-1), `undo ${undone}`)
})
