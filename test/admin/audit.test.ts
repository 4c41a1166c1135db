import assert from 'node:assert/strict'
import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { searchAudit } from '../../src/admin/audit-search.ts'
import { backwardLines } from '../../src/admin/backward-lines.ts'
import { cursorOf } from '../../src/admin/cursor.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { BOT, openRig } from './rig.ts'

const folder = await mkdtemp(join(tmpdir(), 'writ-audit-search-'))
after(() => rm(folder, { recursive: true }))

const time = (at: number) => new Date(at * 1000).toISOString()
const line = (at: number, more: Partial<AuditRecord> = {}) =>
  `${JSON.stringify({ time: time(at), door: 'token-exchange', outcome: 'issued', jti: `j${at}`, ...more })}\n`

const OLD = 'broker.test.20260101T000000.000Z.1-aaaa.jsonl'
const NEW = 'broker.test.20260201T000000.000Z.1-aaaa.jsonl'
await writeFile(
  join(folder, OLD),
  line(1, { workload: BOT }) +
    line(2, { outcome: 'refused', reason: 'policy_denied', workload: `${BOT}-2` }) +
    'half a li\n' +
    '{"time":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z"}\n' +
    '{"time":5,"door":"x","outcome":"issued"}\n',
)
await writeFile(
  join(folder, NEW),
  line(3, { arguments: { iban: 'DE02' }, ceiling: { to: 'DE03' }, session: 's1' }) +
    '\n' +
    line(4, { door: 'admin', outcome: 'allowed', reason: 'revoke', by: 'person:eve' }) +
    '{"time":"2026-02-01T00:00:00Z","door":"cut',
)
await writeFile(join(folder, 'notes.txt'), line(9))

const rig = await openRig(() => ({ auditDirectory: folder }))
after(() => rig.close())
const { call } = rig

interface Page {
  readonly items: readonly AuditRecord[]
  readonly next: string | null
  readonly broken: number
}
async function search(query = '', as = 'viewer'): Promise<Page> {
  const { status, body } = await call('GET', `/v1/audit?${query}`, { as })
  assert.equal(status, 200, JSON.stringify(body))
  return body
}
const ids = ({ items }: Page) => items.map(({ jti }) => jti)

const SEARCHES: readonly (readonly [query: string, found: readonly string[]])[] = [
  ['', ['j4', 'j3', 'j2', 'j1']],
  ['outcome=refused', ['j2']],
  [`workload=${BOT}`, ['j1']],
  ['reason=policy_denied', ['j2']],
  ['door=admin', ['j4']],
  ['by=person:eve', ['j4']],
  ['session=s1', ['j3']],
  ['from=2', ['j4', 'j3', 'j2']],
  ['to=3', ['j2', 'j1']],
  ['from=2&to=3', ['j2']],
  ['text=EVE', ['j4']],
  [`text=${encodeURIComponent(BOT)}`, ['j2', 'j1']],
  ['text=nowhere', []],
]

for (const [query, found] of SEARCHES) {
  test(`the audit by ${query === '' ? 'nothing' : query}`, async () => {
    const page = await search(query)
    assert.deepEqual(ids(page), found)
    assert.equal(page.next, null)
    assert.equal(page.broken, 4)
  })
}

test('pages hold every record once, newest first, also while others are written', async () => {
  const seen: unknown[] = []
  let broken = 0
  let cursor = ''
  for (;;) {
    const page = await search(`limit=1${cursor}`)
    seen.push(...ids(page))
    broken += page.broken
    if (seen.length === 1) await appendFile(join(folder, NEW), `\n${line(5)}`)
    if (page.next === null) break
    cursor = `&cursor=${page.next}`
  }
  assert.deepEqual(seen, ['j4', 'j3', 'j2', 'j1'])
  assert.equal(broken, 4)
  assert.deepEqual(ids(await search('limit=1')), ['j5'])
})

test('argument values are shown to admins, which is recorded, and found by nobody else', async () => {
  for (const as of ['viewer', 'approver']) {
    for (const value of ['DE02', 'DE03']) {
      assert.equal(JSON.stringify(await search('', as)).includes(value), false)
      assert.deepEqual(ids(await search(`text=${value}`, as)), [])
    }
  }
  const isRead = ({ reason }: AuditRecord) => reason === 'arguments_read'
  const before = (await rig.recorded()).filter(isRead).length
  assert.deepEqual(ids(await search('text=DE02', 'admin')), ['j3'])
  const read = (await rig.recorded()).filter(isRead).slice(before)
  assert.deepEqual(
    read.map(({ by, evidence }) => [by, evidence]),
    [['client:admin', { records: 1 }]],
  )
})

test('a search is recorded once, with what was sought', async () => {
  const fresh = await openRig()
  try {
    const first = await fresh.call('GET', '/v1/audit?text=x&limit=1')
    if (first.body.next)
      await fresh.call('GET', `/v1/audit?text=x&limit=1&cursor=${first.body.next}`)
    const lines = (await fresh.recorded()).filter(({ reason }) => reason === 'audit_searched')
    assert.deepEqual(
      lines.map(({ by, evidence }) => [by, evidence]),
      [['client:admin', { text: 'x' }]],
    )
  } finally {
    await fresh.close()
  }
})

test('whom an admin invited is told by name to admins alone', async () => {
  const fresh = await openRig()
  try {
    const body = { name: 'Vera Lind', role: 'viewer' }
    await fresh.call('POST', '/v1/people', { body, headers: { 'idempotency-key': 'k' } })
    const told = async (as: string, query: string) => {
      const path = `/v1/audit?reason=invite_person&${query}`
      const { items } = (await fresh.call('GET', path, { as })).body as Page
      return items.map(({ evidence }) => evidence)
    }
    for (const as of ['viewer', 'approver']) {
      const [shown] = await told(as, '')
      assert.ok(shown !== undefined && shown.role === 'viewer' && !('name' in shown), as)
      assert.deepEqual(await told(as, 'text=lind'), [])
    }
    assert.equal((await told('admin', 'text=lind'))[0]?.name, 'Vera Lind')
  } finally {
    await fresh.close()
  }
})

test('what an admin looked for is told to admins alone', async () => {
  const fresh = await openRig()
  try {
    await fresh.call('GET', '/v1/audit?text=DE02%20XY&by=client:admin')
    const isSearch = ({ evidence }: AuditRecord) => evidence?.by === 'client:admin'
    const told = async (as: string, query: string) => {
      const { items } = (
        await fresh.call('GET', `/v1/audit?reason=audit_searched&${query}`, { as })
      ).body as Page
      return items.filter(isSearch).map(({ by, evidence }) => [by, evidence])
    }
    const without = ['client:admin', { by: 'client:admin' }]
    for (const as of ['viewer', 'approver']) {
      assert.deepEqual(await told(as, ''), [without])
      assert.deepEqual(await told(as, 'text=de02'), [])
    }
    const whole = ['client:admin', { by: 'client:admin', text: 'DE02 XY' }]
    assert.deepEqual(await told('admin', ''), [whole])
    assert.deepEqual(await told('admin', 'text=de02'), [whole])
  } finally {
    await fresh.close()
  }
})

/** The name of a search as its cursors have it. */
const listIn = (cursor: string) => JSON.parse(Buffer.from(cursor, 'base64url').toString())[0]

test('a cursor is for the same search of the same admin, so that none goes unrecorded', async () => {
  const { next } = await search('limit=1&text=j')
  const refused: [string, string][] = [
    ['text=iban', 'viewer'],
    ['', 'viewer'],
    ['text=j&by=person:eve', 'viewer'],
    ['text=j', 'admin'],
  ]
  for (const [query, as] of refused) {
    const { status, body } = await call('GET', `/v1/audit?${query}&cursor=${next}`, { as })
    assert.deepEqual([status, body.pointer], [400, 'cursor'], query)
  }
  assert.ok((await search(`limit=3&text=j&cursor=${next}`)).items.length > 0)
})

test('a cursor names no other file and no other place', async () => {
  const list = listIn(String((await search('limit=1')).next))
  const forged = [
    { order: 0, id: '../secret.jsonl' },
    { order: 0, id: 'notes.txt' },
    { order: 5, id: NEW },
    { order: 1e9, id: NEW },
    { order: -1, id: NEW },
    { order: 1.5, id: NEW },
  ]
  for (const place of forged) {
    const { status, body } = await call('GET', `/v1/audit?cursor=${cursorOf(list, place)}`)
    assert.deepEqual([status, body.pointer], [400, 'cursor'], JSON.stringify(place))
  }
})

test('one answer looks at a bounded number of lines, and the next goes on', async () => {
  const big = await mkdtemp(join(tmpdir(), 'writ-audit-big-'))
  const fresh = await openRig(() => ({ auditDirectory: big }))
  try {
    const many = Array.from({ length: 25_000 }, (_, i) => line(i)).join('')
    await writeFile(join(big, NEW), line(0, { jti: 'first' }) + many)
    const { body: first } = await fresh.call('GET', '/v1/audit?text=first')
    assert.deepEqual([first.items.length, first.bounded], [0, true])
    const { body: rest } = await fresh.call('GET', `/v1/audit?text=first&cursor=${first.next}`)
    assert.deepEqual(ids(rest), ['first'])
    assert.deepEqual([rest.next, rest.bounded], [null, false])
  } finally {
    await fresh.close()
    await rm(big, { recursive: true })
  }
})

test('lines are read backwards as they are forwards, wherever blocks end', async () => {
  const file = join(folder, 'lines.bin')
  const texts = fc.array(
    fc.oneof(
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', '')),
      fc.integer({ min: 65_530, max: 65_540 }).map((length) => 'x'.repeat(length)),
    ),
    { maxLength: 6 },
  )
  await fc.assert(
    fc.asyncProperty(texts, fc.boolean(), async (lines, ended) => {
      await writeFile(file, lines.join('\n') + (ended && lines.length > 0 ? '\n' : ''))
      const read: string[] = []
      for await (const { bytes } of backwardLines(file)) read.unshift(bytes!.toString())
      assert.deepEqual(
        read,
        lines.filter((text) => text !== ''),
      )
      // From the start of any line on, what comes before it.
      const starts: number[] = []
      for await (const { start } of backwardLines(file)) starts.unshift(start)
      for (const [at, start] of starts.entries()) {
        let before = 0
        for await (const _ of backwardLines(file, start)) before += 1
        assert.equal(before, at)
      }
    }),
    { numRuns: 60 },
  )
})

test('a file that cannot be read is not passed over', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'writ-audit-unread-'))
  after(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, OLD))
  const search = searchAudit({
    directory,
    filter: { limit: 50 },
    list: 'audit',
    withArguments: false,
  })
  await assert.rejects(search, { code: 'EISDIR' })
})

test('lines that are too long to be looked at count for the bound of a search', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'writ-audit-long-'))
  after(() => rm(directory, { recursive: true }))
  const long = `${'x'.repeat(4 * 1024 * 1024 + 1)}\n`
  await writeFile(join(directory, OLD), line(1) + long.repeat(6))
  const search = (cursor?: string) =>
    searchAudit({ directory, filter: { limit: 50, cursor }, list: 'audit', withArguments: false })
  const first = await search()
  assert.deepEqual([first.items.length, first.bounded, first.broken], [0, true, 4])
  const rest = await search(first.next!)
  assert.deepEqual([ids(rest as never), rest.bounded, rest.broken], [['j1'], false, 2])
})
