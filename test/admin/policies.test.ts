import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { BOT, openRig, RESOURCE } from './rig.ts'

const rig = await openRig()
after(() => rig.close())
const { call, parts } = rig
const explain = (body: object) => call('POST', '/v1/policies/explain', { as: 'viewer', body })
const transfer = (more: object = {}) => ({
  ...{ workload: BOT, server: RESOURCE, name: 'transfer', arguments: { to: 'a', amount: 5 } },
  ...more,
})

test('the policies that serve are told, each with its annotations', async () => {
  const { body } = await call('GET', '/v1/policies', { as: 'viewer' })
  assert.equal(body.version, parts.policies.version)
  assert.equal(body.catalogueVersion, parts.catalogue().version)
  assert.equal(body.files[0].name, 'bank.cedar')
  const [little] = body.policies
  assert.deepEqual([little.id, little.effect, little.file], ['little', 'permit', 'bank.cedar'])
  assert.deepEqual(little.annotations, { description: 'bots move a little', lifetime: '30' })
  assert.match(little.text, /^@id\("little"\)/)
})

const ASKED: readonly (readonly [name: string, body: object, decision: object])[] = [
  ['a permitted call', transfer(), { effect: 'permit', policies: ['little'], lifetimeSeconds: 30 }],
  [
    'a forbidden one',
    transfer({ arguments: { to: 'mallory', amount: 5 } }),
    { effect: 'deny', policies: ['never-mallory'] },
  ],
  ['too much', transfer({ arguments: { to: 'a', amount: 500 } }), { effect: 'deny', policies: [] }],
  [
    'another workload',
    transfer({ workload: 'spiffe://corp.test/other' }),
    { effect: 'deny', policies: [] },
  ],
  [
    'a workload of an issuer of tokens, with what its issuer says',
    transfer({ workload: 'oidc:ci:repo:acme/app', attributes: { repository: 'acme/app' } }),
    { effect: 'permit', policies: ['ci'] },
  ],
  [
    'the same without',
    transfer({ workload: 'oidc:ci:repo:acme/app' }),
    { effect: 'deny', policies: [] },
  ],
  [
    'arguments of another form',
    transfer({ arguments: { to: 'a' } }),
    { effect: 'deny', reason: 'arguments_invalid' },
  ],
  [
    'a tool nobody pinned',
    transfer({ name: 'nothing' }),
    { effect: 'deny', reason: 'action_unknown' },
  ],
  [
    'a server nobody knows',
    transfer({ server: 'https://x.test/mcp' }),
    { effect: 'deny', reason: 'server_unknown' },
  ],
  ['a session', { workload: BOT, server: RESOURCE }, { effect: 'deny', policies: [] }],
]

for (const [name, body, decision] of ASKED) {
  test(`explained: ${name}`, async () => {
    const { status, body: said } = await explain(body)
    assert.equal(status, 200, JSON.stringify(said))
    for (const [member, value] of Object.entries(decision)) assert.deepEqual(said[member], value)
    const hasCommand = !('attributes' in body)
    assert.equal(said.command !== undefined, hasCommand)
    if (hasCommand) assert.match(said.command, /^writ policy explain --agent /)
  })
}

test('a question that makes no sense is a bad request', async () => {
  for (const workload of ['bot', 'spiffe://Corp.test/x', 'oidc:ci', 'oidc::x', 'user:corp:alice']) {
    const { status, body } = await explain(transfer({ workload }))
    assert.deepEqual([status, body.code], [400, 'identity_invalid'], workload)
  }
  for (const wrong of [
    { method: 'ping' },
    { at: 'noon' },
    { at: 1e15 },
    { arguments: [] },
    { method: 'resources/read', name: 'x:/' },
    { who: 1 },
  ]) {
    assert.equal((await explain(transfer(wrong))).status, 400, JSON.stringify(wrong))
  }
})

test('policies that are sent are checked as a broker would, and serve nothing', async () => {
  const before = parts.policies.version
  const check = (body: object) => call('POST', '/v1/policies/check', { as: 'viewer', body })
  const { body: same } = await check({})
  assert.deepEqual(
    [same.ok, same.policies, same.version, same.serves],
    [true, 3, before, true],
    JSON.stringify(same),
  )
  const file = (text: string) => ({ files: [{ name: 'new.cedar', text }] })
  const { body: good } = await check(file('permit (principal, action, resource);'))
  assert.deepEqual([good.ok, good.policies, good.serves], [true, 1, false])
  const { body: bad } = await check(
    file('permit (principal, action, resource) when { context.x };'),
  )
  assert.equal(bad.ok, false)
  assert.match(bad.problems[0], /^new\.cedar:1: /)
  const { body: deep } = await check(
    file(`permit (principal, action, resource) when { ${'('.repeat(5000)} };`),
  )
  assert.equal(deep.ok, false)
  assert.equal(parts.policies.version, before)
  assert.equal(
    (await explain(transfer({ workload: 'spiffe://corp.test/other' }))).body.effect,
    'deny',
  )
})

test('a directory that would not load is told, and what served serves on', async () => {
  const fresh = await openRig()
  try {
    await writeFile(join(fresh.policyDirectory, 'bad.cedar'), 'permit (')
    const { body } = await fresh.call('POST', '/v1/policies/check', { body: {} })
    assert.equal(body.ok, false)
    assert.match(body.problems[0], /^bad\.cedar:1: /)
    const { body: served } = await fresh.call('GET', '/v1/policies')
    assert.deepEqual(
      served.files.map(({ name }: { name: string }) => name),
      ['bank.cedar'],
    )
  } finally {
    await fresh.close()
  }
})

test('one check at a time, and few wait', async () => {
  const body = { files: [{ name: 'a.cedar', text: 'permit (principal, action, resource);' }] }
  const all = await Promise.all(
    Array.from({ length: 12 }, () => call('POST', '/v1/policies/check', { body })),
  )
  const statuses = all.map(({ status }) => status)
  assert.ok(statuses.includes(200) && statuses.includes(429), statuses.join())
  const refused = all.find(({ status }) => status === 429)
  assert.equal(refused?.headers.get('retry-after'), '2')
})
