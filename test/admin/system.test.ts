import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { BOT, openRig, RESOURCE } from './rig.ts'

const rig = await openRig()
after(() => rig.close())
const { call } = rig
const now = Date.now() / 1000

test('who asks is told who they are', async () => {
  rig.signIn.add('dora', { role: 'viewer', kind: 'person', csrf: 'c', touchedAt: 5 })
  assert.deepEqual((await call('GET', '/v1/me', { as: 'dora' })).body, {
    ...{ id: 'person:dora', name: 'dora', kind: 'person', role: 'viewer' },
    ...{ touchedAt: 5, csrf: 'c' },
  })
})

test('servers are told with the hashes of what is pinned', async () => {
  const { body } = await call('GET', '/v1/servers')
  const pinned = rig.parts.catalogue().servers.get(RESOURCE)!.tools.get('transfer')!
  assert.equal(body.catalogueVersion, rig.parts.catalogue().version)
  assert.deepEqual(body.items[0].definitions, [
    {
      ...{ kind: 'tool', name: 'transfer', hash: pinned.hash },
      ...{ readOnly: false, destructive: true, argumentsOpen: false },
    },
  ])
  const detail = (resource: string) =>
    call('GET', `/v1/servers/detail?resource=${encodeURIComponent(resource)}`)
  assert.deepEqual((await detail(RESOURCE)).body.definitions[0].definition, pinned.definition)
  assert.equal((await detail('https://x.test/')).status, 404)
})

test('keys are told with their public half alone', async () => {
  const { body } = await call('GET', '/v1/keys')
  const [key] = body.items
  assert.deepEqual([body.items.length, key.state, key.algorithm], [1, 'signing', 'ES256'])
  assert.deepEqual(Object.keys(key.jwk).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
})

test('health names what works, and the versions that decide', async () => {
  const { body } = await call('GET', '/v1/health')
  assert.deepEqual([body.ready, body.checks], [true, { store: 'ok' }])
  assert.deepEqual(body.feed, { fresh: true, revocations: 0 })
  assert.equal(body.policyVersion, rig.parts.policies.version)
})

test('identities are issuers, trust domains, and the workloads that were seen', async () => {
  const identity = { kind: 'oidc', issuer: 'ci', attributes: { repo: ['a'] }, endsAt: now + 60 }
  await rig.seen(
    { id: 'i1', lastAt: now },
    { id: 'i2', lastAt: now - 1, tokensUntil: now - 1 },
    { id: 'i3', workload: 'oidc:ci:x', identity, lastAt: now - 2 },
  )
  const { body } = await call('GET', '/v1/identities')
  assert.deepEqual(body.issuers, [{ alias: 'ci', url: 'https://ci.test', vouchesFor: 'workloads' }])
  assert.deepEqual(
    body.workloads.map(({ lastSeen: _, ...told }: { lastSeen: number }) => told),
    [
      { id: BOT, sessions: 2, live: 1 },
      { id: 'oidc:ci:x', kind: 'oidc', issuer: 'ci', sessions: 1, live: 1 },
    ],
  )
  assert.equal(body.bounded, false)
})

test('holders are told with how fresh they are', async () => {
  const { body } = await call('GET', '/v1/holders')
  assert.equal(body.items.length, 1)
  const [{ lastHeardAt, ...own }] = body.items
  assert.deepEqual(own, { id: 'broker-1', kind: 'broker', fresh: true, silent: false, lost: 0 })
  assert.ok(Math.abs(lastHeardAt - Date.now() / 1000) < 60)
})

test('people are invited, changed and removed, and the last admin is not', async () => {
  const { body: list } = await call('GET', '/v1/people')
  assert.deepEqual(
    list.items.map(({ id, passkeys }: { id: string; passkeys: unknown[] }) => [
      id,
      passkeys.length,
    ]),
    [
      ['alice', 1],
      ['bob', 1],
    ],
  )
  const invitation = { name: 'carol', role: 'viewer' }
  const invited = await call('POST', '/v1/people', { body: invitation })
  assert.deepEqual([invited.status, invited.body.expiresAt], [201, 3600])
  assert.equal((await call('POST', '/v1/people/bob/invitations')).status, 201)
  assert.equal((await call('PATCH', '/v1/people/bob', { body: { role: 'approver' } })).status, 204)
  assert.equal((await call('DELETE', '/v1/people/bob/passkeys/k1')).status, 204)
  assert.equal((await call('DELETE', '/v1/people/bob')).status, 204)
  assert.equal((await call('DELETE', '/v1/people/bob')).status, 404)
  const { status, body } = await call('DELETE', '/v1/people/alice')
  assert.deepEqual([status, body.code], [409, 'last_admin'])
  for (const wrong of [{ name: 'x' }, { name: 'x', role: 'root' }, { ...invitation, id: 'y' }]) {
    assert.equal((await call('POST', '/v1/people', { body: wrong })).status, 400)
  }
})
