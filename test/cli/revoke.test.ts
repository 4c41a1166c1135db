import assert from 'node:assert/strict'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import { sqliteLedger } from '../../src/ledger/sqlite.ts'
import { openKeys } from '../../src/mint/keys.ts'
import { Refusal } from '../../src/refusal.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { Revocations } from '../../src/revocation/revocations.ts'
import type { Revocation } from '../../src/revocation/target.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { NO_STOPS } from './no-stops.ts'
import { makeSite } from './site.ts'
import { temporaryDirectory, writ } from './writ.ts'

const ISSUER = 'http://127.0.0.1:4470'

/** A place where `writ revoke` finds a configuration and keys, and no broker. */
async function place(t: TestContext, store: string): Promise<string> {
  const cwd = await temporaryDirectory(t)
  const settings = {
    issuer: ISSUER,
    keys: { directory: 'keys' },
    trust: [{ spiffe: 'corp.test', bundle: { file: 'bundle.json' } }],
    servers: [{ resource: 'http://127.0.0.1:4474/mcp', catalogue: 'mcp.json' }],
    policies: 'policies',
    audit: { directory: 'audit' },
  }
  await writeFile(join(cwd, 'writ.yaml'), JSON.stringify({ ...settings, store: JSON.parse(store) }))
  await writ(['keys', 'new', '--config', 'writ.yaml'], { cwd })
  return cwd
}

/** What a broker that starts later on this store holds as revoked. */
async function heldBy(ledger: Ledger, keysDirectory: string): Promise<readonly Revocation[]> {
  const now = () => Date.now() / 1000
  const keys = await openKeys(keysDirectory, { now: now() })
  await ledger.open()
  assert.ok(ledger.feed)
  const shared = { issuer: ISSUER, keys: keys.verification(now()), transport: ledger.feed }
  const publisher = new RevocationPublisher({ ...shared, key: () => keys.current(now()) })
  const revocations = new Revocations(shared)
  await Promise.all([publisher.start(), revocations.start()])
  const held = revocations.list()
  const agents = ['spiffe://corp.test/agents/bot']
  const subject = { session: 's', agents, principal: 'p' }
  assert.throws(() => revocations.check(subject, now()), Refusal)
  await revocations.close()
  await publisher.close()
  await ledger.close()
  keys.close()
  return held
}

async function revokesWithoutBroker(cwd: string, open: () => Ledger): Promise<void> {
  const target = 'agent:spiffe://corp.test/agents/*'
  const part = await writ(['revoke', target, 'session:abcdefgh', '--config', 'writ.yaml'], { cwd })
  assert.equal(part.code, 2, part.stdout)
  assert.match(part.stderr, /only the beginning.*\n.*give the whole id/)
  const args = ['revoke', target, '--config', 'writ.yaml', '--reason', 'stolen', '--for', '1h']
  const ended = await writ([...args, '--json'], { cwd })
  assert.equal(ended.code, 0, ended.stdout)
  const { revocations, through } = ended.json() as { revocations: Revocation[]; through: string }
  const [revocation] = revocations
  assert.ok(revocation !== undefined && revocations.length === 1)
  assert.equal(through, 'store')
  assert.deepEqual(revocation.target, {
    kind: 'agent',
    value: 'spiffe://corp.test/agents',
    beneath: true,
  })
  assert.ok(Math.abs((revocation.until ?? 0) - revocation.at - 3600) < 10)
  assert.match(revocation.by, /^cli:/)

  const held = await heldBy(open(), join(cwd, 'keys'))
  assert.deepEqual(
    held.map(({ id, reason }) => ({ id, reason })),
    [{ id: revocation.id, reason: 'stolen' }],
  )
  const [log = ''] = await readdir(join(cwd, 'audit'))
  const record = JSON.parse(await readFile(join(cwd, 'audit', log), 'utf8'))
  assert.deepEqual([record.door, record.reason, record.by], ['cli', 'revoked', revocation.by])
  assert.equal(record.evidence.id, revocation.id)
}

test('on SQLite, a revocation without a running broker is there when one starts', async (t) => {
  const cwd = await place(t, '{"sqlite":{"file":"writ.db"}}')
  await revokesWithoutBroker(cwd, () =>
    sqliteLedger({ file: join(cwd, 'writ.db'), role: 'broker' }),
  )
})

test('on Redis, a revocation without a broker on this host reaches the others', {
  skip: skipWithoutRedis,
}, async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  const { url } = redis
  const cwd = await place(t, JSON.stringify({ redis: { url } }))
  await revokesWithoutBroker(cwd, () => redisLedger({ url, role: 'broker' }))
})

test('without a broker the same is refused in the same words; what is made is said not to be counted', async (t) => {
  const cwd = await temporaryDirectory(t)
  await makeSite(cwd)
  const env = { WRIT_CONFIG: 'writ.yaml' }
  for (const [args, said] of NO_STOPS) {
    const ended = await writ(['revoke', 'jti:a', ...args, '--json'], { cwd, env })
    const { error } = ended.json() as { error?: { message: string } }
    assert.deepEqual([ended.code, error?.message.endsWith(`: ${said}`)], [2, true], ended.stdout)
  }
  assert.ok(!(await readdir(cwd)).includes('writ.db'), 'nothing was asked of the store')
  await rm(join(cwd, 'bank.json'))
  const unread = await writ(['revoke', 'server:https://mcp.test/mcp'], { cwd, env })
  assert.equal(unread.code, 0, unread.stderr)
  assert.match(unread.stderr, /^writ: warning: .*bank\.json: cannot be read/)
  assert.match(unread.stdout, /^ {2}hits +not known, as no broker runs here to count them$/m)
  const waited = await writ(['revoke', 'task:x', '--wait', '--json'], { cwd, env })
  assert.equal(waited.code, 3)
  const { error } = waited.json() as { error: { message: string } }
  assert.match(error.message, /^it is revoked: \S{22}, but no broker runs here to ask who has it$/)
})

test('when the store cannot be reached, nothing is revoked and the exit code says so', async (t) => {
  const cwd = await place(t, '{"redis":{"url":"redis://127.0.0.1:1"}}')
  const ended = await writ(['revoke', 'jti:a', '--config', 'writ.yaml', '--json'], { cwd })
  assert.equal(ended.code, 3)
  assert.equal((ended.json().error as { code: string }).code, 'unavailable')
})

test('a file that a running process has locked is not written to behind its back', async (t) => {
  const cwd = await place(t, '{"sqlite":{"file":"writ.db"}}')
  const ledger = sqliteLedger({ file: join(cwd, 'writ.db'), role: 'broker' })
  await ledger.open()
  t.after(() => ledger.close())
  const { code, stderr } = await writ(['revoke', 'jti:a', '--config', 'writ.yaml'], { cwd })
  assert.equal(code, 3)
  assert.match(stderr, /writ: hint: if a broker runs on this host/)
})
