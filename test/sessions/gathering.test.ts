// Outcomes on their way to the book, and what goes first when there are too many.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditRecord } from '../../src/audit/record.ts'
import { Gathering, MAX_UPDATE_ACTIONS } from '../../src/sessions/gathering.ts'

const NOW = 1_800_000_000
const record = (change: Partial<AuditRecord> = {}): AuditRecord => ({
  time: '',
  door: 'verifier',
  outcome: 'allowed',
  workload: 'spiffe://a.example/b',
  principal: 'user:corp:1',
  actors: ['spiffe://a.example/b'],
  session: 's',
  ...change,
})

function note(gathering: Gathering, n: number, change: Partial<AuditRecord> = {}, session = 's') {
  gathering.note(record({ jti: `j${n}`, ...change }), { session, key: 'k', at: NOW + n })
}

test('outcomes of one session are one update, with the newest actions first', () => {
  const gathering = new Gathering('me')
  note(gathering, 2, { outcome: 'issued', expiresAt: NOW + 60 })
  note(gathering, 1, { outcome: 'refused', reason: 'revoked' })
  note(gathering, 3)
  note(gathering, 4, { outcome: 'issued', expiresAt: NOW + 50 })
  note(gathering, 5, { outcome: 'event', reason: 'identity_second_key' })
  const [update, ...others] = gathering.take({ now: NOW + 10 })
  assert.deepEqual(others, [])
  const { actions, ...rest } = update!
  assert.deepEqual(rest, {
    id: 's',
    workload: 'spiffe://a.example/b',
    principal: 'user:corp:1',
    actors: ['spiffe://a.example/b'],
    key: 'k',
    firstAt: NOW + 1,
    lastAt: NOW + 4,
    issued: 2,
    spent: 1,
    refused: 1,
    tokensUntil: NOW + 60,
  })
  assert.deepEqual(actions, [
    { at: NOW + 4, outcome: 'issued', jti: 'j4', by: 'me' },
    { at: NOW + 3, outcome: 'spent', jti: 'j3', by: 'me' },
    { at: NOW + 2, outcome: 'issued', jti: 'j2', by: 'me' },
    { at: NOW + 1, outcome: 'refused', jti: 'j1', reason: 'revoked', by: 'me' },
  ])
  assert.equal(gathering.size, 0)
})

test('counts stay exact however many details there are', () => {
  const gathering = new Gathering('me', { maxActions: 30 })
  for (let n = 0; n < 1000; n++) note(gathering, n, {}, `s${n % 100}`)
  const taken = gathering.take({ now: NOW + 1000 })
  assert.equal(taken.length, 100)
  assert.ok(taken.every(({ spent, actions }) => spent === 10 && actions.length <= 1))
  const kept = taken.flatMap(({ actions }) => actions)
  assert.equal(kept.length, 30)
  // Those that are kept are their sessions' newest.
  assert.ok(kept.every(({ jti }) => Number(jti!.slice(1)) >= 900))
  assert.equal(gathering.lost, 0)
})

test('an update tells of the newest actions only', () => {
  const gathering = new Gathering('me')
  for (let n = 0; n < 50; n++) note(gathering, n)
  const [update] = gathering.take({ now: NOW + 50 })
  assert.equal(update!.spent, 50)
  assert.equal(update!.actions.length, MAX_UPDATE_ACTIONS)
  assert.deepEqual([update!.actions[0]!.jti, update!.actions.at(-1)!.jti], ['j49', 'j30'])
})

test('what there is no room for is in no count, and how much that was is known', () => {
  const gathering = new Gathering('me', { maxSessions: 2 })
  for (let n = 0; n < 9; n++) note(gathering, n, {}, `s${n % 3}`)
  assert.equal(gathering.lost, 3)
  assert.deepEqual(
    gathering.take({ now: NOW + 9 }).map(({ id, spent }) => [id, spent]),
    [
      ['s0', 3],
      ['s1', 3],
    ],
  )
  note(gathering, 10, {}, 's2')
  assert.equal(gathering.take({ now: NOW + 10 })[0]!.id, 's2')
})

test('room is free again once it was taken', () => {
  const gathering = new Gathering('me', { maxActions: 5 })
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 5; n++) note(gathering, n)
    assert.equal(gathering.take({ now: NOW + 5 })[0]!.actions.length, 5)
  }
})

test('a taking stays within sessions and bytes, and leaves the rest for the next', () => {
  const gathering = new Gathering('me')
  for (let n = 0; n < 100; n++) note(gathering, n, {}, `s${n}`)
  assert.equal(gathering.take({ now: NOW + 100, maxSessions: 7 }).length, 7)
  const seen = new Set<string>()
  while (gathering.size > 0) {
    const taken = gathering.take({ now: NOW + 100, maxBytes: 2000 })
    assert.ok(taken.length > 0)
    assert.ok(JSON.stringify(taken).length <= 2000 + taken.length + 2)
    for (const { id } of taken) seen.add(id)
  }
  assert.equal(seen.size, 93)
})

test('a session too large for a taking loses its details, and no count', () => {
  const gathering = new Gathering('me')
  for (let n = 0; n < 20; n++) note(gathering, n, { name: 'n'.repeat(500) })
  const [update] = gathering.take({ now: NOW + 20, maxBytes: 4000 })
  assert.equal(update!.spent, 20)
  assert.ok(update!.actions.length > 0 && update!.actions.length < 8)
  assert.equal(update!.actions[0]!.jti, 'j19')
})

test('times that a clock left in the future are now', () => {
  const gathering = new Gathering('me')
  note(gathering, 100)
  note(gathering, -5)
  const [update] = gathering.take({ now: NOW })
  assert.deepEqual([update!.firstAt, update!.lastAt], [NOW - 5, NOW])
  assert.deepEqual(
    update!.actions.map(({ at }) => at),
    [NOW, NOW - 5],
  )
})

test('times that are all in the future are all now', () => {
  const gathering = new Gathering('me')
  note(gathering, 100)
  const [update] = gathering.take({ now: NOW })
  assert.deepEqual([update!.firstAt, update!.lastAt, update!.actions[0]!.at], [NOW, NOW, NOW])
})

test('a name that was cut in the middle of a character is text that every reader takes', () => {
  const gathering = new Gathering('me')
  note(gathering, 1, { name: 'note \ud83d', reason: 'of no refusal' })
  const [action] = gathering.take({ now: NOW + 1 })[0]!.actions
  assert.deepEqual([action!.name, action!.reason], ['note \ufffd', undefined])
})

test('large argument values are left out, small ones are kept', () => {
  const gathering = new Gathering('me')
  note(gathering, 1, { arguments: { text: 'small' } })
  note(gathering, 2, { arguments: { text: 'l'.repeat(3000) } })
  const [update] = gathering.take({ now: NOW + 2 })
  assert.deepEqual(
    update!.actions.map((action) => action.arguments),
    [undefined, { text: 'small' }],
  )
})

test('a record that names nobody is passed over', () => {
  const gathering = new Gathering('me')
  gathering.note(
    { time: '', door: 'verifier', outcome: 'refused' },
    { session: 's', key: 'k', at: 1 },
  )
  assert.equal(gathering.size, 0)
})

test('a taking is never empty while there is something to take', () => {
  const gathering = new Gathering('me')
  note(gathering, 1, { workload: 'w'.repeat(2000) })
  assert.deepEqual(
    gathering.take({ now: NOW + 1, maxBytes: 100 }).map(({ spent, actions }) => [spent, actions]),
    [[1, []]],
  )
})
