/** What was stopped, by whom and why, is on record for as long as anybody asks. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Documents } from '../../src/ledger/documents.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { Refusal } from '../../src/refusal.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { openHistory } from '../../src/revocation/history.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Target } from '../../src/revocation/target.ts'
import { until } from '../support/redis.ts'
import { issuer, key, keys, revocationOf } from './holder.ts'

const SESSION: Target = { kind: 'session', value: 'sid-1' }
const WHY = { reason: 'it sent mail at night', by: 'person:ann' }

/** Documents and a feed that brokers share; `away` makes the documents fail. */
function startStore() {
  const ledger = memoryLedger({ role: 'broker' })
  const documents = ledger.documents as Documents
  const store = { transport: ledger.feed as FeedTransport, documents, away: false }
  store.documents = new Proxy(documents, {
    get(target, name, receiver) {
      if (store.away) {
        return async () => {
          throw new Refusal({ code: 'ledger_unavailable', detail: 'a test' })
        }
      }
      return Reflect.get(target, name, receiver)
    },
  })
  return store
}

async function startBroker(t: TestContext, store: ReturnType<typeof startStore>) {
  const clock = { offset: 0 }
  const now = () => Date.now() / 1000 + clock.offset
  const { transport, documents } = store
  const publisher = new RevocationPublisher({
    issuer,
    key: () => key,
    keys,
    transport,
    beatEveryMs: 10,
  })
  const errors: unknown[] = []
  const revocations: Revocations = new Revocations({
    issuer,
    keys,
    transport,
    onEntry: (entry) => history.hear(entry),
  })
  const history = openHistory({
    documents,
    publisher,
    revocations,
    clock: now,
    onError: (error) => errors.push(error),
  })
  await Promise.all([publisher.start(), revocations.start()])
  let closed = false
  const close = async () => {
    if (closed) return
    closed = true
    await history.close()
    await revocations.close()
    await publisher.close()
  }
  t.after(close)
  return { publisher, revocations, history, errors, clock, close }
}

describe('the history', () => {
  it('has what is revoked now while much else is still to be written', async (t) => {
    const store = startStore()
    const { history, publisher } = await startBroker(t, store)
    const { create } = store.documents
    let letGo = (): void => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    let created = 0
    store.documents.create = async (...given) => {
      if (created++ === 0) await held
      return create.apply(store.documents, given)
    }
    await publisher.revoke({ target: { kind: 'task', value: 'T-0' }, ...WHY })
    const repaired = history.repair()
    const [made] = await history.revoke([{ target: SESSION, ...WHY }])
    await history.undo(made!.id, WHY)
    const { items } = await history.list({ limit: 10 })
    assert.deepEqual(
      items.map(({ id, undone }) => [id, undone?.by]),
      [[made!.id, WHY.by]],
    )
    letGo()
    await repaired
    assert.equal((await history.list({ limit: 10 })).items.length, 2)
  })

  it('writes down what comes after a look that found nothing to write', async (t) => {
    const { history } = await startBroker(t, startStore())
    await history.repair()
    await history.repair()
    const [made] = await history.revoke([{ target: SESSION, ...WHY }])
    const { items } = await history.list({ limit: 10 })
    assert.deepEqual(
      items.map(({ id }) => id),
      [made!.id],
    )
  })

  it('has what was revoked, undone and ended, newest first, and tells them apart', async (t) => {
    const { history, clock } = await startBroker(t, startStore())
    const soon = Date.now() / 1000 + 60
    const [ended] = await history.revoke([{ target: SESSION, ...WHY, until: soon }])
    const [undone] = await history.revoke([{ target: { kind: 'task', value: 'T-1' }, ...WHY }])
    const [live] = await history.revoke([{ target: { kind: 'issuer', value: 'oidc:ci' }, ...WHY }])
    assert.ok(ended && undone && live)
    const answer = await history.undo(undone.id, { reason: 'was fine', by: 'person:bob' })
    assert.deepEqual([answer.undone?.reason, answer.undone?.by], ['was fine', 'person:bob'])
    clock.offset = 120
    const ids = async (query: object) =>
      (await history.list({ limit: 10, ...query })).items.map(({ id }) => id)
    assert.deepEqual(await ids({}), [live.id, undone.id, ended.id])
    assert.deepEqual(await ids({ state: 'live' }), [live.id])
    assert.deepEqual(await ids({ state: 'ended' }), [ended.id])
    assert.deepEqual(await ids({ state: 'undone' }), [undone.id])
    assert.deepEqual(await ids({ kind: 'task' }), [undone.id])
    assert.deepEqual(await ids({ text: 'OIDC:c' }), [live.id])
    assert.deepEqual(await ids({ text: 'person:bob' }), [undone.id])
    assert.deepEqual(await ids({ text: 'nothing like it' }), [])
    assert.deepEqual(await history.get(live.id), live)
    assert.equal(await history.get('nothing'), undefined)
  })

  it('is read page by page, each revocation once', async (t) => {
    const { history } = await startBroker(t, startStore())
    const targets = Array.from({ length: 25 }, (_, n): Target => ({ kind: 'task', value: `t${n}` }))
    const made = await history.revoke(targets.map((target) => ({ target, ...WHY })))
    const seen: string[] = []
    let pages = 0
    for (let after: { order: number; id: string } | undefined; pages < 10; pages++) {
      const page = await history.list({ limit: 10, after })
      seen.push(...page.items.map(({ id }) => id))
      after = page.next
      if (after === undefined) break
    }
    assert.equal(pages, 2)
    assert.deepEqual(seen.toSorted(), made.map(({ id }) => id).toSorted())
  })

  it('undoes once: the second time it says how it was undone', async (t) => {
    const { history } = await startBroker(t, startStore())
    const [made] = await history.revoke([{ target: SESSION, ...WHY }])
    const first = await history.undo(made?.id ?? '', { reason: 'one', by: 'a' })
    const second = await history.undo(made?.id ?? '', { reason: 'two', by: 'b' })
    assert.deepEqual(second.undone, first.undone)
  })

  it('undoes nothing that cannot be undone, or is not there', async (t) => {
    const { history } = await startBroker(t, startStore())
    const [made] = await history.revoke([{ target: { kind: 'jti', value: 'x' }, ...WHY }])
    await assert.rejects(history.undo(made?.id ?? '', WHY), TypeError)
    await assert.rejects(history.undo('nothing', WHY), TypeError)
    assert.equal((await history.list({ state: 'undone', limit: 10 })).items.length, 0)
  })

  it('of two brokers, what one did is known to the other', async (t) => {
    const store = startStore()
    const [one, other] = [await startBroker(t, store), await startBroker(t, store)]
    const [made] = await one.history.revoke([{ target: SESSION, ...WHY }])
    assert.deepEqual(await other.history.get(made?.id ?? ''), made)
    await other.history.undo(made?.id ?? '', WHY)
    assert.ok((await one.history.get(made?.id ?? ''))?.undone)
    await until(() => one.revocations.list().length === 0)
  })

  it('gets what a broker revoked that died before it wrote it down: from another, and at the start', async (t) => {
    const store = startStore()
    const dead = await startBroker(t, store)
    await dead.history.close()
    const witness = await startBroker(t, store)
    const made = await dead.publisher.revoke({ target: SESSION, ...WHY })
    await until(async () => (await store.documents.get('revocation', made.id)) !== undefined)

    const alone = startStore()
    const before = await startBroker(t, alone)
    await before.history.close()
    const lost = await before.publisher.revoke({ target: SESSION, ...WHY })
    await before.publisher.undo(lost.id, WHY)
    const kept = await before.publisher.revoke({ target: SESSION, ...WHY })
    const next = await startBroker(t, alone)
    await next.history.repair()
    assert.deepEqual((await next.history.list({ limit: 10 })).items, [kept])
    assert.equal(witness.errors.length, 0)
  })

  it('stops also when nothing can be written down, and writes it down later', async (t) => {
    const store = startStore()
    const { history, revocations, errors } = await startBroker(t, store)
    store.away = true
    const [made] = await history.revoke([{ target: SESSION, ...WHY }])
    assert.ok(made)
    await until(() => revocations.list().length === 1)
    assert.ok(errors.length > 0)
    await assert.rejects(history.list({ limit: 1 }), /ledger_unavailable/)
    store.away = false
    await until(async () => (await store.documents.get('revocation', made.id)) !== undefined)
  })

  it('has all that was stopped at once, however much it was', async (t) => {
    const held = Array.from({ length: 10_600 }, () => revocationOf(SESSION))
    const open = async (way: 'heard' | 'repaired') => {
      const written = new Set<string>()
      const create = async (_: string, id: string) => {
        written.add(id)
        return true
      }
      const history = openHistory({
        documents: { ...startStore().documents, create },
        publisher: undefined as never,
        revocations: { list: () => held, undone: () => [] },
      })
      t.after(() => history.close())
      if (way === 'repaired') await history.repair()
      else for (const revocation of held) history.hear({ kind: 'revoke', revocation })
      await until(() => written.size === held.length)
    }
    await open('heard')
    await open('repaired')
  })

  it('has what ends later than any document may, which an older broker let pass', async (t) => {
    const { publisher, history, revocations } = await startBroker(t, startStore())
    const [made] = await history.revoke([{ target: SESSION, ...WHY, until: 99_999_999_999 }])
    assert.deepEqual(await history.get(made?.id ?? ''), made)
    const inMilliseconds = { ...revocationOf(SESSION), until: 1.8e12, origin: publisher.origin }
    history.hear({ kind: 'revoke', revocation: inMilliseconds })
    await until(async () => (await history.list({ limit: 10 })).items.length === 2)
    assert.equal(revocations.list().length, 1)
  })

  it('undoes once more what comes back after the feed has forgotten that it was undone', async (t) => {
    const store = startStore()
    const first = await startBroker(t, store)
    const [made] = await first.history.revoke([{ target: SESSION, ...WHY }])
    assert.ok(made)
    await first.history.undo(made.id, WHY)
    await first.close()
    // As long after as you like: another feed, which has the revocation and no undo of it.
    const later = { ...startStore(), documents: store.documents }
    const second = await startBroker(t, later)
    const { signRevocation } = await import('../../src/revocation/feed-text.ts')
    await later.transport.append(signRevocation(made, issuer, key), undefined, made.id)
    await until(() => second.revocations.undone().some(({ id }) => id === made.id))
    assert.equal(second.revocations.list().length, 0)
  })
})
