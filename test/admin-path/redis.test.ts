/** Two brokers on one Redis, and verifiers that share it and report. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { RESOURCE } from '../attacks/site.ts'
import { type RedisServer, skipWithoutRedis, startRedis, until } from '../support/redis.ts'
import { type Far, startFar, testAcknowledged } from './acknowledged.ts'
import { agentOf, settled } from './agents.ts'
import { apiDoor, asProgram, command, commandDoor, onSocket } from './doors.ts'
import { testNewKeys } from './new-keys.ts'
import { BRIEF_RESOURCE, openPlace, type Place } from './place.ts'
import { testSessions } from './sessions.ts'
import { type Stage, testStopping } from './stop.ts'

describe('two brokers on one Redis', { skip: skipWithoutRedis }, () => {
  let redis: RedisServer
  let place: Place
  let stage: Stage
  let far: Far
  /** Begun first, because an end takes its time. */
  let ended: Promise<unknown>

  before(async () => {
    redis = await startRedis()
    place = await openPlace({ brokers: 2, store: { redis: { url: redis.url } }, behindCable: true })
    const named = (name: string) => ({ reports: place.reports(name) })
    const [one, two, brief] = await Promise.all([
      place.startVerifier(RESOURCE, named('one')),
      place.startVerifier(RESOURCE, named('two')),
      place.startVerifier(BRIEF_RESOURCE, named('brief')),
      place.startVerifier(place.liveResource, named('live')),
    ])
    const verifiers = new Map([
      [RESOURCE, [one, two]],
      [BRIEF_RESOURCE, [brief]],
    ])
    stage = { place, verifiers }
    ended = stopForAWhile(stage).catch((error: unknown) => error)
    far = await startFar(place)
  })
  after(async () => {
    await place?.stop()
    await redis?.stop()
  })

  const [first, second] = [() => place.brokers[0]!, () => place.brokers[1]!]
  testStopping('the control socket', () => ({
    ...{ stage, door: apiDoor('the control socket', onSocket(first())) },
  }))
  testStopping('a program', () => ({
    ...{ stage, door: apiDoor('a program', asProgram(place, second(), 'ops')) },
  }))
  // A process for each command is slow; undone by the command is what `new-keys.ts` has.
  testStopping('the command line', () => {
    const { undo } = apiDoor('the control socket', onSocket(second()))
    return { stage, door: { ...commandDoor(place, first()), undo } }
  })
  testNewKeys(() => place)
  testAcknowledged(() => ({ stage, far }), ['one', 'two', 'brief', 'live'])
  testSessions(() => stage)

  it('a stop with --for ends by itself, everywhere', async () => {
    assert.equal(await ended, 'ended')
  })

  it('without its store nothing is well, and writ status says so', async () => {
    assert.equal((await command(place, first())('sessions', 'list', '--json')).code, 0)
    await redis.kill()
    const told = await command(place, first())('status', '--json')
    assert.equal(told.code, 1, told.stdout + told.stderr)
    assert.ok((told.json().problems as string[]).includes('store is failing'), told.stdout)
  })
})

/** Stops an agent for a second, and waits until it is let go by all. */
async function stopForAWhile({ place, verifiers }: Stage): Promise<'ended'> {
  const agent = agentOf(place, { path: '/agents/for-a-while' })
  const token = await agent.obtain('session', place.brokers[0]!)
  const show = (n: number) => settled(() => agent.show(token, verifiers.get(RESOURCE)![n]!))
  assert.deepEqual([(await show(0)).status, (await show(1)).status], [200, 200])
  const run = command(place, place.brokers[0]!)
  const made = await run('revoke', `agent:${agent.id}`, '--for', '1s', '--json')
  const [{ id }] = made.json().revocations as [{ id: string }]
  for (const n of [0, 1]) await until(async () => /revoked/.test((await show(n)).text))
  for (const broker of place.brokers) {
    await until(async () => (await agent.ask('session', broker)).status === 400)
  }
  for (const broker of place.brokers) {
    await until(async () => (await agent.ask('session', broker)).status === 200, 60_000)
  }
  const fresh = await agent.obtain('session', place.brokers[1]!)
  for (const verifier of verifiers.get(RESOURCE)!) {
    await until(async () => (await agent.show(fresh, verifier)).status === 200)
  }
  const told = onSocket(place.brokers[1]!)
  // A store that is slow on a busy machine is answered for with 503, and asked again.
  await until(async () => (await told('GET', `/v1/revocations/${id}`)).json?.state === 'ended')
  return 'ended'
}
