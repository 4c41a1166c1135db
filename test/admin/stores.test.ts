// The same over SQLite, and how far one answer looks.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { openRig, updateOf } from './rig.ts'

const rig = await openRig(undefined, (folder) =>
  sqliteLedger({ file: join(folder, 'writ.db'), role: 'broker' }),
)
after(() => rig.close())
const { call } = rig

test('on SQLite, of many at once under one key one revokes, and all are told the same', async () => {
  const body = { targets: [{ kind: 'session', value: 's'.repeat(43) }], reason: 'race' }
  const headers = { 'idempotency-key': 'race' }
  const all = await Promise.all(
    Array.from({ length: 10 }, () => call('POST', '/v1/revocations', { body, headers })),
  )
  assert.deepEqual(
    all.map(({ status }) => status),
    Array(10).fill(201),
  )
  assert.equal(new Set(all.map((each) => JSON.stringify(each.body))).size, 1)
  assert.equal((await call('GET', '/v1/revocations')).body.items.length, 1)
})

test('one answer looks at a bounded number of sessions, and the next goes on', async () => {
  const now = Date.now() / 1000
  for (let batch = 0; batch < 21; batch += 1) {
    const updates = Array.from({ length: 500 }, (_, i) =>
      updateOf({ id: `m-${batch}-${i}`, lastAt: now - batch * 500 - i, firstAt: now - 20_000 }),
    )
    await rig.sessions.apply('many', batch + 1, updates)
  }
  await rig.seen({ id: 'needle', lastAt: now - 15_000, firstAt: now - 20_000 })
  const { body: first } = await call('GET', '/v1/sessions?text=needle')
  assert.deepEqual([first.items.length, first.bounded], [0, true])
  const { body: rest } = await call('GET', `/v1/sessions?text=needle&cursor=${first.next}`)
  assert.deepEqual(
    rest.items.map(({ id }: { id: string }) => id),
    ['needle'],
  )
  assert.deepEqual([rest.next, rest.bounded], [null, false])
  const { body: identities } = await call('GET', '/v1/identities')
  assert.equal(identities.bounded, true)
})

test('searches read one page at a time, and heartbeats go between', async () => {
  let turns = 0
  let counting = true
  const count = () => {
    turns += 1
    if (counting) setImmediate(count)
  }
  const readAt: number[] = []
  const counted = await openRig(({ sessions }) => ({
    sessions: {
      ...sessions,
      list(options) {
        readAt.push(turns)
        return rig.sessions.list(options)
      },
    },
  }))
  count()
  try {
    const body = { targets: [{ kind: 'session', value: 'n'.repeat(43) }] }
    await Promise.all([
      counted.call('GET', '/v1/sessions?text=needle'),
      counted.call('GET', '/v1/identities'),
      counted.call('POST', '/v1/revocations/preview', { body }),
      counted.call('POST', '/v1/revocations/preview', { body }),
    ])
  } finally {
    counting = false
    await counted.close()
  }
  assert.ok(readAt.length >= 30 + 2, `${readAt.length} pages`)
  assert.equal(new Set(readAt).size, readAt.length)
})
