/** What ends and what is listed: the part of the promise of documents that is about more than one. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Documents } from '../../src/ledger/documents.ts'

const now = (): number => Date.now() / 1000
/** A kind of its own for a test that lists. */
const newKind = (): string =>
  `k_${randomUUID().replace(/[^a-z]/g, '')}${randomUUID().replace(/[^a-z]/g, '')}`.slice(0, 32)

export function documentListTests(documents: () => Documents): void {
  async function idsOf(kind: string, group?: string, pageSize = 7): Promise<string[]> {
    const ids: string[] = []
    let after: { order: number; id: string } | undefined
    for (;;) {
      const page = await documents().list(kind, { group, after, limit: pageSize })
      ids.push(...page.map(({ id }) => id))
      if (page.length < pageSize) return ids
      after = page.at(-1)
    }
  }

  it('what has ended is gone from everywhere, and its id is free', async () => {
    const kind = newKind()
    const expiresAt = now() + 0.5
    for (const id of ['create', 'replace', 'take', 'remove', 'get']) {
      await documents().put(kind, id, { id }, { expiresAt, group: 'g' })
    }
    await documents().put(kind, 'stays', {}, { group: 'g' })
    const { version } = (await documents().get(kind, 'replace')) ?? assert.fail()
    await sleep(600)
    assert.equal(await documents().get(kind, 'get'), undefined)
    assert.equal(await documents().take(kind, 'take'), undefined)
    assert.equal(await documents().remove(kind, 'remove'), false)
    assert.equal(await documents().replace(kind, 'replace', version, {}), false)
    // Before anything was listed: what is found of it in a list is not its old place.
    assert.equal(await documents().create(kind, 'create', {}, { group: 'h', order: 3 }), true)
    assert.deepEqual(await idsOf(kind), ['create', 'stays'])
    assert.deepEqual(await idsOf(kind, 'g'), ['stays'])
    assert.deepEqual(await idsOf(kind, 'h'), ['create'])
  })

  it('what ended before it was written is never seen', async () => {
    const kind = newKind()
    for (const expiresAt of [now() - 1, 1, 0, -5]) {
      await documents().put(kind, 'a', {})
      await documents().put(kind, 'a', {}, { expiresAt })
      assert.equal(await documents().get(kind, 'a'), undefined, `${expiresAt}`)
      assert.deepEqual(await documents().list(kind, { limit: 10 }), [])
      assert.equal(await documents().create(kind, 'a', {}), true)
    }
  })

  it('written anew without an end, or with a later one, it stays', async () => {
    const kind = newKind()
    for (const id of ['never', 'later']) {
      await documents().put(kind, id, {}, { expiresAt: now() + 0.3, group: 'g' })
    }
    await documents().put(kind, 'never', {}, { group: 'g' })
    await documents().put(kind, 'later', {}, { expiresAt: now() + 60, group: 'g' })
    await sleep(1400)
    // Each write may drop what has ended.
    for (let n = 0; n < 5; n++) await documents().put(kind, 'other', {})
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
      await documents().create(kind, id, { n }, { order, group })
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
    const listed = await documents().list(kind, { limit: 1 })
    assert.deepEqual(listed[0], await documents().get(kind, String(sorted[0]?.id)))
  })

  it('a page goes on where the last one ended, though that one is gone or moved', async () => {
    const kind = newKind()
    for (const id of ['a', 'b', 'c', 'd', 'e']) await documents().put(kind, id, {}, { order: 7 })
    const [, last] = await documents().list(kind, { limit: 2 })
    assert.equal(last?.id, 'd')
    await documents().remove(kind, 'd')
    const rest = async () =>
      (await documents().list(kind, { after: last, limit: 9 })).map(({ id }) => id)
    assert.deepEqual(await rest(), ['c', 'b', 'a'])
    await documents().put(kind, 'd', {}, { order: 1 })
    assert.deepEqual(await rest(), ['c', 'b', 'a', 'd'])
    await documents().put(kind, 'zero', {}, { order: 0 })
    const behind = await documents().list(kind, { after: { order: -0, id: '~' }, limit: 9 })
    assert.deepEqual(
      behind.map(({ id }) => id),
      ['zero'],
    )
  })

  it('moved to another group or order, it is in one place', async () => {
    const kind = newKind()
    await documents().put(kind, 'b', {}, { order: 1, group: 'g' })
    for (let n = 0; n < 6; n++) {
      const group = ['g', 'h', undefined][n % 3]
      await documents().put(kind, 'a', {}, { order: n % 2 === 0 ? 0 : 2, group })
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
      await documents().put(kind, id, {}, { order: Math.floor(n / 10), group: 'g' })
    }
    let reading = true
    async function write(worker: number): Promise<void> {
      for (let n = 0; reading; n++) {
        const id = `steady-0${n % 10}${worker}-other`
        const order = (n * 7) % 9
        await documents().put(kind, id, { n }, { order, group: n % 2 === 0 ? 'g' : 'h' })
        // The steady ones are written too, in their place.
        const at = (n * 13) % 90
        const options = { order: Math.floor(at / 10), group: 'g' }
        await documents().put(kind, String(steady[at]), { n }, options)
        if (n % 3 === 0) await documents().take(kind, id)
        if (n % 5 === 0) await documents().put(kind, `${id}-short`, {}, { expiresAt: now() + 0.01 })
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
}
