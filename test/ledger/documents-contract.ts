/** What every store of documents promises; run unchanged for each. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { Documents } from '../../src/ledger/documents.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { isRefusal } from './contract.ts'
import { documentListTests } from './document-lists.ts'
import type { BrokerStore } from './stores.ts'

const now = (): number => Date.now() / 1000
const newId = (): string => `id:${randomUUID()}`
const notIds: readonly [what: string, id: string][] = [
  ['nothing', ''],
  ['257 characters', 'a'.repeat(257)],
  ['a space', 'a b'],
  ['a line break', 'a\r\nFLUSHALL'],
  ['unicode', 'ключ'],
  ['no string', 7 as unknown as string],
]
const notKinds: readonly string[] = ['', 'A', 'a-b', 'a}b', 'a:b', 'a1', 'a'.repeat(33)]

const deep = (levels: number): JsonObject =>
  JSON.parse('{"a":'.repeat(levels) + 1 + '}'.repeat(levels))
const notDocuments: readonly [what: string, value: unknown][] = [
  ['over 64 KiB', { a: 'x'.repeat(64 * 1024 - 7) }],
  ['over 64 KiB in UTF-8', { a: 'ы'.repeat(33_000) }],
  ['with half a surrogate pair', { a: '\ud800' }],
  ['with a number that others would round', { a: 2 ** 60 }],
  ['of 65 levels', deep(65)],
  ['that is an array', [1]],
  ['that is null', null],
  ['that is a string', 'a'],
]

export function documentsContract(
  name: string,
  make: () => Promise<BrokerStore>,
  skip: string | false = false,
): void {
  describe(`${name} keeps the promise of documents`, { skip }, () => {
    let store: BrokerStore
    let documents: Documents
    before(async () => {
      store = await make()
      documents = store.documents
    })
    after(() => store?.close())

    it('what was put is there as it was', async () => {
      const id = newId()
      const value = { text: 'ü \u0000 "\\', list: [1, 0.5, null, true, {}], __proto__x: { a: 1 } }
      await documents.put('a', id, value, { expiresAt: now() + 60, group: 'g', order: -1.5 })
      const found = await documents.get('a', id)
      assert.deepEqual(found?.value, value)
      assert.equal(found.id, id)
      assert.equal(found.group, 'g')
      assert.equal(found.order, -1.5)
      assert.ok(Math.abs((found.expiresAt ?? 0) - now() - 60) < 10)
      await documents.put('a', id, { b: 1 })
      const again = await documents.get('a', id)
      assert.deepEqual(again, {
        id,
        value: { b: 1 },
        version: again?.version,
        order: 0,
        group: undefined,
        expiresAt: undefined,
      })
      assert.notEqual(again?.version, found.version)
    })

    it('what one reader changes in its copy, another does not see', async () => {
      const id = newId()
      const value = { list: [1] }
      await documents.put('a', id, value)
      value.list.push(2)
      const read = (await documents.get('a', id)) as unknown as { value: { list: number[] } }
      read.value.list.push(3)
      assert.deepEqual((await documents.get('a', id))?.value, { list: [1] })
    })

    it('kinds are apart, whatever their ids look like', async () => {
      const id = newId()
      await documents.put('a', id, { kind: 'a' })
      assert.equal(await documents.get('b', id), undefined)
      assert.equal(await documents.get('a_', id), undefined)
      assert.equal(await documents.remove('b', id), false)
      for (const odd of ['all', 'ends', 'v:', '}', '{x}', `:${id}`, '%', '"', '~'.repeat(256)]) {
        assert.equal(await documents.create('odd', odd, { odd }, { group: odd }), true, odd)
        assert.deepEqual((await documents.get('odd', odd))?.value, { odd })
        assert.deepEqual(
          (await documents.list('odd', { group: odd, limit: 5 })).map((found) => found.id),
          [odd],
        )
      }
    })

    it('the largest document is kept', async () => {
      const id = newId()
      const value = { a: 'x'.repeat(64 * 1024 - 8) }
      await documents.put('a', id, value)
      assert.deepEqual((await documents.get('a', id))?.value, value)
      await documents.remove('a', id)
    })

    for (const [what, value] of notDocuments) {
      it(`a document ${what} is our caller's mistake`, async () => {
        const wrong = value as JsonObject
        await assert.rejects(documents.put('a', newId(), wrong), TypeError)
        await assert.rejects(documents.create('a', newId(), wrong), TypeError)
        await assert.rejects(documents.replace('a', newId(), 'v', wrong), TypeError)
      })
    }

    const calls: readonly [name: string, call: (kind: string, id: string) => Promise<unknown>][] = [
      ['put', (kind, id) => documents.put(kind, id, {})],
      ['create', (kind, id) => documents.create(kind, id, {})],
      ['replace', (kind, id) => documents.replace(kind, id, 'v', {})],
      ['get', (kind, id) => documents.get(kind, id)],
      ['take', (kind, id) => documents.take(kind, id)],
      ['remove', (kind, id) => documents.remove(kind, id)],
      ['list', (kind, id) => documents.list(kind, { group: id, limit: 1 })],
      ['list behind', (kind, id) => documents.list(kind, { after: { order: 0, id }, limit: 1 })],
    ]
    for (const [call, run] of calls) {
      it(`${call} takes ids and kinds of no other form`, async () => {
        for (const [what, id] of notIds) await assert.rejects(run('a', id), TypeError, what)
        for (const kind of notKinds) await assert.rejects(run(kind, 'a'), TypeError, kind)
      })
    }

    it('options and pages of another form are our caller’s mistake', async () => {
      const wrong = [
        { expiresAt: Number.NaN },
        { expiresAt: Date.now() * 1000 },
        { order: Number.POSITIVE_INFINITY },
        { order: Number.NaN },
        { group: '' },
        { group: 'a b' },
      ]
      for (const options of wrong) {
        await assert.rejects(documents.put('a', 'a', {}, options), TypeError)
        await assert.rejects(documents.create('a', 'a', {}, options), TypeError)
        await assert.rejects(documents.replace('a', 'a', 'v', {}, options), TypeError)
      }
      for (const limit of [0, -1, 1.5, 1001, Number.NaN]) {
        await assert.rejects(documents.list('a', { limit }), TypeError)
      }
      const after = { order: Number.NaN, id: 'a' }
      await assert.rejects(documents.list('a', { after, limit: 1 }), TypeError)
    })

    it('of a hundred that create one document, one does; and again when it is gone', async () => {
      const id = newId()
      for (let round = 0; round < 2; round++) {
        const creates = Array.from({ length: 100 }, (_, by) => documents.create('a', id, { by }))
        const won = (await Promise.all(creates)).flatMap((created, by) => (created ? [by] : []))
        assert.equal(won.length, 1)
        assert.deepEqual((await documents.get('a', id))?.value, { by: won[0] })
        assert.equal(await documents.remove('a', id), true)
      }
    })

    it('of a hundred that replace one version, one does', async () => {
      const id = newId()
      await documents.put('a', id, {})
      for (let round = 0; round < 3; round++) {
        const version = String((await documents.get('a', id))?.version)
        const all = Array.from({ length: 100 }, (_, by) =>
          documents.replace('a', id, version, { by }),
        )
        const won = (await Promise.all(all)).flatMap((replaced, by) => (replaced ? [by] : []))
        assert.equal(won.length, 1)
        assert.deepEqual((await documents.get('a', id))?.value, { by: won[0] })
      }
    })

    it('a hundred that count by replacing lose no count', async () => {
      const id = newId()
      await documents.put('a', id, { count: 0 })
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          for (let done = 0; done < 5; ) {
            const { version, value } = (await documents.get('a', id)) ?? assert.fail()
            const count = Number(value.count) + 1
            if (await documents.replace('a', id, version, { count })) done++
          }
        }),
      )
      assert.deepEqual((await documents.get('a', id))?.value, { count: 100 })
    })

    it('nothing is replaced that is gone, of another version, or under a word that is none', async () => {
      const id = newId()
      assert.equal(await documents.replace('a', id, 'x', {}), false)
      await documents.put('a', id, { a: 1 })
      const { version } = (await documents.get('a', id)) ?? assert.fail()
      for (const other of ['', '*', 'x', `${version}x`, version.slice(1), '.', `${version} `]) {
        assert.equal(await documents.replace('a', id, other, {}), false, other)
      }
      await documents.put('a', id, { a: 1 })
      assert.equal(await documents.replace('a', id, version, {}), false, 'the same text, put again')
      await documents.take('a', id)
      for (const other of ['', '*', version]) {
        assert.equal(await documents.replace('a', id, other, {}), false, other)
      }
      assert.equal(await documents.get('a', id), undefined)
    })

    it('of a hundred that take one document, one gets it', async () => {
      const id = newId()
      await documents.put('a', id, { a: 1 }, { group: 'taken' })
      const takes = await Promise.all(Array.from({ length: 100 }, () => documents.take('a', id)))
      const got = takes.filter((taken) => taken !== undefined)
      assert.deepEqual(
        got.map(({ value }) => value),
        [{ a: 1 }],
      )
      assert.equal(await documents.get('a', id), undefined)
      assert.deepEqual(await documents.list('a', { group: 'taken', limit: 10 }), [])
      assert.equal(await documents.remove('a', id), false)
    })

    documentListTests(() => documents)

    it('a store that is gone is a quick refusal for every call', async () => {
      await store.breakStore()
      const startedMs = performance.now()
      for (const [call, run] of calls) {
        await assert.rejects(run('a', 'a'), isRefusal('ledger_unavailable'), call)
      }
      const together = Array.from({ length: 50 }, () => documents.create('a', newId(), {}))
      for (const { status } of await Promise.allSettled(together)) assert.equal(status, 'rejected')
      assert.ok(performance.now() - startedMs < 10_000, 'none hangs')
    })
  })
}
