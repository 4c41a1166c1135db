import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ageRedis } from '../support/aged-store.ts'
import { skipWithoutRedis, startRedis } from '../support/redis.ts'
import { type Running, serve, until } from './serving.ts'
import { askForToken, makeSite, type Site } from './site.ts'
import { collect, start, temporaryDirectory, writ } from './writ.ts'

interface Serving extends Site, Running {}

async function serving(
  t: TestContext,
  changes: Record<string, unknown> = {},
  ...how: [store?: 'new', meanwhile?: Parameters<typeof serve>[3]]
): Promise<Serving> {
  const site = await makeSite(await temporaryDirectory(t), changes)
  return { ...site, ...(await serve(t, site.cwd, ...how)) }
}

// Half of it is waiting for processes.
describe('a running broker', { concurrency: 3 }, () => {
  test('a broker starts, answers, and says so in one object; SIGHUP does not end one that is starting', async (t) => {
    const broker = await serving(t, {}, 'new', async ({ child, output }) => {
      await until(() => output().stderr.includes('the store is new'))
      child.kill('SIGHUP')
    })
    await until(() => broker.output().stderr.includes('the audit log goes on in'))
    const { ok, issuer, publicUrl, store, controlPath } = JSON.parse(broker.output().stdout)
    assert.deepEqual({ ok, issuer, store }, { ok: true, issuer: broker.issuer, store: 'sqlite' })
    assert.equal(publicUrl, broker.issuer)
    assert.equal(existsSync(join(broker.cwd, controlPath)), true)

    const { status, body } = await askForToken(broker)
    assert.equal(status, 200, JSON.stringify(body))
    const inspected = await writ(['token', 'inspect', '--json'], {
      cwd: broker.cwd,
      input: String(body.access_token),
    })
    assert.equal(inspected.json().kind, 'action')
    const claims = inspected.json().claims as { exp: number; iat: number; client_id: string }
    assert.equal(claims.client_id, 'spiffe://corp.test/agents/bot')
    assert.equal(claims.exp - claims.iat, 30)
    assert.ok(!broker.output().stderr.includes(String(body.access_token)))
  })

  test('where the system chooses the port, people are sent to the one it chose', async (t) => {
    const broker = await serving(t)
    const { adminUrl, consoleUrl, firstLink } = JSON.parse(broker.output().stdout)
    assert.ok(Number(new URL(adminUrl).port) > 0)
    assert.equal(consoleUrl, `http://localhost:${new URL(adminUrl).port}`)
    assert.ok(firstLink.startsWith(`${consoleUrl}/`), 'the link is for the console')
    const { status } = await fetch(firstLink)
    assert.equal(status, 200)
    const metadata = await fetch(`${consoleUrl}/.well-known/oauth-authorization-server`)
    const { issuer } = (await metadata.json()) as { issuer: string }
    assert.equal(issuer, consoleUrl)
  })

  test('writ revoke stops an agent at the running broker, and leaves a record', async (t) => {
    const broker = await serving(t)
    assert.equal((await askForToken(broker)).status, 200)
    const target = 'agent:spiffe://corp.test/agents/*'
    const revoked = await writ(['revoke', target, '--config', 'writ.yaml', '--json'], broker)
    assert.equal(revoked.code, 0, revoked.stdout)
    assert.equal(revoked.json().through, 'broker')
    await until(async () => (await askForToken(broker)).status !== 200)
    const logs = await readdir(join(broker.cwd, 'audit'))
    const log = logs.find((name) => name.endsWith('.jsonl')) ?? ''
    const records = await readFile(join(broker.cwd, 'audit', log), 'utf8')
    assert.match(records, /"door":"admin","by":"local:[^"]+","outcome":"allowed","reason":"revoke"/)
    assert.match(records, /"reason":"revoked","evidence":\{"target":"agent"\}/)
  })

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal}: what is in flight is finished, then exit code 0`, async (t) => {
      const broker = await serving(t, { shutdown: { drain_seconds: 2 } })
      // A request whose body is not complete yet is in flight.
      const { hostname, port } = new URL(broker.issuer)
      const socket = connect(Number(port), hostname)
      let answer = ''
      socket.setEncoding('utf8').on('data', (text) => {
        answer += text
      })
      socket.on('error', () => {})
      const head = ['POST /token HTTP/1.1', `Host: ${hostname}:${port}`, 'Content-Length: 2']
      const type = 'Content-Type: application/x-www-form-urlencoded'
      socket.write(`${[...head, type].join('\r\n')}\r\n\r\na`)
      await sleep(200)
      broker.child.kill(signal)
      await until(() => broker.output().stderr.includes('no new requests'))
      await sleep(100)
      assert.equal(broker.child.exitCode, null)
      socket.write('=')
      assert.equal(await broker.exit, 0)
      await until(() => answer.includes('HTTP/1.1 4'))
      assert.equal(existsSync(join(broker.cwd, 'audit', 'control.sock')), false)
      const stdout = broker.output().stdout.trim().split('\n')
      assert.equal(stdout.length, 1)
    })
  }

  test('a second signal ends at once', async (t) => {
    const broker = await serving(t, { shutdown: { drain_seconds: 300 } })
    const { hostname, port } = new URL(broker.issuer)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    const type = 'Content-Type: application/x-www-form-urlencoded'
    socket.write(
      `POST /token HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Length: 9\r\n${type}\r\n\r\na`,
    )
    await sleep(200)
    broker.child.kill('SIGTERM')
    await until(() => broker.output().stderr.includes('no new requests'))
    assert.equal(broker.child.exitCode, null)
    broker.child.kill('SIGTERM')
    assert.equal(await broker.exit, 143)
    socket.destroy()
  })

  test('SIGHUP: new policies serve, bad ones leave the old ones serving and are told', async (t) => {
    const broker = await serving(t)
    const file = join(broker.cwd, 'policies', 'bank.cedar')
    await writeFile(file, 'permit (principal, action == Bank::Action::"no_such_tool", resource);')
    broker.child.kill('SIGHUP')
    await until(() => broker.output().stderr.includes('no_such_tool'))
    assert.equal((await askForToken(broker)).status, 200)
    await writeFile(file, '@id("none") forbid (principal, action, resource);')
    broker.child.kill('SIGHUP')
    await until(async () => (await askForToken(broker)).status !== 200)
  })

  test('two brokers on one Redis: a revocation at one is in force at both', {
    skip: skipWithoutRedis,
  }, async (t) => {
    const redis = await startRedis()
    t.after(() => redis.stop())
    await ageRedis(redis.url)
    const first = await serving(t, { store: { redis: { url: redis.url } } }, 'new')
    const second = start(
      ['serve', '--config', 'writ.yaml', '--listen', '127.0.0.1:0', '--json'],
      first,
    )
    const output = collect(second)
    t.after(() => second.kill('SIGKILL'))
    await until(() => output().stdout.includes('\n'))
    assert.match(output().stdout, /"ok":true/)
    const { publicUrl: at, controlPath } = JSON.parse(output().stdout)
    // They share an audit directory; the first one has the socket.
    assert.equal(controlPath, null)
    const both = [{}, { at }]
    for (const options of both) assert.equal((await askForToken(first, options)).status, 200)
    const revoked = await writ(['revoke', 'agent:spiffe://corp.test/agents/bot', '--json'], {
      cwd: first.cwd,
      env: { WRIT_CONFIG: 'writ.yaml' },
    })
    assert.equal(revoked.json().through, 'broker', revoked.stdout)
    for (const options of both) {
      await until(async () => (await askForToken(first, options)).status !== 200)
    }
  })

  test('two brokers on one port: the second says why it does not start', async (t) => {
    const broker = await serving(t)
    const other = join(broker.cwd, 'other.yaml')
    const settings = JSON.parse(await readFile(broker.config, 'utf8'))
    settings.store.sqlite.file = 'other.db'
    await writeFile(other, JSON.stringify(settings))
    const ended = await writ(['serve', '--config', 'other.yaml', '--json'], broker)
    assert.equal(ended.code, 3)
    assert.match(JSON.stringify(ended.json().error), /EADDRINUSE/)
  })

  test('--check reads everything, beside a running broker, and starts nothing', async (t) => {
    const broker = await serving(t)
    const checked = await writ(['serve', '--check', '--config', 'writ.yaml', '--json'], broker)
    assert.equal(checked.code, 0, checked.stdout)
    assert.equal(checked.json().issuer, broker.issuer)
    assert.ok(checked.json().policyVersion)
  })
})

const BROKEN: readonly (readonly [string, (site: Site) => Promise<unknown>, RegExp])[] = [
  ['no keys', async (site) => edit(site, { keys: { directory: 'none' } }), /writ keys new/],
  [
    'no bundle',
    async (site) => writeFile(join(site.cwd, 'domain/bundle.json'), '{'),
    /bundle of corp/,
  ],
  ['no catalogue', async (site) => writeFile(join(site.cwd, 'bank.json'), '{}'), /bank\.json/],
  [
    'a bad policy',
    async (site) => writeFile(join(site.cwd, 'policies/x.cedar'), 'permit'),
    /x\.cedar/,
  ],
  ['an unknown key', async (site) => edit(site, { polices: 'x' }), /did you mean policies/],
  [
    'a nonce secret that is not there',
    async (site) => edit(site, { dpop: { nonce_secret_file: 'none' } }),
    /none/,
  ],
]

async function edit(site: Site, changes: object): Promise<void> {
  const settings = JSON.parse(await readFile(site.config, 'utf8'))
  await writeFile(site.config, JSON.stringify({ ...settings, ...changes }))
}

for (const [name, spoil, message] of BROKEN) {
  test(`with ${name}, --check says why not`, async (t) => {
    const site = await makeSite(await temporaryDirectory(t))
    await spoil(site)
    const ended = await writ(['serve', '--check', '--config', 'writ.yaml', '--json'], site)
    assert.equal(ended.code, 2, ended.stdout)
    assert.match(JSON.stringify(ended.json().error), message)
  })
}

test('what --check refuses does not start either', async (t) => {
  const site = await makeSite(await temporaryDirectory(t))
  await edit(site, { keys: { directory: 'none' } })
  const { code, stdout, stderr } = await writ(['serve', '--config', 'writ.yaml'], site)
  assert.equal(code, 2)
  assert.equal(stdout, '')
  assert.match(stderr, /^writ: error: .*writ keys new/m)
  assert.equal(existsSync(join(site.cwd, 'writ.db')), false)
})

test('an emptied bundle is a note of --check', async (t) => {
  const site = await makeSite(await temporaryDirectory(t))
  await writeFile(join(site.cwd, 'domain/bundle.json'), '{"keys":[]}')
  const checked = await writ(['serve', '--check', '--config', 'writ.yaml', '--json'], site)
  assert.match(JSON.stringify(checked.json().notes), /no usable JWT-SVID key/)
})
