import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AGENT, makeSite, RESOURCE } from './site.ts'
import { temporaryDirectory, writ } from './writ.ts'

const site = await makeSite(await temporaryDirectory({ after }))
const EXPLAIN = ['policy', 'explain', '--config', 'writ.yaml', '--server', RESOURCE]
const TRANSFER = [...EXPLAIN, '--name', 'transfer_funds', '--agent', AGENT]

const ASKED: readonly (readonly [string, readonly string[], string | undefined, object, number])[] =
  [
    [
      'a permitted call',
      [...TRANSFER, '--arguments', '{"to":"alice","amount":5}'],
      undefined,
      { effect: 'permit', policies: ['bots-transfer-little'], lifetimeSeconds: 30 },
      0,
    ],
    [
      'a forbidden one',
      [...TRANSFER, '--arguments', '{"to":"mallory","amount":5}'],
      undefined,
      { effect: 'deny', policies: ['never-to-mallory'] },
      1,
    ],
    [
      'one that nothing permits',
      [...TRANSFER, '--arguments', '{"to":"alice","amount":500}'],
      undefined,
      { effect: 'deny', policies: [] },
      1,
    ],
    [
      'another agent',
      [
        ...EXPLAIN,
        '--name',
        'transfer_funds',
        '--agent',
        'spiffe://corp.test/other',
        '--arguments',
        '{"to":"alice","amount":5}',
      ],
      undefined,
      { effect: 'deny', policies: [] },
      1,
    ],
    [
      'arguments from standard input',
      [...TRANSFER, '--arguments-file', '-'],
      '{"to":"alice","amount":5}',
      { effect: 'permit' },
      0,
    ],
    [
      'a session',
      [...EXPLAIN, '--agent', AGENT],
      undefined,
      { effect: 'permit', policies: ['sessions'] },
      0,
    ],
    [
      'a tool nobody pinned',
      [...EXPLAIN, '--name', 'rm', '--agent', AGENT],
      undefined,
      { effect: 'deny', reason: 'action_unknown', policies: [] },
      1,
    ],
    [
      'arguments the schema does not know',
      [...TRANSFER, '--arguments', '{"to":1}'],
      undefined,
      { effect: 'deny', reason: 'arguments_invalid' },
      1,
    ],
    [
      'a server nobody configured',
      [
        'policy',
        'explain',
        '--config',
        'writ.yaml',
        '--agent',
        AGENT,
        '--server',
        'https://other.test/mcp',
      ],
      undefined,
      { effect: 'deny', reason: 'server_unknown' },
      1,
    ],
  ]

for (const [name, args, input, expected, code] of ASKED) {
  test(`explained: ${name}`, async () => {
    const around = { cwd: site.cwd, ...(input === undefined ? {} : { input }) }
    const ended = await writ([...args, '--json'], around)
    assert.equal(ended.code, code, ended.stdout)
    const answered = ended.json()
    assert.equal(answered.ok, code === 0)
    for (const [member, value] of Object.entries(expected))
      assert.deepEqual(answered[member], value)
  })
}

test('explained to people: who, what, which policy', async () => {
  const { stdout, code } = await writ(
    [...TRANSFER, '--arguments', '{"to":"mallory","amount":5}'],
    site,
  )
  assert.equal(code, 1)
  assert.match(stdout, /^no, a policy forbids it\n/)
  assert.match(stdout, /decided by +never-to-mallory/)
})

test('a question that makes no sense is a usage error', async () => {
  for (const wrong of [
    ['--arguments', '{"a":1,"a":2}'],
    ['--arguments', '[]'],
    ['--at', 'noon'],
    ['--method', 'ping'],
  ]) {
    assert.equal((await writ([...TRANSFER, ...wrong], site)).code, 2, wrong.join(' '))
  }
  const noAgent = [...EXPLAIN, '--agent', 'bot']
  assert.equal((await writ(noAgent, site)).code, 2)
})

test('policy check says yes, or what is wrong and where', async (t) => {
  const good = await writ(['policy', 'check', '--config', 'writ.yaml', '--json'], site)
  assert.equal(good.code, 0, good.stdout)
  const bad = await makeSite(await temporaryDirectory(t))
  const text = 'permit (principal, action == Bank::Action::"transfer_founds", resource);'
  await writeFile(join(bad.cwd, 'policies', 'typo.cedar'), text)
  const ended = await writ(['policy', 'check', '--config', 'writ.yaml'], bad)
  assert.equal(ended.code, 1)
  assert.match(ended.stderr, /typo\.cedar/)
  assert.match(ended.stderr, /transfer_founds/)
})
