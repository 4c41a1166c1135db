import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { temporaryDirectory, writ } from './writ.ts'

const RESOURCE = 'http://127.0.0.1:4474/mcp'

async function place(t: TestContext): Promise<string> {
  const cwd = await temporaryDirectory(t)
  const settings = {
    issuer: 'http://127.0.0.1:4470',
    store: { redis: { url: 'redis://127.0.0.1:6379' } },
    trust: [{ spiffe: 'corp.test', bundle: { file: 'bundle.json' } }],
    servers: [{ resource: RESOURCE, catalogue: 'mcp.json' }],
    policies: 'policies',
  }
  await writeFile(join(cwd, 'writ.yaml'), JSON.stringify(settings))
  return cwd
}

const ACL = ['redis-acl', '--config', 'writ.yaml']

test('the rules it prints are rules that Redis takes', { skip: skipWithoutRedis }, async (t) => {
  const cwd = await place(t)
  const redis = await startRedis()
  t.after(() => redis.stop())
  const { users } = (await writ([...ACL, '--json'], { cwd })).json() as {
    users: { role: string; user: string; command: [string, ...string[]] }[]
  }
  assert.deepEqual(
    users.map(({ role }) => role),
    ['broker', 'verifier'],
  )
  for (const { command, user } of users) {
    const [name, ...words] = command
    assert.equal(await redis.admin.call(name, ...words), 'OK')
    assert.ok(await redis.admin.call('ACL', 'GETUSER', user))
  }
})

test('one verifier by name; words with blanks are quoted for redis-cli', async (t) => {
  const cwd = await place(t)
  const args = [...ACL, '--resource', RESOURCE, '--user', 'notes']
  const { code, stdout } = await writ(args, { cwd })
  assert.equal(code, 0)
  assert.match(stdout, /^ACL SETUSER notes reset on [^\n]*"\(\+set [^"]*\)"[^\n]*\n$/)
})

test('a server that is not configured, or a name for many, is a usage error', async (t) => {
  const cwd = await place(t)
  assert.equal((await writ([...ACL, '--resource', 'http://127.0.0.1:1/mcp'], { cwd })).code, 2)
  assert.equal((await writ([...ACL, '--user', 'notes'], { cwd })).code, 2)
  assert.equal((await writ([...ACL, '--broker-user', 'a b'], { cwd })).code, 2)
})
