// A broker whose audit log takes nothing more, as on a full disk, and that log once there is room again.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { ageRedis } from '../support/aged-store.ts'
import { requireProgram } from '../support/programs.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { serve, until } from './serving.ts'
import { askForToken, makeSite } from './site.ts'
import { temporaryDirectory, writ } from './writ.ts'

const skip = skipWithoutRedis || requireProgram('prlimit', 'install util-linux')

test('a full audit log stops everything and is told; SIGHUP goes on in a new file once there is room', {
  skip,
}, async (t) => {
  const redis = await startRedis()
  t.after(() => redis.stop())
  await ageRedis(redis.url)
  const site = await makeSite(await temporaryDirectory(t), { store: { redis: { url: redis.url } } })
  const broker = await serve(t, site.cwd)
  const directory = join(site.cwd, 'audit')
  const files = async () => (await readdir(directory)).filter((name) => name.endsWith('.jsonl'))
  const mayWrite = (bytes: number | 'unlimited') =>
    execFileSync('prlimit', ['--pid', String(broker.child.pid), `--fsize=${bytes}:unlimited`])
  assert.equal((await askForToken(site)).status, 200)

  const [first] = await files()
  // The last line comes to the disk in part, as where the space ends in the middle of one.
  mayWrite((await stat(join(directory, first!))).size + 20)
  const { status, body } = await askForToken(site)
  assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'])
  await until(() => broker.output().stderr.includes('the audit log: writing failed: EFBIG'))
  const revoke = ['revoke', 'task:t-1', '--config', 'writ.yaml']
  const refused = await writ(revoke, site)
  assert.equal(refused.code, 3, refused.stdout)
  assert.match(refused.stderr, /SIGHUP/)

  mayWrite('unlimited')
  assert.equal((await askForToken(site)).status, 503, 'room alone hides no hole in the log')
  broker.child.kill('SIGHUP')
  await until(() => broker.output().stderr.includes('the audit log goes on in'))
  assert.equal((await askForToken(site)).status, 200)
  assert.equal((await writ(revoke, site)).code, 0)
  const told = broker.output().stderr.match(/nothing is granted or changed any more/g)
  assert.equal(told?.length, 1, 'once for a file')
  const [, second] = (await files()).sort((a, b) => (a === first ? -1 : b === first ? 1 : 0))
  for (const line of (await readFile(join(directory, second!), 'utf8')).trim().split('\n')) {
    assert.equal(typeof JSON.parse(line).time, 'string')
  }
})
