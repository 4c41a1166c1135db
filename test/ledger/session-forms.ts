/** What a session book does not take: the part of its promise that is about its callers' mistakes. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { it } from 'node:test'
import type { SessionBook, SessionUpdate } from '../../src/ledger/session-book.ts'
import { actionOf, updateOf } from './session-updates.ts'

const now = (): number => Date.now() / 1000
const newId = (): string => `sid-${randomUUID()}`
const long = 'x'.repeat(2049)
const wrongUpdates: readonly [what: string, changes: Record<string, unknown>][] = [
  ['an id with a space', { id: 'a b' }],
  ['an empty id', { id: '' }],
  ['no workload', { workload: undefined }],
  ['a workload of 2 KiB', { workload: long }],
  ['half a surrogate pair', { principal: '\ud800' }],
  ['actors that are no list', { actors: 'a' }],
  ['an actor that is no text', { actors: [1] }],
  ['a negative count', { issued: -1 }],
  ['half a count', { spent: 0.5 }],
  ['a count that is a text', { refused: '1' }],
  ['no end of tokens', { tokensUntil: Number.NaN }],
  ['times in milliseconds', { firstAt: Date.now(), lastAt: Date.now() }],
  ['a time a week ahead', { lastAt: now() + 7 * 86_400 }],
  ['times the wrong way round', { firstAt: 200, lastAt: 100 }],
  ['actions that are no list', { actions: {} }],
  ['21 actions', { actions: Array.from({ length: 21 }, () => actionOf(1)) }],
  ['an action without its time', { actions: [{ outcome: 'spent', by: 'a' }] }],
  ['an action of another outcome', { actions: [actionOf(1, { outcome: 'lost' as 'spent' })] }],
  ['an action said by nobody', { actions: [{ at: 1, outcome: 'spent' }] }],
  ['an action with a server that is no text', { actions: [{ ...actionOf(1), server: 1 }] }],
  [
    'an action of 16 KiB besides its arguments',
    { actions: [{ ...actionOf(1), more: 'x'.repeat(17_000) }] },
  ],
  ['an identity that is no object', { identity: 'x' }],
  ['an identity without attributes', { identity: { kind: 'a', issuer: 'b', endsAt: 1 } }],
  [
    'an identity of 16 KiB',
    {
      identity: {
        kind: 'a',
        issuer: 'b',
        endsAt: 1,
        attributes: Object.fromEntries(Array.from({ length: 9 }, (_, n) => [n, 'x'.repeat(2000)])),
      },
    },
  ],
]

export function sessionFormTests(book: () => SessionBook): void {
  for (const [what, changes] of wrongUpdates) {
    it(`an update with ${what} is our caller's mistake, and nothing of its batch is kept`, async () => {
      const good = newId()
      const wrong = { ...updateOf(newId()), ...changes } as SessionUpdate
      await assert.rejects(book().apply('wrong', 1, [updateOf(good), wrong]), TypeError)
      assert.equal(await book().get(good), undefined)
    })
  }

  it('sources, sequences, ids and pages take no other form', async () => {
    const update = updateOf(newId())
    for (const source of ['', 'a b', 'a'.repeat(257), 'ä']) {
      await assert.rejects(book().apply(source, 1, [update]), TypeError)
    }
    for (const sequence of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await assert.rejects(book().apply('a', sequence, [update]), TypeError)
    }
    await assert.rejects(book().apply('a', 1, [update, update]), TypeError, 'twice in one batch')
    for (const id of ['', 'a b', 'ä']) {
      await assert.rejects(book().get(id), TypeError)
      await assert.rejects(book().list({ after: { lastSeen: 1, id }, limit: 1 }), TypeError)
    }
    for (const limit of [0, -1, 1.5, 1001, Number.NaN]) {
      await assert.rejects(book().list({ limit }), TypeError)
    }
    await assert.rejects(book().list({ since: Number.NaN, limit: 1 }), TypeError)
    const after = { lastSeen: Number.NaN, id: 'a' }
    await assert.rejects(book().list({ after, limit: 1 }), TypeError)
    await book().apply('nothing', 1, [])
  })
}
