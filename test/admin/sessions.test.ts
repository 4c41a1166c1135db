import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { encodeBase64url } from '../../src/lib/base64url.ts'
import { BOT, OTHER, openRig, RESOURCE } from './rig.ts'

const rig = await openRig()
after(() => rig.close())
const { call } = rig
const now = Date.now() / 1000

const actionAt = (server: string) => ({
  ...{ at: now, outcome: 'spent' as const, by: 'test', server, method: 'tools/call' },
  ...{ name: 'transfer', address: '192.0.2.7', task: 'Month-end', arguments: { iban: 'DE02' } },
})

await rig.seen(
  { id: 'bank', actions: [actionAt(RESOURCE)], lastAt: now },
  { id: 'child', workload: `${BOT}/child`, principal: 'user:corp:alice', lastAt: now - 1 },
  { id: 'sibling', workload: `${BOT}-2`, lastAt: now - 2, tokensUntil: now - 1 },
  { id: 'notes', actions: [{ ...actionAt(OTHER), task: 'other' }], lastAt: now - 3 },
  { id: 'old', lastAt: now - 4000, firstAt: now - 5000, tokensUntil: now - 3900 },
)

const FILTERS: readonly (readonly [query: string, ids: readonly string[]])[] = [
  ['', ['bank', 'child', 'sibling', 'notes', 'old']],
  ['state=live', ['bank', 'child', 'notes']],
  ['state=idle', ['sibling', 'old']],
  ['state=stopped', []],
  [`workload=${BOT}`, ['bank', 'notes', 'old']],
  [`beneath=${BOT}`, ['bank', 'child', 'notes', 'old']],
  ['principal=user:corp:alice', ['child']],
  [`server=${encodeURIComponent(OTHER)}`, ['notes']],
  ['task=Month-end', ['bank']],
  ['address=192.0.2.7', ['bank', 'notes']],
  ['text=MONTH', ['bank']],
  ['text=notes.test', ['notes']],
  ['text=iban', []],
  [`since=${Math.floor(now - 60)}`, ['bank', 'child', 'sibling', 'notes']],
  [`state=live&beneath=${BOT}&text=ALICE`, ['child']],
]

for (const [query, ids] of FILTERS) {
  test(`sessions by ${query === '' ? 'nothing' : query}`, async () => {
    const { status, body } = await call('GET', `/v1/sessions?${query}`, { as: 'viewer' })
    assert.equal(status, 200)
    assert.deepEqual(
      body.items.map(({ id }: { id: string }) => id),
      ids,
    )
    assert.equal(body.next, null)
  })
}

test('pages hold every session once, also while others come', async () => {
  const seen: string[] = []
  let cursor = ''
  for (;;) {
    const { body } = await call('GET', `/v1/sessions?limit=2${cursor}`)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    if (seen.length === 2) await rig.seen({ id: 'newer', lastAt: now + 1 })
    if (body.next === null) break
    cursor = `&cursor=${body.next}`
  }
  assert.deepEqual(seen, ['bank', 'child', 'sibling', 'notes', 'old'])
})

test('argument values are for admins, and that they were read is recorded', async () => {
  for (const as of ['viewer', 'approver']) {
    const { body } = await call('GET', '/v1/sessions/bank', { as })
    assert.equal(JSON.stringify(body).includes('DE02'), false)
  }
  const isRead = ({ reason }: { reason?: string }) => reason === 'arguments_read'
  assert.equal((await rig.recorded()).filter(isRead).length, 0)
  const list = await call('GET', '/v1/sessions')
  assert.equal(JSON.stringify(list.body).includes('DE02'), false)
  const { body } = await call('GET', '/v1/sessions/bank')
  assert.deepEqual(body.actions[0].arguments, { iban: 'DE02' })
  const [line] = (await rig.recorded()).filter(isRead)
  assert.equal(line?.by, 'client:admin')
  assert.deepEqual(line?.evidence, { session: 'bank' })
})

test('a session that nobody knows is not found', async () => {
  for (const id of ['nobody', '%20', '%00', 'x'.repeat(300), 'a%2Fb']) {
    assert.equal((await call('GET', `/v1/sessions/${id}`)).status, 404, id)
  }
})

test('a cursor that was made elsewhere is a bad request', async () => {
  const forged = [
    'x',
    '!',
    encodeBase64url('[]'),
    encodeBase64url('{}'),
    encodeBase64url('["sessions",1]'),
    encodeBase64url('["sessions","1","a"]'),
    encodeBase64url('["sessions",1,"a",2]'),
    encodeBase64url('["sessions",1,"a b"]'),
    encodeBase64url('["sessions",1,""]'),
    encodeBase64url('["revocations",1,"a"]'),
    encodeBase64url('[["sessions"],1,"a"]'),
    encodeBase64url('["sessions",1e999,"a"]'),
  ]
  for (const cursor of forged) {
    for (const path of ['sessions', 'revocations', 'audit']) {
      if (path === 'revocations' && cursor === forged[9]) continue
      const { status, body } = await call('GET', `/v1/${path}?cursor=${encodeURIComponent(cursor)}`)
      assert.deepEqual([status, body.pointer], [400, 'cursor'], `${path} ${cursor}`)
    }
  }
})

test('no cursor is an exception', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.string({ minLength: 1 }), fc.json().map(encodeBase64url)),
      async (cursor) => {
        const query = new URLSearchParams({ cursor })
        const { status } = await call('GET', `/v1/sessions?${query}`)
        assert.ok(status === 400 || status === 200, String(status))
      },
    ),
    { numRuns: 200 },
  )
})
