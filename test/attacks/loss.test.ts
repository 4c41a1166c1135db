/**
 * The store is killed, loses everything, fails over: nothing that was spent is good again, and
 * service comes back without anybody's help. Broker and verifiers are processes of their own.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { skipWithoutRedis as skip, startRedis, startSentinel } from '../support/redis.ts'
import {
  type Answer,
  ask,
  FORM,
  formFor,
  type Got,
  LIST,
  obtain,
  present,
  proofFor,
  remember,
  send,
} from './sender.ts'
import { makeSite, RESOURCE, type Site, type VerifierProcess } from './site.ts'
import type { VerifierSettings } from './verifier-main.ts'

interface Spent {
  readonly tokens: readonly Got[]
  /** A session token, and a proof that came with it once. */
  readonly session: Got
  readonly sessionProof: string
}

/** Asks until it is allowed; resolved means that service is back. */
async function untilServed(site: Site, verifier: VerifierProcess): Promise<Got> {
  const end = performance.now() + 60_000
  for (;;) {
    const got = await ask(site, 'action').catch(() => undefined)
    if (got?.status === 200 && (await present(verifier.port, got)).status === 200) return got
    assert.ok(performance.now() < end, `no service after 60 s: ${got?.status} ${got?.text}`)
    await sleep(50)
  }
}

async function spendSome(site: Site, verifiers: readonly VerifierProcess[]): Promise<Spent> {
  const [first] = verifiers as [VerifierProcess]
  const tokens = []
  for (let n = 0; n < 10; n++) tokens.push(await untilServed(site, first))
  const session = await obtain(site, 'session')
  for (;;) {
    const sessionProof = proofFor(session.key, RESOURCE, { accessToken: session.token })
    const { status } = await present(first.port, session, LIST, sessionProof)
    if (status === 200) return { tokens, session, sessionProof }
    assert.equal(status, 503)
  }
}

/** Everything that was spent, presented once more wherever it can be. */
function replays(site: Site, verifiers: readonly VerifierProcess[], spent: Spent, svid: string) {
  const { tokens, session, sessionProof } = spent
  const form = formFor(svid, 'session').toString()
  const port = Number(new URL(site.issuer).port)
  const gone = (error: Error): Answer => ({ status: 0, text: error.message, json: {} })
  return Promise.all([
    ...verifiers.flatMap(({ port }) => tokens.map((got) => present(port, got).catch(gone))),
    ...verifiers.map(({ port }) => present(port, session, LIST, sessionProof).catch(gone)),
    ...tokens.map(({ proof }) => send(port, '/token', { ...FORM, dpop: proof }, form).catch(gone)),
  ])
}

async function survives(
  site: Site,
  place: VerifierSettings['redis'] & object,
  trouble: () => Promise<void>,
): Promise<void> {
  await site.startBroker()
  const verifiers = await Promise.all([0, 1].map(() => site.startVerifier({ redis: place })))
  const svid = remember(await site.svid())
  const spent = await spendSome(site, verifiers)
  let over = false
  let honoured = 0
  let tried = 0
  const trying = (async () => {
    while (!over) {
      const answers = await replays(site, verifiers, spent, svid)
      tried += answers.length
      honoured += answers.filter(({ status }) => status === 200).length
      await sleep(10)
    }
  })()
  try {
    await trouble()
    for (const verifier of verifiers) await untilServed(site, verifier)
  } finally {
    over = true
    await trying
  }
  const last = await replays(site, verifiers, spent, svid)
  honoured += last.filter(({ status }) => status === 200).length
  assert.ok(
    last.every(({ status }) => status >= 400),
    'everything answers again, with a refusal',
  )
  assert.equal(honoured, 0, `${honoured} of ${tried} replays were honoured`)
}

async function site(t: TestContext, store: Parameters<typeof makeSite>[0]): Promise<Site> {
  const made = await makeSite(store)
  t.after(() => made.stop())
  return made
}

describe('nothing that was spent is honoured again, and service recovers by itself', {
  skip,
  // Most of it is waiting.
  concurrency: true,
}, () => {
  for (const [title, how] of [
    ['after Redis was killed and started again', undefined],
    ['after Redis was killed and started again empty', 'empty'],
  ] as const) {
    it(title, async (t) => {
      const redis = await startRedis()
      t.after(() => redis.stop())
      const { url } = redis
      await survives(await site(t, { store: { redis: { url } } }), { url }, async () => {
        await redis.kill()
        await sleep(300)
        await redis.restart(how)
      })
    })
  }

  it('after Redis and the broker were killed, and Redis started again empty', async (t) => {
    const redis = await startRedis()
    t.after(() => redis.stop())
    const { url } = redis
    const place = await site(t, { store: { redis: { url } } })
    await survives(place, { url }, async () => {
      await place.programs[0]?.stop('SIGKILL')
      await redis.kill()
      await redis.restart('empty')
      await place.startBroker()
    })
  })

  it('after Sentinel promoted a replica that had fallen behind', async (t) => {
    const setup = await startSentinel(2)
    t.after(() => setup.stop())
    const { name, sentinels } = setup
    const nodes = sentinels.map(({ host, port }) => `${host}:${port}`)
    const store = { redis: { sentinel: { name, nodes }, replicas: 1 } }
    const place = { sentinel: { name, sentinels: [...sentinels] }, replicas: 1 }
    await survives(await site(t, { store }), place, async () => {
      for (const replica of setup.replicas) replica.freeze()
      await sleep(300)
      await setup.primary.kill()
      for (const replica of setup.replicas) replica.thaw()
    })
  })
})
