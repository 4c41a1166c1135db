import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { once, StillRunning } from '../../src/admin/idempotency.ts'
import type { Documents } from '../../src/ledger/documents.ts'
import { memoryLedger } from '../../src/ledger/memory.ts'
import { Refusal } from '../../src/refusal.ts'
import { type Called, type CallOptions, openRig, type Rig } from './rig.ts'

const rig = await openRig()
after(() => rig.close())

function send(body: object, key: string, options: CallOptions = {}, on: Rig = rig) {
  return on.call('POST', '/v1/revocations', {
    body,
    headers: { 'idempotency-key': key },
    ...options,
  })
}
const asked = (value: string) => ({ targets: [{ kind: 'jti', value }], reason: 'twice' })

/** Sent again for as long as it is told to, as a slow machine may have to. */
async function sendUntilDone(body: object, key: string, on: Rig): Promise<Called> {
  for (;;) {
    const called = await send(body, key, {}, on)
    if (called.headers.get('retry-after') === null) return called
  }
}

/** By the target alone: what is random in an id may look like it. */
async function madeOf(value: string, on: Rig = rig): Promise<number> {
  const { items } = (await on.call('GET', '/v1/revocations?kind=jti&limit=200')).body
  return items.filter(({ target }: { target: { value: string } }) => target.value === value).length
}

test('a revocation needs a key, of one form', async () => {
  const wrong: Record<string, string>[] = [
    {},
    { 'idempotency-key': '' },
    { 'idempotency-key': 'a b' },
  ]
  for (const headers of wrong) {
    const { status, body } = await rig.call('POST', '/v1/revocations', {
      body: asked('x'),
      headers,
    })
    assert.deepEqual([status, body.pointer], [400, 'Idempotency-Key'])
  }
  assert.equal((await send(asked('x'), 'k'.repeat(256))).status, 400)
})

test('the same request under the same key is done once and answered the same', async () => {
  const first = await send(asked('once'), 'same')
  const second = await send(asked('once'), 'same')
  assert.equal(first.status, 201)
  assert.deepEqual([second.status, second.body], [first.status, first.body])
  assert.equal(await madeOf('once'), 1)
})

test('another request under the same key is a conflict', async () => {
  await send(asked('this'), 'other')
  const { status, body } = await send(asked('that'), 'other')
  assert.deepEqual([status, body.code], [409, 'conflict'])
  assert.equal(await madeOf('that'), 0)
})

test('keys of two admins have nothing to do with each other', async () => {
  rig.signIn.add('second', { role: 'admin' })
  await send(asked('mine'), 'shared')
  assert.equal((await send(asked('yours'), 'shared', { as: 'second' })).status, 201)
})

test('of many at once, at two brokers, one does it, and the others are told the same', async (t) => {
  const other = await openRig(() => rig.parts)
  t.after(() => other.close())
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, i) => sendUntilDone(asked('race'), 'race', i % 2 ? rig : other)),
  )
  const answers = new Set(all.map(({ status, body }) => `${status} ${JSON.stringify(body)}`))
  assert.equal(answers.size, 1, [...answers].join('\n'))
  assert.equal(all[0]?.status, 201)
  assert.equal(await madeOf('race'), 1)
})

test('what was refused may be sent again under its key', async () => {
  rig.signIn.add('person', { role: 'admin', kind: 'person', csrf: 'c' })
  const wide = { targets: [{ kind: 'issuer', value: 'oidc:gone' }], reason: 'wide' }
  const refused = await send(wide, 'touch', { as: 'person' })
  assert.equal(refused.body.code, 'touch_required')
  const options = await rig.call('POST', '/v1/touch', { as: 'person', body: wide })
  const touch = `touched ${options.body.challenge}`
  assert.equal((await send({ ...wide, touch }, 'touch', { as: 'person' })).status, 201)
  // The touch is used up; the answer is not.
  assert.equal((await send({ ...wide, touch }, 'touch', { as: 'person' })).status, 201)
})

test('what was refused as it was done leaves its key for something else', async () => {
  const invite = (person: string) =>
    rig.call('POST', `/v1/people/${person}/invitations`, { headers: { 'idempotency-key': 'free' } })
  assert.equal((await invite('nobody')).status, 404)
  assert.equal((await invite('bob')).status, 201)
})

test('an answer of any size is kept', async () => {
  const body = {
    targets: Array.from({ length: 150 }, (_, i) => ({
      kind: 'principal',
      value: `user:corp:${'ä🙂'.repeat(250)}${i}`,
    })),
    reason: 'large',
  }
  const first = await send(body, 'large')
  assert.equal(first.status, 201)
  const second = await send(body, 'large')
  assert.deepEqual(second.body, first.body)
})

test('a link that is told once is kept nowhere', async () => {
  const body = { name: 'carol', role: 'viewer' }
  const headers = { 'idempotency-key': 'invite' }
  const first = await rig.call('POST', '/v1/people', { body, headers })
  assert.equal(first.status, 201)
  const second = await rig.call('POST', '/v1/people', { body, headers })
  assert.deepEqual([second.status, second.body.code], [409, 'conflict'])
  assert.equal(second.headers.get('retry-after'), null, 'to be sent again')
  const kept = await rig.documents.list('idempotency', { limit: 1000 })
  assert.equal(JSON.stringify(kept).includes(first.body.url), false)
  const audit = JSON.stringify(await rig.recorded())
  assert.equal(audit.includes('#1'), false)
})

/** Where a process may die, and what was done by then. */
const DEATHS = ['before the feed', 'after the feed', 'after the history'] as const

for (const where of DEATHS) {
  test(`a broker that dies ${where} has lost and doubled nothing`, async () => {
    let dying = true
    let clock = 0
    const now = () => Date.now() / 1000 + clock
    const fresh = await openRig((parts) => ({
      clock: now,
      history: {
        ...{
          get: parts.history.get.bind(parts.history),
          list: parts.history.list.bind(parts.history),
        },
        undo: parts.history.undo.bind(parts.history),
        async revoke(requests) {
          if (!dying) return parts.history.revoke(requests)
          dying = false
          if (where === 'before the feed') throw new Error('died')
          // Two of three: the store does not take them in one step.
          await parts.history.revoke(where === 'after the feed' ? requests.slice(0, 2) : requests)
          throw new Error('died')
        },
      },
      documents: {
        ...bound(parts.documents),
        // A process that is gone writes nothing any more.
        async replace(kind, ...others) {
          if (kind === 'idempotency' && clock === 0) {
            throw new Refusal({ code: 'ledger_unavailable', detail: 'died' })
          }
          return parts.documents.replace(kind, ...others)
        },
      },
    }))
    try {
      const targets = ['d1', 'd2', 'd3'].map((value) => ({ kind: 'jti', value }))
      const body = { targets, reason: 'death' }
      assert.ok((await send(body, 'death', {}, fresh)).status >= 500)
      const early = await send(body, 'death', {}, fresh)
      assert.deepEqual([early.status, early.headers.get('retry-after')], [409, '1'])
      clock = 31
      const again = await send(body, 'death', {}, fresh)
      assert.equal(again.status, 201, JSON.stringify(again.body))
      assert.deepEqual(
        again.body.items.map(({ target }: { target: object }) => target),
        targets,
      )
      for (const { value } of targets) assert.equal(await madeOf(value, fresh), 1, value)
      const { body: kept } = await send(body, 'death', {}, fresh)
      assert.deepEqual(kept, again.body)
    } finally {
      await fresh.close()
    }
  })
}

test('of many that take over from one who died, one does it', async () => {
  let time = 1000
  const { documents } = memoryLedger({ role: 'broker', clock: () => time })
  const keyed = { documents: documents!, clock: () => time }
  const request = { admin: 'a', key: 'k', request: ['x'], secret: false }
  const died = new Error('died')
  const gone = { ...keyed, documents: { ...bound(documents!), replace: async () => true } }
  const dying = () => Promise.reject(died)
  await assert.rejects(
    once(gone, request, dying, () => false),
    died,
  )
  time = 1031
  // One that takes over and is refused knows nothing of what was done before it.
  await assert.rejects(
    once(keyed, request, dying, () => true),
    died,
  )
  let times = 0
  const run = async (begunAt: number | undefined) => {
    times += 1
    assert.equal(begunAt, 1000)
    return { status: 200, body: times }
  }
  const untilDone = async (): Promise<unknown> => {
    try {
      return (await once(keyed, request, run, () => false)).body
    } catch (error) {
      if (error instanceof StillRunning) return untilDone()
      throw error
    }
  }
  const all = await Promise.all(Array.from({ length: 20 }, untilDone))
  assert.equal(times, 1)
  assert.deepEqual(new Set(all), new Set([1]))
})

function bound<T extends object>(object: T): T {
  return new Proxy(object, {
    get: (target, name) => {
      const value = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
    ownKeys: () => ['put', 'create', 'replace', 'get', 'take', 'remove', 'list'],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  })
}

/** How an attempt may end that another one has taken over. */
const LATE = ['refused', 'failed', 'done'] as const
/** Whether that was before its end was to be written, or in the middle of it. */
const OVERTAKEN = ['before', 'while'] as const

for (const end of LATE) {
  for (const when of OVERTAKEN) {
    test(`an attempt taken over ${when} it is ${end} leaves the other’s answer as it is`, async () => {
      const { documents } = memoryLedger({ role: 'broker' })
      let late = 0
      const clock = () => Date.now() / 1000 + late
      const keyed = { documents: documents!, clock }
      const request = { admin: 'a', key: 'k', request: ['x'], secret: false }
      const answer = { status: 201, body: 'done' }
      const isNo = () => end === 'refused'
      const takeOver = async () => {
        late = 31
        assert.deepEqual(await once(keyed, request, async () => answer, isNo), answer)
      }
      let ending = false
      const get: Documents['get'] = async (kind, id) => {
        const found = await documents!.get(kind, id)
        if (ending && when === 'while') {
          ending = false
          await takeOver()
        }
        return found
      }
      const slow = once(
        { documents: { ...bound(documents!), get }, clock },
        request,
        async () => {
          if (when === 'before') await takeOver()
          ending = true
          if (end !== 'done') throw new Error('too late')
          return { status: 201, body: 'late' }
        },
        isNo,
      )
      if (end === 'done') await slow
      else await assert.rejects(slow, /too late/)
      const again = async () => assert.fail('done again')
      assert.deepEqual(await once(keyed, request, again, isNo), answer)
    })
  }
}
