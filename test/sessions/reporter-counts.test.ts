// What became of the requests of a verifier is counted at its broker, for the right session and exactly.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generateSenderKey } from '../../src/token/proof.ts'
import { createReporter } from '../../src/verifier/reporter.ts'
import { until } from '../support/redis.ts'
import * as rig from '../verifier/rig.ts'
import { AGENT } from './desk.ts'
import { call, idOf, reporterScene, sentSessions } from './reporter-scene.ts'

const scene = reporterScene()

test('every use and every refusal of a verified token is counted for its session', async () => {
  const verifier = await scene.open()
  const key = generateSenderKey()
  assert.equal(await call(verifier, key), true)
  const session = rig.mint(rig.claimsFor('session', {}, key))
  const listing = { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  await verifier.check(rig.request({ token: session, key, message: listing }))
  // A token for other arguments, a spent one, and one in the hands of another key.
  assert.equal(await call(verifier, key, { other: true }), false)
  const once = rig.mint(rig.claimsFor({}, {}, key))
  await verifier.check(rig.request({ token: once, key }))
  await verifier.check(rig.request({ token: once, key }))
  await verifier.check(rig.request({ token: rig.mint(rig.claimsFor({}, {}, key)) }))
  // Nobody's: its token is not believed.
  const forged = rig.mint(rig.claimsFor({}, {}, key), rig.signingKey('another'))
  await verifier.check(rig.request({ token: forged, key }))

  await until(async () => (await scene.counts(key))?.refused === 3)
  assert.deepEqual(await scene.counts(key), { spent: 3, refused: 3 })
  const { actions } = (await scene.desk.ledger.sessions!.get(idOf(key)))!
  assert.deepEqual(
    actions.map(({ outcome, method, name, reason, address, server }) => [
      outcome,
      method,
      name,
      reason,
      address,
      server,
    ]),
    [
      ['refused', 'tools/call', 'add_note', 'key_mismatch', '192.0.2.7', rig.RESOURCE],
      ['refused', 'tools/call', 'add_note', 'token_spent', '192.0.2.7', rig.RESOURCE],
      ['spent', 'tools/call', 'add_note', undefined, '192.0.2.7', rig.RESOURCE],
      ['refused', 'tools/call', 'add_note', 'action_mismatch', '192.0.2.7', rig.RESOURCE],
      // A use of a session token has no name.
      ['spent', 'tools/list', undefined, undefined, '192.0.2.7', rig.RESOURCE],
      ['spent', 'tools/call', 'add_note', undefined, '192.0.2.7', rig.RESOURCE],
    ],
  )
  assert.ok(actions.every((action) => action.arguments === undefined))
})

test('what was allowed and could not be recorded is told of as refused', async () => {
  const key = generateSenderKey()
  const audit = async () => {
    throw new Error('no space left')
  }
  const verifier = await scene.open({}, { audit })
  assert.equal(await call(verifier, key), false)
  await until(async () => (await scene.counts(key)) !== undefined)
  assert.deepEqual(await scene.counts(key), { spent: 0, refused: 1 })
})

test('two verifiers of one server are two holders, and their counts add up', async () => {
  const key = generateSenderKey()
  const two = [
    await scene.open({ holder: 'left' }),
    await scene.open({ holder: 'right', kind: 'gateway' }),
  ]
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => call(two[n % 2]!, key, n % 4 === 0 ? { wrong: n } : {})),
  )
  for (const verifier of two) await verifier.close()
  assert.deepEqual(await scene.counts(key), { spent: 30, refused: 10 })
  const holders = await scene.desk.ledger.documents!.list('holder', { limit: 1000 })
  const named = holders.map(({ value }) => [
    String(value.id).split('.')[0],
    value.kind,
    value.fresh,
  ])
  assert.ok(named.some((each) => each.join() === 'left,verifier,true'))
  assert.ok(named.some((each) => each.join() === 'right,gateway,true'))
})

test('a name that was cut in the middle of a character does not keep a report out', async () => {
  const key = generateSenderKey()
  const verifier = await scene.open()
  const name = `${'n'.repeat(511)}\u{1f600}`
  const token = rig.mint(rig.claimsFor({ name }, {}, key))
  const { allowed } = await verifier.check(
    rig.request({ token, key, message: rig.callMessage({}, name) }),
  )
  assert.equal(allowed, true)
  await until(async () => (await scene.counts(key)) !== undefined)
})

test('more than one report holds goes out in several at once, each within its limit', async () => {
  const from = scene.desk.bodies.length
  const { notes, desk } = scene
  // It sends at its start, and then not again for an hour.
  const reporter = createReporter(
    { clientId: 'notes', key: notes.key, url: desk.url, everyMs: 3_600_000 },
    {
      issuer: rig.ISSUER,
      resource: rig.RESOURCE,
      revocations: { heard: {}, fresh: true },
      clock: rig.clock.now,
    },
  )
  const keys = Array.from({ length: 1500 }, () => generateSenderKey())
  for (const key of keys) {
    const now = rig.clock.now()
    const { sid, jti, ...claims } = rig.claimsFor({}, {}, key)
    const who = { workload: AGENT, principal: AGENT, session: sid, key: key.jkt }
    const what = { server: rig.RESOURCE, method: 'tools/call', name: 'add_note', jti }
    const time = new Date(now * 1000).toISOString()
    const record = { time, door: 'verifier', outcome: 'allowed', ...who, ...what } as const
    reporter.note(record, { sid, jti, ...claims }, now)
  }
  await reporter.start()
  await until(async () => (await scene.counts(keys.at(-1)!)) !== undefined)
  assert.ok(sentSessions(desk, from).size > 2)
  assert.ok(desk.bodies.slice(from).every((body) => body.length <= 256 * 1024))
  for (const key of keys) assert.deepEqual(await scene.counts(key), { spent: 1, refused: 0 })
  await reporter.close()
})

test('a verifier with nothing to tell says that it is there, and what it has heard', async () => {
  await scene.open({ holder: 'idle' })
  const own = async () =>
    (await scene.desk.ledger.documents!.list('holder', { limit: 1000 })).find(({ value }) =>
      String(value.id).startsWith('idle.'),
    )?.value as { heard: Record<string, number>; fresh: boolean } | undefined
  await until(async () => Object.keys((await own())?.heard ?? {}).length === 1)
  const first = Object.values((await own())!.heard)[0]!
  await until(async () => Object.values((await own())!.heard)[0]! > first)
  assert.equal((await own())!.fresh, true)
})
