import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SessionDetail } from '../../src/admin/schemas.ts'
import { type Column, columns, shorten, when, widthOf } from '../../src/cli/columns.ts'
import { detailText } from '../../src/cli/sessions.ts'
import { parseTargetText } from '../../src/revocation/target-text.ts'

interface Row {
  readonly id: string
  readonly name: string
  readonly count: number
}

const SHOWN: readonly Column<Row>[] = [
  { title: 'ID', value: ({ id }) => id, cut: 'never' },
  { title: 'NAME', value: ({ name }) => name, cut: 'middle' },
  { title: 'COUNT', value: ({ count }) => String(count), cut: 'never', align: 'right' },
]

test('no line is longer than the terminal is wide, and no id is cut', () => {
  const row = fc.record({
    id: fc.string({ minLength: 12, maxLength: 12, unit: fc.constantFrom('a', 'B', '7') }),
    name: fc.string({ maxLength: 300, unit: 'grapheme' }),
    count: fc.nat(),
  })
  fc.assert(
    fc.property(
      fc.array(row, { maxLength: 5 }),
      fc.integer({ min: 40, max: 200 }),
      (rows, width) => {
        const lines = columns(rows, SHOWN, width).split('\n')
        assert.equal(lines.length, rows.length + 1)
        for (const line of lines) assert.ok(widthOf(line) <= width, line)
        for (const [i, { id }] of rows.entries()) assert.ok(lines[i + 1]?.startsWith(id))
      },
    ),
  )
})

test('control and direction-changing characters do not reach the terminal', () => {
  const name = 'a\u001b[2Jb\u202ec\nd\u0007'
  const text = columns([{ id: 'x', name, count: 1 }], SHOWN, 200)
  assert.equal(text.split('\n').length, 2)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  assert.doesNotMatch(text.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
})

const NAMES = [
  'spiffe://corp.test/agents/bot',
  "oidc:x:'; echo stolen; '",
  'oidc:x:$(echo stolen)`echo stolen`',
  'oidc:x:a b"c\\',
]
for (const workload of NAMES) {
  test(`the command that would stop ${workload} is copied into a shell as that, and nothing else`, () => {
    const seen = { issued: 1, spent: 0, refused: 0, firstSeen: 1, lastSeen: 1, tokensUntil: 0 }
    const lists = { actors: [workload], servers: [], stoppedBy: [], actions: [] }
    const principal = "user:x:o'neil"
    const broker = ['--config', "o'neil.yaml", '--url', 'https://writ.example']
    const session = { id: 'x', workload, principal, key: 'k', state: 'idle', ...seen, ...lists }
    const text = detailText(session as SessionDetail, 1, broker)
    const command = /stop it +writ (.*)/.exec(text)?.[1] ?? ''
    const heard = execFileSync('sh', ['-c', `printf '%s\\n' ${command}`], { encoding: 'utf8' })
    const [revoke, target = '', ...more] = heard.trimEnd().split('\n')
    assert.equal(revoke, 'revoke')
    assert.deepEqual(more, broker)
    assert.deepEqual(parseTargetText(target), { kind: 'agent', value: workload, principal })
  })
}

test('of a long id both ends stay, of a long text its beginning', () => {
  assert.equal(
    shorten('spiffe://corp.example/agents/report-bot', 20, 'middle'),
    'spiffe://c…eport-bot',
  )
  assert.equal(shorten('moves money', 6, 'end'), 'moves…')
  assert.equal(shorten('moves', 5, 'end'), 'moves')
  assert.equal(widthOf('日本💶é'), 7)
})

for (const [distance, said] of [
  [0, '0 s ago'],
  [-59, '59 s ago'],
  [-60, '1 min ago'],
  [-7300, '2 h ago'],
  [-200_000, '2 d ago'],
  [90, 'in 1 min'],
] as const) {
  test(`${distance} seconds from now is “${said}”`, () => {
    assert.equal(when(1_800_000_000 + distance, 1_800_000_000), said)
  })
}
