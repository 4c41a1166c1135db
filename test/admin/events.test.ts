import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from 'koa'
import { EventStream } from '../../src/admin/event-stream.ts'
import type { AdminParts } from '../../src/admin/parts.ts'
import { event as eventSchema } from '../../src/admin/schemas.ts'
import { refuseAdmin } from '../../src/sign-in/admin-refusal.ts'
import { BOT, openRig, type Rig } from './rig.ts'

interface Told {
  readonly kind: string
  readonly id: string
  // biome-ignore lint/suspicious/noExplicitAny: what was told is for the test to say
  readonly data: any
}

interface Follower {
  readonly status: number | undefined
  readonly events: Told[]
  readonly ended: Promise<unknown>
  until(found: (event: Told) => boolean): Promise<Told>
  close(): void
}

async function open(
  t: TestContext,
  changes: (parts: AdminParts) => Partial<AdminParts> = () => ({}),
) {
  let looks = 0
  const rig = await openRig((parts) => ({
    async health() {
      looks += 1
      return parts.health()
    },
    ...changes(parts),
  }))
  t.after(() => rig.close())
  /** The first look finds what there is, which is no news; it is over when the next has begun. */
  const settled = async () => {
    while (looks < 2) await sleep(20)
  }
  return { ...rig, settled }
}

async function follow(
  t: TestContext,
  { url }: Rig,
  options: { as?: string; lastId?: string } = {},
): Promise<Follower> {
  const headers: Record<string, string> = { authorization: `Test ${options.as ?? 'local'}` }
  if (options.lastId !== undefined) headers['last-event-id'] = options.lastId
  const request = get(`${url}/v1/events`, { headers, agent: false })
  request.on('error', () => undefined)
  t.after(() => request.destroy())
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  response.on('error', () => undefined)
  const events: Told[] = []
  let rest = ''
  response.setEncoding('utf8').on('data', (text: string) => {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const found = /^event: (.*)\nid: (.*)\ndata: (.*)$/.exec(block)
      if (found === null) continue
      const [, kind = '', id = '', data = ''] = found
      eventSchema.parse({ kind, data: JSON.parse(data) })
      events.push({ kind, id, data: JSON.parse(data) })
    }
  })
  return {
    status: response.statusCode,
    events,
    ended: new Promise((resolve) => response.once('close', resolve)),
    async until(found) {
      for (let waited = 0; waited < 10_000; waited += 20) {
        const event = events.find(found)
        if (event !== undefined) return event
        await sleep(20)
      }
      return assert.fail(`not told; ${JSON.stringify(events)}`)
    },
    close: () => request.destroy(),
  }
}

function locally(rig: Rig): void {
  rig.signIn.add('local', { role: 'viewer', kind: 'local' })
}

test('who follows is told of sessions, revocations and their acknowledgement', async (t) => {
  const rig = await open(t)
  locally(rig)
  await rig.seen({ id: 'before' })
  const follower = await follow(t, rig)
  assert.equal(follower.status, 200)
  await rig.settled()
  await rig.seen({ id: 'fresh', workload: `${BOT}/new` })
  const seen = await follower.until(({ kind, data }) => kind === 'session' && data.id === 'fresh')
  assert.deepEqual([seen.data.state, seen.data.workload], ['live', `${BOT}/new`])
  assert.ok(!follower.events.some(({ data }) => data.id === 'before'))
  const targets = [{ kind: 'agent', value: `${BOT}/new` }]
  await rig.call('POST', '/v1/revocations', {
    body: { targets, reason: 'x' },
    headers: { 'idempotency-key': 'k' },
  })
  const revoked = await follower.until(
    ({ kind, data }) => kind === 'revocation' && data.holders.holding === 1,
  )
  assert.equal(revoked.data.by, 'client:admin')
  rig.signIn.add('alice', { role: 'admin', kind: 'person' })
  const body = { targets: [{ kind: 'task', value: 'of-alice' }], reason: 'x' }
  await rig.call('POST', '/v1/revocations', {
    ...{ as: 'alice', body },
    headers: { 'idempotency-key': 'alice' },
  })
  // Viewers follow as well, and who people are is for admins.
  await follower.until(({ data }) => data.by === 'person:alice' && data.byName === undefined)
  await follower.until(({ data }) => data.id === 'fresh' && data.state === 'stopped')
  await follower.until(({ kind, data }) => kind === 'health' && data.feed.revocations === 1)
})

test('who follows before the stores were looked at is told to read again, who follows later is not', async (t) => {
  const gate = Promise.withResolvers<void>()
  let away = true
  let looks = 0
  const rig = await open(t, ({ sessions }) => ({
    sessions: {
      apply: sessions.apply.bind(sessions),
      get: sessions.get.bind(sessions),
      async list(options) {
        looks += 1
        if (away) throw new Error('away')
        const found = await sessions.list(options)
        await gate.promise
        return found
      },
    },
  }))
  locally(rig)
  const early = await follow(t, rig)
  // A look that found nothing out is none.
  while (looks < 2) await sleep(20)
  assert.deepEqual(early.events, [])
  away = false
  const after = looks
  while (looks === after) await sleep(20)
  const between = await follow(t, rig)
  gate.resolve()
  for (const each of [early, between]) {
    const { id } = await each.until(({ kind }) => kind === 'reset')
    assert.match(id, /^[\w-]+\.0$/)
  }
  const late = await follow(t, rig)
  await rig.seen({ id: 'fresh' })
  for (const each of [early, between, late]) await each.until(({ data }) => data.id === 'fresh')
  const resets = [early, between, late].map(
    ({ events }) => events.filter(({ kind }) => kind === 'reset').length,
  )
  assert.deepEqual(resets, [1, 1, 0])
})

test('argument values are told to nobody', async (t) => {
  const rig = await open(t)
  rig.signIn.add('local', { role: 'admin', kind: 'local' })
  const follower = await follow(t, rig)
  await rig.settled()
  const at = Date.now() / 1000
  const action = { at, outcome: 'spent' as const, by: 't', arguments: { iban: 'DE02' } }
  await rig.seen({ id: 'a', actions: [action] })
  const { data } = await follower.until(({ kind }) => kind === 'session')
  assert.equal(JSON.stringify(data).includes('DE02'), false)
})

test('who comes back is told what was missed, and of what is not known any more that it was', async (t) => {
  const rig = await open(t)
  locally(rig)
  const first = await follow(t, rig)
  const other = await follow(t, rig)
  await rig.settled()
  await rig.seen({ id: 'one' })
  const { id } = await first.until(({ data }) => data.id === 'one')
  first.close()
  await rig.seen({ id: 'two' })
  await other.until(({ data }) => data.id === 'two')
  const again = await follow(t, rig, { lastId: id })
  await again.until(({ data }) => data.id === 'two')
  assert.ok(!again.events.some(({ kind, data }) => kind === 'reset' || data.id === 'one'))
  for (const lastId of ['x', `${id}9`, 'other.1', `${id}.1`, id.replace(/\d+$/, '-1')]) {
    const lost = await follow(t, rig, { lastId })
    await lost.until(({ kind }) => kind === 'reset')
    lost.close()
  }
})

test('who missed more than can be told at once is told that it was missed, and stays', async (t) => {
  const rig = await open(t)
  locally(rig)
  const follower = await follow(t, rig)
  await rig.settled()
  await rig.seen({ id: 'one' })
  const { id } = await follower.until(({ data }) => data.id === 'one')
  const attributes = { team: Array.from({ length: 16 }, () => 'x'.repeat(500)) }
  const identity = { kind: 'spiffe' as const, issuer: 'corp.example', attributes, endsAt: 1 }
  await rig.seen(...Array.from({ length: 40 }, (_, i) => ({ id: `big-${i}`, identity })))
  for (let i = 0; i < 40; i += 1) await follower.until(({ data }) => data.id === `big-${i}`)
  const again = await follow(t, rig, { lastId: id })
  await again.until(({ kind }) => kind === 'reset')
  assert.deepEqual(
    again.events.filter(({ kind }) => kind === 'session'),
    [],
  )
  await rig.seen({ id: 'later' })
  await again.until(({ data }) => data.id === 'later')
})

test('for who is gone before a stream begins, nothing is begun', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const asking = get({ port, host: '127.0.0.1', agent: false }).on('error', () => undefined)
  const [, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  asking.destroy()
  await once(res, 'close')
  t.mock.timers.enable({ apis: ['setInterval'] })
  let asked = 0
  const stands = async () => {
    asked += 1
    return true
  }
  const stream = new EventStream({ res, method: 'GET' } as Context, 'local:x', stands)
  t.mock.timers.tick(60_000)
  assert.deepEqual([stream.ended, asked], [true, 0])
})

test('however many follow, the stores are looked at once a second', async (t) => {
  let looks = 0
  const rig = await open(t, ({ sessions }) => ({
    sessions: {
      apply: sessions.apply.bind(sessions),
      get: sessions.get.bind(sessions),
      list: (options) => {
        looks += 1
        return sessions.list(options)
      },
    },
  }))
  await sleep(100)
  assert.equal(looks, 0)
  for (let i = 0; i < 7; i += 1) {
    rig.signIn.add(`local${i}`, { role: 'viewer', kind: 'local' })
    for (let n = 0; n < 8; n += 1) await follow(t, rig, { as: `local${i}` })
  }
  const from = looks
  const fromMs = performance.now()
  while (looks < from + 3) await sleep(20)
  // Three looks are at least two pauses apart.
  assert.ok(performance.now() - fromMs > 1900)
})

test('nobody takes all the streams, and all together not more than there are', async (t) => {
  const rig = await open(t)
  const statuses: (number | undefined)[] = []
  for (let i = 0; i < 9; i += 1) {
    rig.signIn.add(`local${i}`, { role: 'viewer', kind: 'local' })
    for (let n = 0; n < 9; n += 1) statuses.push((await follow(t, rig, { as: `local${i}` })).status)
  }
  const of = (from: number) => statuses.slice(from, from + 9).join()
  assert.equal(of(0), '200,200,200,200,200,200,200,200,429')
  assert.equal(of(63), '200,200,200,200,200,200,200,200,429')
  assert.equal(of(72), '429,429,429,429,429,429,429,429,429')
})

test('streams whose sign-in is over', { concurrency: true }, async (t) => {
  await Promise.all([
    t.test(
      'a stream ends with the sign-in of a browser, which it does not keep from going idle',
      async (t) => {
        const background: string[] = []
        let over = false
        const rig = await open(t, ({ signIn }) => ({
          signIn: {
            ...signIn,
            async authenticate(ctx) {
              background.push(ctx.get('x-writ-background'))
              if (over) return refuseAdmin({ code: 'signin_required', why: 'idle' })
              return signIn.authenticate(ctx)
            },
          },
        }))
        rig.signIn.add('cookie', { role: 'viewer', kind: 'person', csrf: 'c' })
        const follower = await follow(t, rig, { as: 'cookie' })
        while (background.length < 2) await sleep(50)
        over = true
        await follower.ended
        assert.deepEqual(background, ['', '1', '1'])
      },
    ),

    t.test(
      'a stream that was begun with a proof ends before the next could be asked for',
      async (t) => {
        const rig = await open(t)
        const follower = await follow(t, rig, { as: 'viewer' })
        await Promise.race([follower.ended, sleep(15_000).then(() => assert.fail('still there'))])
      },
    ),
  ])
})

test('streams end when the broker stops', async (t) => {
  const closing = new AbortController()
  const rig = await open(t, () => ({ closing: closing.signal }))
  locally(rig)
  const follower = await follow(t, rig)
  closing.abort()
  await follower.ended
  assert.equal((await follow(t, rig)).status, 429)
})
