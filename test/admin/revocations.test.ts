import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { hashJson } from '../../src/action/hash.ts'
import { BOT, OTHER, openRig, RESOURCE, type Rig } from './rig.ts'

const rig = await openRig()
after(() => rig.close())
const { call } = rig
const now = Date.now() / 1000

let keys = 0
function revoke(body: object, options: { as?: string; key?: string } = {}, on: Rig = rig) {
  keys += 1
  const headers = { 'idempotency-key': options.key ?? `key-${keys}` }
  return on.call('POST', '/v1/revocations', { as: options.as ?? 'admin', body, headers })
}

async function holdsIt(): Promise<void> {
  // Holders hear of it with the next heartbeats.
  await sleep(150)
}

test('what is revoked stops its sessions, and says who, why and since when', async () => {
  await rig.seen(
    { id: 'a', workload: `${BOT}/a` },
    { id: 'b', workload: `${BOT}/b` },
    { id: 'b-c', workload: `${BOT}/b-c` },
    { id: 'b/c', workload: `${BOT}/b/c` },
  )
  const target = { kind: 'agent', value: `${BOT}/b`, beneath: true }
  const { status, body } = await revoke({ targets: [target], reason: 'it sends money' })
  assert.equal(status, 201)
  const [made] = body.items
  assert.deepEqual(made.target, target)
  assert.deepEqual([made.by, made.reason, made.state], ['client:admin', 'it sends money', 'live'])
  await holdsIt()
  const { body: list } = await call('GET', '/v1/sessions?state=stopped')
  const stopped = list.items.map(({ id, stoppedBy }: { id: string; stoppedBy: string[] }) => [
    id,
    stoppedBy,
  ])
  assert.deepEqual(stopped.sort(), [
    ['b', [made.id]],
    ['b/c', [made.id]],
  ])
  const { body: one } = await call('GET', `/v1/revocations/${made.id}`)
  assert.deepEqual([one.holders.holding, one.holders.all], [1, 1])
  assert.deepEqual(
    one.holders.items.map(({ id, holds }: { id: string; holds: boolean }) => [id, holds]),
    [['broker-1', true]],
  )
  assert.equal(one.command, `writ revoke '${`agent:${BOT}/b/*`}'`)
  const undone = await call('POST', `/v1/revocations/${made.id}/undo`, { body: { reason: 'ok' } })
  assert.equal(undone.status, 200)
  assert.equal(undone.body.state, 'undone')
  assert.equal(undone.body.undone.by, 'client:admin')
  await holdsIt()
  assert.equal((await call('GET', '/v1/sessions?state=stopped')).body.items.length, 0)
  const again = await call('POST', `/v1/revocations/${made.id}/undo`, { body: { reason: 'ok' } })
  assert.equal(again.status, 409)
})

test('every kind of target is revoked, told and found again', async () => {
  const thumbprint = 'x'.repeat(43)
  const targets = [
    { kind: 'jti', value: 'j-1' },
    { kind: 'session', value: 's'.repeat(43) },
    { kind: 'agent', value: `${BOT}/x`, principal: 'user:corp:alice' },
    { kind: 'principal', value: 'user:corp:eve' },
    { kind: 'task', value: 'Month-end' },
    { kind: 'key', value: thumbprint },
    { kind: 'server', value: OTHER },
    { kind: 'issuer', value: 'spiffe://old.test' },
    { kind: 'before', value: String(Math.floor(now - 86_400)) },
  ]
  const { status, body } = await revoke({ targets, reason: 'all kinds' })
  assert.equal(status, 201, JSON.stringify(body))
  assert.deepEqual(
    body.items.map(({ target }: { target: object }) => target),
    targets,
  )
  for (const target of targets) {
    const { body: found } = await call(
      'GET',
      `/v1/revocations?kind=${target.kind}&text=ALL%20KINDS`,
    )
    assert.deepEqual(
      found.items.map((each: { target: object }) => each.target),
      [target],
    )
  }
  for (const kind of ['jti', 'before']) {
    const { body: found } = await call('GET', `/v1/revocations?kind=${kind}`)
    assert.equal(found.items[0].canUndo, false)
    const path = `/v1/revocations/${found.items[0].id}/undo`
    assert.equal((await call('POST', path, { body: { reason: 'no' } })).status, 409)
  }
})

test('revocations come in pages', async () => {
  const seen: string[] = []
  let cursor = ''
  for (;;) {
    const { body } = await call('GET', `/v1/revocations?limit=3${cursor}`)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    if (body.next === null) break
    cursor = `&cursor=${body.next}`
  }
  assert.equal(new Set(seen).size, seen.length)
  assert.ok(seen.length >= 10, String(seen.length))
})

const WRONG: readonly (readonly [name: string, body: object, pointer: string])[] = [
  ['no target', { targets: [], reason: 'x' }, '/targets'],
  ['no reason', { targets: [{ kind: 'jti', value: 'a' }] }, '/reason'],
  ['an empty reason', { targets: [{ kind: 'jti', value: 'a' }], reason: '' }, '/reason'],
  ['a blank reason', { targets: [{ kind: 'jti', value: 'a' }], reason: ' \n\u00a0' }, '/reason'],
  ['another member', { targets: [{ kind: 'jti', value: 'a' }], reason: 'x', who: 1 }, '/who'],
  [
    'another member of a target',
    { targets: [{ kind: 'jti', value: 'a', all: true }], reason: 'x' },
    '/targets/0/all',
  ],
  ['another kind', { targets: [{ kind: 'all', value: 'a' }], reason: 'x' }, '/targets/0/kind'],
  ['a key of no form', { targets: [{ kind: 'key', value: 'a' }], reason: 'x' }, '/targets/0'],
  [
    'a part of a session’s id',
    {
      targets: [
        { kind: 'jti', value: 'a' },
        { kind: 'session', value: 's'.repeat(42) },
      ],
      reason: 'x',
    },
    '/targets/1/value',
  ],
  [
    'a session’s id with another character',
    { targets: [{ kind: 'session', value: `${'s'.repeat(42)}=` }], reason: 'x' },
    '/targets/0/value',
  ],
  [
    'an agent of no form',
    { targets: [{ kind: 'agent', value: 'spiffe://Corp.test/../x' }], reason: 'x' },
    '/targets/0/value',
  ],
  [
    'a trust domain as an agent',
    { targets: [{ kind: 'agent', value: 'spiffe://corp.test' }], reason: 'x' },
    '/targets/0/value',
  ],
  [
    'an agent of an issuer and nobody',
    { targets: [{ kind: 'agent', value: 'oidc:ci' }], reason: 'x' },
    '/targets/0/value',
  ],
  [
    'beneath for a principal',
    { targets: [{ kind: 'principal', value: 'a', beneath: true }], reason: 'x' },
    '/targets/0',
  ],
  [
    'one target twice',
    {
      targets: [
        { kind: 'jti', value: 'a' },
        { kind: 'jti', value: 'a' },
      ],
      reason: 'x',
    },
    '/targets/1',
  ],
  [
    'an end in the past',
    { targets: [{ kind: 'jti', value: 'a' }], reason: 'x', until: 5 },
    '/until',
  ],
  [
    'an end that no store keeps',
    { targets: [{ kind: 'jti', value: 'a' }], reason: 'x', until: 10_000_000_000 },
    '/until',
  ],
  [
    'an end in milliseconds',
    { targets: [{ kind: 'jti', value: 'a' }], reason: 'x', until: 1_800_000_000_000 },
    '/until',
  ],
  ...[
    RESOURCE.replace('bank.test', 'BANK.test'),
    RESOURCE.replace('bank.test', 'bank.test:443'),
    `${RESOURCE}/`,
    RESOURCE.replace('/mcp', '/x/../mcp'),
  ].map((value): [string, object, string] => [
    `a server that is known as another, ${value}`,
    { targets: [{ kind: 'server', value }], reason: 'x' },
    '/targets/0/value',
  ]),
  ...['9999999999', String(Math.ceil(now + 3600))].map((value): [string, object, string] => [
    `everything for good, before ${value}`,
    { targets: [{ kind: 'before', value }], reason: 'x' },
    '/targets/0/value',
  ]),
  [
    'too many targets',
    {
      targets: Array.from({ length: 201 }, (_, i) => ({ kind: 'jti', value: `${i}` })),
      reason: 'x',
    },
    '/targets',
  ],
]

for (const [name, body, pointer] of WRONG) {
  test(`not revoked: ${name}`, async () => {
    const before = (await call('GET', '/v1/revocations?limit=200')).body.items.length
    const { status, body: problem } = await revoke(body)
    assert.deepEqual([status, problem.code, problem.pointer], [400, 'request_invalid', pointer])
    assert.equal((await call('GET', '/v1/revocations?limit=200')).body.items.length, before)
    if (!('reason' in body)) return
    // Whoever looks first, or touches first, is told the same.
    rig.signIn.add('looks', { role: 'admin', kind: 'person' })
    for (const path of ['/v1/revocations/preview', '/v1/touch']) {
      const looked = await call('POST', path, { as: 'looks', body })
      assert.deepEqual([looked.status, looked.body], [400, problem], path)
    }
  })
}

const MANY = Array.from({ length: 11 }, (_, i) => ({ kind: 'jti', value: `t-${i}` }))
const WIDE: readonly (readonly [name: string, targets: readonly object[], wide: boolean])[] = [
  ['one agent', [{ kind: 'agent', value: BOT }], false],
  ['ten tokens', MANY.slice(1), false],
  ['eleven tokens', MANY, true],
  ['all beneath a path', [{ kind: 'agent', value: BOT, beneath: true }], true],
  ['a server', [{ kind: 'server', value: RESOURCE }], true],
  ['an issuer', [{ kind: 'issuer', value: 'oidc:ci' }], true],
  ['everything before a time', [{ kind: 'before', value: '5' }], true],
]

for (const [name, targets, wide] of WIDE) {
  test(`${name} ${wide ? 'needs' : 'needs no'} touch by a person`, async () => {
    const { body: preview } = await call('POST', '/v1/revocations/preview', { body: { targets } })
    assert.equal(preview.wide, wide)
    rig.signIn.add('cookie', {
      role: 'admin',
      kind: 'person',
      csrf: 'c',
      touchedAt: Date.now() / 1000,
    })
    rig.signIn.add('fresh', { role: 'admin', kind: 'person', touchedAt: Date.now() / 1000 - 200 })
    rig.signIn.add('stale', { role: 'admin', kind: 'person', touchedAt: Date.now() / 1000 - 400 })
    rig.signIn.add('local', { role: 'admin', kind: 'local' })
    const asked = { targets, reason: `touch ${name}` }
    for (const as of ['cookie', 'stale']) {
      const { status, body } = await revoke(asked, { as })
      assert.deepEqual([status, body.code], wide ? [403, 'touch_required'] : [201, undefined], as)
    }
    for (const as of ['fresh', 'local', 'admin']) {
      assert.equal((await revoke(asked, { as })).status, 201, as)
    }
    const hash = hashJson({ targets, reason: asked.reason } as never)
    const touch = await call('POST', '/v1/touch', { as: 'cookie', body: asked })
    assert.equal(touch.body.challenge, hash)
    assert.equal(
      (await revoke({ ...asked, touch: `touched ${hash}` }, { as: 'cookie' })).status,
      201,
    )
    const other = { targets, reason: 'another', touch: `touched ${hash}` }
    if (wide) assert.equal((await revoke(other, { as: 'cookie' })).status, 403)
  })
}

test('only people are asked to touch', async () => {
  const asked = { targets: [{ kind: 'jti', value: 'a' }], reason: 'x' }
  assert.equal((await call('POST', '/v1/touch', { body: asked })).status, 409)
})

test('a preview names the live sessions that would stop, and changes nothing', async () => {
  const fresh = await openRig()
  try {
    const at = (server: string) => [
      { at: now, outcome: 'spent' as const, by: 't', server, jti: 'one-token' },
    ]
    await fresh.seen(
      { id: 'p1', workload: `${BOT}/p`, actions: at(RESOURCE), firstAt: now - 100 },
      { id: 'p2', workload: `${BOT}/p/q`, actions: at(OTHER), principal: 'user:corp:alice' },
      { id: 'p3'.padEnd(43, '3'), workload: `${BOT}/p-q`, actions: at(OTHER) },
      { id: 'p4', workload: `${BOT}/p`, tokensUntil: now - 1 },
    )
    const previews: readonly (readonly [object, string[]])[] = [
      [{ kind: 'agent', value: `${BOT}/p`, beneath: true }, [`${BOT}/p`, `${BOT}/p/q`]],
      [{ kind: 'agent', value: `${BOT}/p` }, [`${BOT}/p`]],
      [{ kind: 'agent', value: `${BOT}/p/q`, principal: 'user:corp:bob' }, []],
      [{ kind: 'agent', value: `${BOT}/p/q`, principal: 'user:corp:alice' }, [`${BOT}/p/q`]],
      [{ kind: 'server', value: OTHER }, [`${BOT}/p-q`, `${BOT}/p/q`]],
      [{ kind: 'session', value: 'p3'.padEnd(43, '3') }, [`${BOT}/p-q`]],
      // Its session goes on.
      [{ kind: 'jti', value: 'one-token' }, []],
      [{ kind: 'issuer', value: 'user:corp' }, [`${BOT}/p/q`]],
      [
        { kind: 'before', value: String(Math.ceil(Date.now() / 1000)) },
        [`${BOT}/p`, `${BOT}/p-q`, `${BOT}/p/q`],
      ],
      // It may still hold what it got at first.
      [{ kind: 'before', value: String(Math.ceil(now - 60)) }, [`${BOT}/p`]],
      [{ kind: 'before', value: String(Math.ceil(now - 200)) }, []],
    ]
    for (const [target, workloads] of previews) {
      const body = { targets: [target] }
      const { body: said } = await fresh.call('POST', '/v1/revocations/preview', {
        as: 'viewer',
        body,
      })
      assert.deepEqual(said.workloads, workloads, JSON.stringify(target))
      assert.equal(said.sessions, workloads.length)
      assert.match(said.command, /^writ revoke /)
    }
    const targets = previews.slice(0, 5).map(([target]) => target)
    const { body: all } = await fresh.call('POST', '/v1/revocations/preview', { body: { targets } })
    assert.deepEqual([all.sessions, all.each], [3, [2, 1, 0, 1, 2]])
    assert.equal((await fresh.call('GET', '/v1/revocations')).body.items.length, 0)
    assert.equal((await fresh.call('GET', '/v1/sessions?state=stopped')).body.items.length, 0)
  } finally {
    await fresh.close()
  }
})

test('a session whose every server is stopped is stopped', async () => {
  const fresh = await openRig()
  try {
    const at = (server: string) => ({ at: now, outcome: 'spent' as const, by: 't', server })
    await fresh.seen(
      { id: 'one', actions: [at(OTHER)] },
      { id: 'two', actions: [at(OTHER), at(RESOURCE)] },
    )
    const targets = [{ kind: 'server', value: OTHER }]
    await revoke({ targets, reason: 'x' }, {}, fresh)
    await holdsIt()
    const { body } = await fresh.call('GET', '/v1/sessions?state=stopped')
    assert.deepEqual(
      body.items.map(({ id }: { id: string }) => id),
      ['one'],
    )
  } finally {
    await fresh.close()
  }
})

test('a command that is shown means the same in a shell', async () => {
  const targets = [{ kind: 'principal', value: "user:corp:o'hara; rm -rf $HOME" }]
  const { body } = await call('POST', '/v1/revocations/preview', { body: { targets } })
  const command = `writ revoke 'principal:user:corp:o'\\''hara; rm -rf $HOME'`
  assert.equal(body.command, command)
  const why = { reason: `it's late`, until: 4_000_000_000 }
  const { body: whole } = await call('POST', '/v1/revocations/preview', {
    body: { targets, ...why },
  })
  assert.equal(whole.command, `${command} --reason 'it'\\''s late' --until 2096-10-02T07:06:40Z`)
})

test('people are told by name to admins while they are there, by id for good and to all others', async () => {
  for (const id of ['alice', 'gone']) {
    const touchedAt = Date.now() / 1000
    rig.signIn.add(id, { role: 'admin', kind: 'person', touchedAt })
    const asked = { targets: [{ kind: 'task', value: `of ${id}` }], reason: 'x' }
    const { body } = await revoke(asked, { as: id })
    const byName = id === 'alice' ? { byName: 'alice' } : {}
    const made = body.items[0]
    const who = ({ by, byName }: { by: string; byName?: string }) => ({
      by,
      ...(byName === undefined ? {} : { byName }),
    })
    const path = `/v1/revocations/${made.id}`
    const undone = await call('POST', `${path}/undo`, { as: id, body: { reason: 'ok' } })
    const told = async (as: string) => {
      const { body: list } = await call('GET', '/v1/revocations?limit=1', { as })
      const { body: one } = await call('GET', path, { as })
      return [list.items[0], list.items[0].undone, one, one.undone]
    }
    const all = [made, undone.body, undone.body.undone, ...(await told('admin'))]
    for (const each of all) assert.deepEqual(who(each), { by: `person:${id}`, ...byName })
    for (const as of ['viewer', 'approver']) {
      for (const each of await told(as)) assert.deepEqual(who(each), { by: `person:${id}` })
    }
  }
})

test('who undid it is told by name, whoever made it', async () => {
  rig.signIn.add('alice', { role: 'admin', kind: 'person', touchedAt: Date.now() / 1000 })
  const asked = { targets: [{ kind: 'task', value: 'of a program' }], reason: 'x' }
  const { id } = (await revoke(asked)).body.items[0]
  const path = `/v1/revocations/${id}/undo`
  const { body } = await call('POST', path, { as: 'alice', body: { reason: 'ok' } })
  assert.deepEqual([body.byName, body.undone.byName], [undefined, 'alice'])
})

test('nothing is undone for a blank reason', async () => {
  const asked = { targets: [{ kind: 'task', value: 'kept' }], reason: 'x' }
  const { id } = (await revoke(asked)).body.items[0]
  const path = `/v1/revocations/${id}/undo`
  const { status, body } = await call('POST', path, { body: { reason: '  ' } })
  assert.deepEqual([status, body.pointer], [400, '/reason'])
  assert.equal((await call('GET', `/v1/revocations/${id}`)).body.state, 'live')
})
