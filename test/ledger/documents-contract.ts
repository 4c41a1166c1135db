/** What every store of documents promises; run unchanged for each. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Documents } from '../../src/ledger/documents.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import { isRefusal } from './contract.ts'
import type { BrokerStore } from './stores.ts'

const now = (): number => Date.now() / 1000
const newId = (): string => `id:${randomUUID()}`
/** A kind of its own for a test that lists. */
const newKind = (): string =>
  `k_${randomUUID().replace(/[^a-z]/g, '')}${randomUUID().replace(/[^a-z]/g, '')}`.slice(0, 32)

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

    async function idsOf(kind: string, group?: string, pageSize = 7): Promise<string[]> {
      const ids: string[] = []
      let after: { order: number; id: string } | undefined
      for (;;) {
        const page = await documents.list(kind, { group, after, limit: pageSize })
        ids.push(...page.map(({ id }) => id))
        if (page.length < pageSize) return ids
        after = page.at(-1)
      }
    }

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

    it('what has ended is gone from everywhere, and its id is free', async () => {
      const kind = newKind()
      const expiresAt = now() + 0.5
      for (const id of ['create', 'replace', 'take', 'remove', 'get']) {
        await documents.put(kind, id, { id }, { expiresAt, group: 'g' })
      }
      await documents.put(kind, 'stays', {}, { group: 'g' })
      const { version } = (await documents.get(kind, 'replace')) ?? assert.fail()
      await sleep(600)
      assert.equal(await documents.get(kind, 'get'), undefined)
      assert.equal(await documents.take(kind, 'take'), undefined)
      assert.equal(await documents.remove(kind, 'remove'), false)
      assert.equal(await documents.replace(kind, 'replace', version, {}), false)
      // Before anything was listed: what is found of it in a list is not its old place.
      assert.equal(await documents.create(kind, 'create', {}, { group: 'h', order: 3 }), true)
      assert.deepEqual(await idsOf(kind), ['create', 'stays'])
      assert.deepEqual(await idsOf(kind, 'g'), ['stays'])
      assert.deepEqual(await idsOf(kind, 'h'), ['create'])
    })

    it('what ended before it was written is never seen', async () => {
      const kind = newKind()
      for (const expiresAt of [now() - 1, 1, 0, -5]) {
        await documents.put(kind, 'a', {})
        await documents.put(kind, 'a', {}, { expiresAt })
        assert.equal(await documents.get(kind, 'a'), undefined, `${expiresAt}`)
        assert.deepEqual(await documents.list(kind, { limit: 10 }), [])
        assert.equal(await documents.create(kind, 'a', {}), true)
      }
    })

    it('written anew without an end, or with a later one, it stays', async () => {
      const kind = newKind()
      for (const id of ['never', 'later']) {
        await documents.put(kind, id, {}, { expiresAt: now() + 0.3, group: 'g' })
      }
      await documents.put(kind, 'never', {}, { group: 'g' })
      await documents.put(kind, 'later', {}, { expiresAt: now() + 60, group: 'g' })
      await sleep(1400)
      // Each write may drop what has ended.
      for (let n = 0; n < 5; n++) await documents.put(kind, 'other', {})
      assert.deepEqual(await idsOf(kind), ['other', 'never', 'later'])
      assert.deepEqual(await idsOf(kind, 'g'), ['never', 'later'])
    })

    it('lists go by descending order and then descending id, page by page', async () => {
      const kind = newKind()
      const orders = [0, -0, 5, 5, 5, -1, -1e300, 1e300, 0.1, 0.2, 1_795_252_371.211, 5e-324]
      const made: { id: string; order: number; group: string | undefined }[] = []
      for (const [n, order] of [...orders, ...orders].entries()) {
        const id = ['a', 'A', '!', '~', 'aa', 'a!', '0', '9'][n % 8] + String(n)
        const group = n % 3 === 0 ? 'third' : undefined
        made.push({ id, order, group })
        await documents.create(kind, id, { n }, { order, group })
      }
      const sorted = made.sort((a, b) => b.order - a.order || (a.id < b.id ? 1 : -1))
      const thirds = sorted.filter(({ group }) => group === 'third')
      for (const size of [1, 2, 7, 24, 1000]) {
        assert.deepEqual(
          await idsOf(kind, undefined, size),
          sorted.map(({ id }) => id),
        )
        assert.deepEqual(
          await idsOf(kind, 'third', size),
          thirds.map(({ id }) => id),
        )
      }
      assert.deepEqual(await idsOf(kind, 'none'), [])
      const listed = await documents.list(kind, { limit: 1 })
      assert.deepEqual(listed[0], await documents.get(kind, String(sorted[0]?.id)))
    })

    it('a page goes on where the last one ended, though that one is gone or moved', async () => {
      const kind = newKind()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await documents.put(kind, id, {}, { order: 7 })
      const [, last] = await documents.list(kind, { limit: 2 })
      assert.equal(last?.id, 'd')
      await documents.remove(kind, 'd')
      const rest = async () =>
        (await documents.list(kind, { after: last, limit: 9 })).map(({ id }) => id)
      assert.deepEqual(await rest(), ['c', 'b', 'a'])
      await documents.put(kind, 'd', {}, { order: 1 })
      assert.deepEqual(await rest(), ['c', 'b', 'a', 'd'])
    })

    it('moved to another group or order, it is in one place', async () => {
      const kind = newKind()
      await documents.put(kind, 'b', {}, { order: 1, group: 'g' })
      for (let n = 0; n < 6; n++) {
        const group = ['g', 'h', undefined][n % 3]
        await documents.put(kind, 'a', {}, { order: n % 2 === 0 ? 0 : 2, group })
        const inOrder = n % 2 === 0 ? ['b', 'a'] : ['a', 'b']
        assert.deepEqual(await idsOf(kind), inOrder)
        assert.deepEqual(await idsOf(kind, 'g'), group === 'g' ? inOrder : ['b'])
        assert.deepEqual(await idsOf(kind, 'h'), group === 'h' ? ['a'] : [])
      }
    })

    it('while others write, no page leaves out what is there throughout, or shows it twice', async () => {
      const kind = newKind()
      const steady = Array.from({ length: 90 }, (_, n) => `steady-${String(n).padStart(3, '0')}`)
      for (const [n, id] of steady.entries()) {
        await documents.put(kind, id, {}, { order: Math.floor(n / 10), group: 'g' })
      }
      let reading = true
      async function write(worker: number): Promise<void> {
        for (let n = 0; reading; n++) {
          const id = `steady-0${n % 10}${worker}-other`
          const order = (n * 7) % 9
          await documents.put(kind, id, { n }, { order, group: n % 2 === 0 ? 'g' : 'h' })
          // The steady ones are written too, in their place.
          const at = (n * 13) % 90
          const options = { order: Math.floor(at / 10), group: 'g' }
          await documents.put(kind, String(steady[at]), { n }, options)
          if (n % 3 === 0) await documents.take(kind, id)
          if (n % 5 === 0) await documents.put(kind, `${id}-short`, {}, { expiresAt: now() + 0.01 })
        }
      }
      const writers = [0, 1, 2].map(write)
      for (let round = 0; round < 6; round++) {
        for (const group of [undefined, 'g']) {
          const seen = (await idsOf(kind, group, 5)).filter((id) => steady.includes(id))
          assert.deepEqual([...new Set(seen)].sort(), steady)
          assert.equal(seen.length, steady.length)
        }
      }
      reading = false
      await Promise.all(writers)
    })

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
