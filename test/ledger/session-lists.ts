/** What is listed and what is forgotten: the part of a session book's promise that is about more than one. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session, SessionBook } from '../../src/ledger/session-book.ts'
import { actionOf, updateOf } from './session-updates.ts'

const now = (): number => Date.now() / 1000
const newId = (): string => `sid-${randomUUID()}`
const KEPT_SECONDS = 30 * 86_400

export function sessionListTests(book: () => SessionBook): void {
  async function sessionOf(id: string): Promise<Session> {
    return (await book().get(id))?.session ?? assert.fail(`no session ${id}`)
  }

  async function allSince(since: number, size: number): Promise<Session[]> {
    const all: Session[] = []
    let after: Session | undefined
    for (;;) {
      const page = await book().list({ after, since, limit: size })
      all.push(...page)
      if (page.length < size) return all
      after = page.at(-1)
    }
  }

  it('lists go by descending last seen and then descending id, page by page', async () => {
    const base = Math.floor(now()) + 1000
    const all = Array.from({ length: 130 }, (_, n) =>
      updateOf(newId(), { lastAt: base + (n % 10) * 0.001, spent: n }),
    )
    await book().apply('listed', 1, all)
    const sorted = all.sort((a, b) => b.lastAt - a.lastAt || (a.id < b.id ? 1 : -1))
    for (const size of [1, 7, 13, 65, 1000]) {
      const listed = await allSince(base, size)
      assert.deepEqual(
        listed.map(({ id }) => id),
        sorted.map(({ id }) => id),
      )
    }
    const since = base + 0.005
    assert.deepEqual(
      (await allSince(since, 9)).map(({ id }) => id),
      sorted.filter(({ lastAt }) => lastAt >= since).map(({ id }) => id),
    )
    assert.deepEqual(await book().list({ since: base + 5, limit: 5 }), [])
  })

  it('while others are seen, no page leaves out one that was not, or shows it twice', async () => {
    const base = Math.floor(now()) + 2000
    const steady = Array.from({ length: 60 }, (_, n) =>
      updateOf(newId(), { lastAt: base + Math.floor(n / 7) }),
    )
    const moving = Array.from({ length: 20 }, () => newId())
    await book().apply('steady', 1, [
      ...steady,
      ...moving.map((id) => updateOf(id, { lastAt: base })),
    ])
    let reading = true
    const writing = (async () => {
      for (let n = 0; reading; n++) {
        const id = String(moving[n % 20])
        await book().apply('moving', n, [updateOf(id, { lastAt: base + (n % 90) / 9 })])
      }
    })()
    const expected = steady.map(({ id }) => id).sort()
    for (let round = 0; round < 6; round++) {
      const listed = (await allSince(base, 5)).map(({ id }) => id)
      const seen = listed.filter((id) => expected.includes(id))
      assert.deepEqual(seen.sort(), expected)
    }
    reading = false
    await writing
  })

  it('a session is forgotten 30 days after it was last seen', async () => {
    const [ends, stays, over] = [newId(), newId(), newId()]
    const lastAt = now() - KEPT_SECONDS + 1
    const actions = [actionOf(lastAt)]
    await book().apply('old', 1, [
      updateOf(ends, { lastAt, spent: 1, actions }),
      updateOf(stays, { lastAt: lastAt + 60, spent: 1, actions }),
      updateOf(over, { lastAt: lastAt - 60, spent: 1, actions }),
    ])
    assert.equal((await sessionOf(ends)).spent, 1)
    assert.equal(await book().get(over), undefined)
    await sleep(1300)
    assert.equal(await book().get(ends), undefined)
    assert.equal((await sessionOf(stays)).spent, 1)
    const listed = async () => (await allSince(0, 50)).map(({ id }) => id)
    assert.ok((await listed()).includes(stays))
    assert.ok(!(await listed()).includes(ends))
    assert.ok(!(await listed()).includes(over))
    await book().apply('old', 2, [updateOf(ends, { spent: 5 })])
    const found = await book().get(ends)
    assert.deepEqual([found?.session.spent, found?.actions], [5, []], 'it begins anew')
    assert.ok((await listed()).includes(ends))
  })
}
