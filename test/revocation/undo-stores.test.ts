/** What was undone stays so over a restart and over a store that lost everything. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { startBroker, startVerifier } from '../ledger/redis-setup.ts'
import { skipWithoutRedis as skip, startRedis, until } from '../support/redis.ts'
import { subject } from './holder.ts'
import { closeAll, listening, passes, SESSION, started, WHY } from './running.ts'

it('on SQLite, after a restart: what was undone is undone, what was not is in force', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'writ-undo-'))
  t.after(() => rm(directory, { recursive: true }))
  const opened = async () => {
    const ledger = sqliteLedger({ file: join(directory, 'writ.db'), role: 'broker' })
    await ledger.open()
    return { ledger, transport: ledger.feed as FeedTransport }
  }
  const first = await opened()
  const publisher = await started(first.transport)
  const [gone, kept] = await publisher.revokeAll([
    { target: SESSION, ...WHY },
    { target: { kind: 'issuer', value: 'oidc:ci' }, ...WHY },
  ])
  await publisher.undo(gone?.id ?? '', WHY)
  await publisher.close()
  await first.ledger.close()

  const second = await opened()
  await started(second.transport)
  const revocations = await listening(second.transport)
  passes(revocations)
  assert.deepEqual(revocations.list(), [kept])
  assert.deepEqual(
    revocations.undone().map(({ id }) => id),
    [gone?.id],
  )
  await closeAll()
  await second.ledger.close()
})

it('on Redis, two brokers: a store that lost everything gets undos back as undos', {
  skip,
}, async (t) => {
  const server = await startRedis()
  t.after(() => server.stop())
  const one = await startBroker({ url: server.url })
  const other = await startBroker({ url: server.url }, one.key)
  const verifier = await startVerifier({ url: server.url }, one.key)
  const running: { close(): Promise<void> }[] = [verifier, other, one]
  const [gone, kept] = await one.publisher.revokeAll([
    { target: SESSION, ...WHY },
    { target: { kind: 'task', value: 't' }, ...WHY },
  ])
  assert.ok(gone && kept)
  // Whether or not it has heard of it.
  await other.publisher.undo(gone, WHY)
  const held = () => verifier.revocations.list().map(({ id }) => id)
  const undone = () => verifier.revocations.undone().map(({ id }) => id)
  await until(() => held().join() === kept.id && undone().join() === gone.id)

  await server.kill()
  await server.restart('empty')
  await until(() => verifier.revocations.fresh)
  const later = await startVerifier({ url: server.url }, one.key)
  running.push(later)
  await until(
    () =>
      later.revocations.list().length === 1 &&
      later.revocations
        .undone()
        .map(({ id }) => id)
        .join() === gone.id,
  )
  assert.deepEqual(later.revocations.list()[0], kept)
  passes(later.revocations)
  assert.throws(
    () => later.revocations.check({ ...subject, task: 't' }, Date.now() / 1000),
    /revoked/,
  )
  // Before the server goes: they would wait for it.
  await Promise.all(running.map((each) => each.close()))
})
