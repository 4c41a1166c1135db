/**
 * Brokers and verifiers as processes of their own, killed and started again while agents work: at the
 * end the book says exactly what happened.
 */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import type { JsonObject } from '../../src/lib/json.ts'
import type { SenderKey } from '../../src/token/proof.ts'
import { freePort } from '../attacks/program.ts'
import { ask, callBody, type Got, newKey, obtain, present } from '../attacks/sender.ts'
import { makeSite, RESOURCE, type Site, type VerifierProcess } from '../attacks/site.ts'
import type { VerifierSettings } from '../attacks/verifier-main.ts'
import { skipWithoutRedis, startRedis, until } from '../support/redis.ts'
import { reporterClient } from './desk.ts'

const notes = reporterClient()
const { client } = notes
const CHANGES = {
  clients: [
    {
      client_id: client.clientId,
      jwks: client.jwks as unknown as JsonObject,
      scopes: ['writ:report'],
      resources: [RESOURCE],
    },
  ],
}

/** What happened in one session, as the agents and the servers' answers tell it. */
interface Happened {
  readonly key: SenderKey
  session: string
  issued: number
  spent: number
  refused: number
}

const newSession = (): Happened => ({ key: newKey(), session: '', issued: 0, spent: 0, refused: 0 })

async function reportsOf(site: Site, name: string, more: JsonObject = {}) {
  await mkdir(join(site.directory, 'reporters'), { recursive: true })
  const key = join(site.directory, 'reporters', 'key.json')
  await writeFile(key, JSON.stringify(notes.privateJwk), { mode: 0o600 })
  const spoolFile = join(site.directory, 'reporters', `${name}.spool`)
  return { clientId: 'notes', key, everyMs: 50, holder: name, spoolFile, ...more }
}

/** A token for the session, and one call with it: the granted one, or one with other arguments. */
async function work(
  site: Site,
  happened: Happened,
  { verifier, wrong = false, port }: { verifier: VerifierProcess; wrong?: boolean; port?: number },
): Promise<boolean> {
  let got: Got
  try {
    got = await ask(site, 'action', { key: happened.key, ...(port === undefined ? {} : { port }) })
  } catch {
    return false
  }
  if (got.status !== 200) return false
  happened.session = got.session
  happened.issued++
  await use(happened, got, { verifier, wrong })
  return true
}

async function use(
  happened: Happened,
  got: Got,
  { verifier, wrong = false }: { verifier: VerifierProcess; wrong?: boolean },
): Promise<number> {
  const body = callBody(wrong ? { title: 'another' } : { title: 'hello' })
  const { status } = await present(verifier.port, got, body)
  if (status === 200) happened.spent++
  else happened.refused++
  return status
}

async function compare(ledger: Ledger, sessions: readonly Happened[], cleanly: boolean) {
  await ledger.open()
  try {
    for (const { session, issued, spent, refused } of sessions) {
      const found = (await ledger.sessions!.get(session))?.session
      assert.deepEqual({ spent: found?.spent, refused: found?.refused }, { spent, refused })
      if (cleanly) assert.equal(found?.issued, issued)
      assert.equal(found?.identity?.kind, 'spiffe')
      assert.deepEqual(found?.servers, [RESOURCE])
    }
  } finally {
    await ledger.close()
  }
}

test('one broker on SQLite, stopped and killed; two verifiers, one restarted: counts are exact', async (t) => {
  const site = await makeSite({ changes: CHANGES })
  t.after(() => site.stop())
  let broker = await site.startBroker()
  const settings = async (name: string): Promise<Partial<VerifierSettings>> => ({
    reports: await reportsOf(site, name),
    staleAfterMs: 1000,
  })
  const left = await site.startVerifier(await settings('left'))
  let right = await site.startVerifier(await settings('right'))
  const sessions = Array.from({ length: 4 }, newSession)
  const some = async (count: number) => {
    for (let n = 0; n < count; n++) {
      const verifier = n % 2 === 0 ? left : right
      const happened = sessions[n % sessions.length]!
      // Verifiers that have just lost the feed refuse; that is counted too.
      await work(site, happened, { verifier, wrong: n % 5 === 0 })
    }
  }
  await some(20)
  // Killed while tokens are still good: they go on being shown, and reports on being gathered.
  const kept = await Promise.all(
    sessions.map(({ key }) => obtain(site, 'action', { key }).then((got) => got)),
  )
  for (const happened of sessions) happened.issued++
  await broker.stop('SIGKILL')
  for (const [n, got] of kept.entries()) await use(sessions[n]!, got, { verifier: left })
  for (const [n, got] of kept.entries()) await use(sessions[n]!, got, { verifier: right })
  // One verifier stops cleanly with nobody to tell, and starts again.
  await right.stop()
  broker = await site.startBroker()
  right = await site.startVerifier(await settings('right'))
  await until(async () => {
    const happened = sessions[0]!
    const before = happened.spent
    await work(site, happened, { verifier: left })
    return happened.spent > before
  })
  await some(20)
  for (const program of [left, right, broker]) await program.stop()
  assert.ok(sessions.every(({ spent, refused }) => spent > 3 && refused > 1))
  const file = join(site.directory, 'writ.db')
  await compare(sqliteLedger({ file, role: 'broker' }), sessions, false)
})

test('a clean stop of everything leaves every issue, use and refusal in the book', async (t) => {
  const site = await makeSite({ changes: CHANGES })
  t.after(() => site.stop())
  const broker = await site.startBroker()
  // So slow that only the stop can send anything.
  const reports = await reportsOf(site, 'slow', { everyMs: 600_000 })
  const verifier = await site.startVerifier({ reports })
  const sessions = Array.from({ length: 3 }, newSession)
  for (let n = 0; n < 15; n++) {
    assert.ok(await work(site, sessions[n % 3]!, { verifier, wrong: n % 4 === 0 }))
  }
  await verifier.stop()
  await broker.stop()
  const file = join(site.directory, 'writ.db')
  await compare(sqliteLedger({ file, role: 'broker' }), sessions, true)
})

test('two brokers on Redis, one killed and started again: counts are exact', {
  skip: skipWithoutRedis,
}, async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  const { url } = redis
  const site = await makeSite({ changes: CHANGES, store: { redis: { url } } })
  t.after(() => site.stop())
  const port = await freePort()
  const startSecond = () => site.startBroker(['--listen', `127.0.0.1:${port}`])
  const first = await site.startBroker()
  let second = await startSecond()
  const secondUrl = `http://127.0.0.1:${port}/reports`
  const verifiers = [
    await site.startVerifier({ redis: { url }, reports: await reportsOf(site, 'a') }),
    await site.startVerifier({
      redis: { url },
      reports: await reportsOf(site, 'b', { url: secondUrl }),
    }),
  ]
  const sessions = Array.from({ length: 4 }, newSession)
  const some = async (ports: readonly (number | undefined)[]) => {
    for (let n = 0; n < 16; n++) {
      const happened = sessions[n % 4]!
      const verifier = verifiers[(n >> 1) % 2]!
      const from = ports[n % ports.length]
      await work(site, happened, {
        verifier,
        wrong: n % 5 === 0,
        ...(from === undefined ? {} : { port: from }),
      })
    }
  }
  await some([undefined, port])
  await second.stop('SIGKILL')
  await some([undefined])
  second = await startSecond()
  await some([undefined, port])
  for (const program of [...verifiers, first, second]) await program.stop()
  assert.ok(sessions.every(({ spent, refused }) => spent > 5 && refused > 0))
  await compare(redisLedger({ url, role: 'broker' }), sessions, false)
})
