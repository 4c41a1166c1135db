/** Brokers are killed while admins change things: whatever was acknowledged stands, once. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { agentOf } from './agents.ts'
import { onSocket } from './doors.ts'
import { nameOfLink } from './people.ts'
import { type BrokerProcess, openPlace, type Place } from './place.ts'
import { type Done, nothingDone, type Revoked, work } from './stream.ts'

const ADMINS = 6
const CHANGES = 18

interface Recorded {
  readonly id: string
  readonly state: string
  readonly target: { readonly value: string }
}

/** @param trouble kills, and puts the list of brokers right */
async function workThrough(
  t: TestContext,
  brokers: BrokerProcess[],
  trouble: () => Promise<void>,
): Promise<Done> {
  const done = nothingDone()
  const working = work({ brokers, admins: ADMINS, changes: CHANGES, done })
  const troubled = until(() => done.acknowledged > (ADMINS * CHANGES) / 4, 60_000).then(trouble)
  await Promise.all([working, troubled])
  t.diagnostic(`${done.acknowledged} acknowledged, ${done.unanswered} times nobody answered`)
  assert.ok(done.unanswered > 0, 'changes were under way when a broker was killed')
  return done
}

async function isAllThere(done: Done, broker: BrokerProcess): Promise<void> {
  const ask = onSocket(broker)
  for (const each of done.revoked) await until(async () => isRecorded(each, broker))
  for (const [name, url] of done.invited) assert.equal(await nameOfLink(url, broker), name)
  const { json } = await ask('GET', '/v1/people')
  const people = json.items as unknown as { id: string; role: string }[]
  for (const [id, role] of done.roles) {
    assert.equal(people.find((person) => person.id === id)?.role, role)
  }
}

/** On record once, as it stands. */
async function isRecorded(revoked: Revoked, broker: BrokerProcess): Promise<boolean> {
  const { reason, ids, workloads, undone } = revoked
  const query = new URLSearchParams({ text: reason, limit: '200' })
  const { json } = await onSocket(broker)('GET', `/v1/revocations?${query}`)
  const items = json.items as unknown as Recorded[]
  assert.equal(items.length, workloads.length, 'neither lost nor doubled')
  assert.deepEqual(new Set(items.map(({ id }) => id)), new Set(ids))
  assert.deepEqual(new Set(items.map(({ target }) => target.value)), new Set(workloads))
  return items.every(({ id, state }) => state === (undone && id === ids[0] ? 'undone' : 'live'))
}

/** The same requests once more, with their keys: the same answers, and nothing is done. */
async function sentAgain(done: Done, broker: BrokerProcess): Promise<void> {
  for (const { sent } of done.revoked) {
    const { method, path, body, key, said } = sent
    const headers = { 'idempotency-key': key, 'x-writ-user': 'night-shift' }
    const again = await onSocket(broker)(method, path, body, headers)
    assert.deepEqual(again, said)
  }
}

/** Not only on record. */
async function isInForce(done: Done, place: Place, broker: BrokerProcess): Promise<void> {
  const ask = async (id: string) => {
    const agent = agentOf(place, { path: new URL(id).pathname })
    return (await agent.ask('session', broker)).status
  }
  for (const { workloads, undone } of done.revoked) {
    const [first, ...others] = workloads
    await until(async () => (await ask(first!)) === (undone ? 200 : 400))
    for (const id of others) await until(async () => (await ask(id)) === 400)
  }
}

describe('nothing that an admin was told is done is lost or done twice', { concurrency: 2 }, () => {
  it('when two of three brokers on Redis are killed', { skip }, async (t) => {
    const redis = await startRedis()
    t.after(() => redis.stop())
    const store = { redis: { url: redis.url } }
    const place = await openPlace({ brokers: 3, store, oneAdminSide: true })
    t.after(() => place.stop())
    const brokers = [...place.brokers]
    const [first, second, third] = place.brokers as [BrokerProcess, BrokerProcess, BrokerProcess]
    const done = await workThrough(t, brokers, async () => {
      // Whoever asks them meanwhile finds out by itself.
      await Promise.all([first, second].map((broker) => broker.stop('SIGKILL')))
      brokers.splice(0, 2)
    })
    await isAllThere(done, third)
    await sentAgain(done, third)
    const again = await first.again()
    await isAllThere(done, again)
    await sentAgain(done, again)
    await isAllThere(done, third)
    await isInForce(done, place, again)
  })

  it('when the only broker, on SQLite, is killed and started again', async (t) => {
    const place = await openPlace({ brokers: 1, oneAdminSide: true })
    t.after(() => place.stop())
    const brokers = [...place.brokers]
    const done = await workThrough(t, brokers, async () => {
      brokers.push(await brokers[0]!.again())
      brokers.shift()
    })
    const [after] = brokers as [BrokerProcess]
    await isAllThere(done, after)
    await sentAgain(done, after)
    await after.stop()
    const again = await after.again()
    await isAllThere(done, again)
    await isInForce(done, place, again)
  })
})
