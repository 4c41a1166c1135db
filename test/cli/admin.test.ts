// The commands of the admin side against a real `writ serve`, over its control socket.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open, readdir, readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { widthOf } from '../../src/cli/columns.ts'
import { generateSenderKey } from '../../src/token/proof.ts'
import { claimsOf } from '../server/fixture.ts'
import { NO_STOPS } from './no-stops.ts'
import { type Running, serve, until } from './serving.ts'
import { AGENT, askForToken, makeSite, RESOURCE, type Site } from './site.ts'
import { collect, type Ended, start, temporaryDirectory, writ } from './writ.ts'

const hooks: (() => unknown)[] = []
const t = { after: (hook: () => Promise<void>) => void hooks.push(hook) }
let cwd: string
let site: Site
let broker: Running

before(async () => {
  cwd = await temporaryDirectory(t)
  site = await makeSite(cwd)
  broker = await serve({ after: (hook) => void hooks.push(hook) }, cwd)
})
after(async () => {
  for (const hook of hooks.reverse()) await hook()
})

const ENV = { WRIT_CONFIG: 'writ.yaml', XDG_CONFIG_HOME: '/nonexistent' }
const run = (...args: string[]): Promise<Ended> => writ(args, { cwd, env: ENV })
const json = async <T>(...args: string[]): Promise<T & { ok: boolean }> => {
  const ended = await run(...args, '--json')
  assert.equal(ended.code, 0, ended.stdout + ended.stderr)
  return ended.json() as T & { ok: boolean }
}

interface Sessions {
  readonly items: { id: string; workload: string; refused: number; issued: number; state: string }[]
  readonly next: string | null
}
interface Revocations {
  readonly revocations: { id: string; by: string; target: { kind: string; value: string } }[]
  readonly through: string
  readonly hits: number | null
  readonly holders?: { holding: number; all: number; missing: string[]; silent: string[] }
}

async function sessionsAfter(count: number): Promise<Sessions & { ok: boolean }> {
  let page = await json<Sessions>('sessions', 'list')
  await until(async () => {
    page = await json<Sessions>('sessions', 'list')
    return page.items.length >= count
  })
  return page
}

test('sessions are listed in 80 columns, shown by the beginning of an id, and filtered', async () => {
  const key = generateSenderKey()
  assert.equal((await askForToken(site, { key })).status, 200)
  assert.notEqual(
    (await askForToken(site, { arguments: { to: 'mallory', amount: 5 } })).status,
    200,
  )
  const { items } = await sessionsAfter(2)
  assert.ok(items.every(({ workload }) => workload === AGENT))

  const listed = await run('sessions', 'list')
  const lines = listed.stdout.trimEnd().split('\n')
  assert.equal(lines.length, items.length + 1)
  assert.ok(lines.every((line) => widthOf(line) <= 80))

  const [first] = items
  assert.ok(first !== undefined)
  const shown = await run('sessions', 'show', '--', first.id.slice(0, 12))
  assert.equal(shown.code, 0, shown.stderr)
  assert.match(shown.stdout, new RegExp(`id +${first.id}`))
  assert.match(shown.stdout, /writ revoke agent:spiffe:\/\/corp\.test\/agents\/bot$/m)
  const named = await run('sessions', 'show', '--config', 'writ.yaml', '--', first.id)
  const commands = named.stdout.split('\n').filter((line) => line.includes('writ revoke'))
  assert.equal(commands.filter((line) => line.endsWith(' --config writ.yaml')).length, 2)

  const none = await json<Sessions>('sessions', 'list', '--beneath', 'spiffe://corp.test/agents/b')
  assert.deepEqual(none.items, [], 'a path is whole segments')
  const refused = await json<Sessions>('sessions', 'list', '--text', 'policy_denied')
  assert.deepEqual(
    refused.items.map((one) => one.refused),
    [1],
  )
  assert.equal((await json<Sessions>('sessions', 'list', '--limit', '1')).items.length, 1)
})

test('a preview changes nothing; a revocation of many stops them, and says when all have it', async () => {
  const wide = 'agent:spiffe://corp.test/agents/*'
  // A session is live for as long as its token is good, and is on record a moment later.
  await until(async () => {
    assert.equal((await askForToken(site)).status, 200)
    const { preview } = await json<{ preview: { wide: boolean; workloads: string[] } }>(
      ...['revoke', wide, `server:${RESOURCE}`, '--dry-run'],
    )
    assert.equal(preview.wide, true)
    return preview.workloads.join() === AGENT
  })
  assert.equal((await askForToken(site)).status, 200)

  const done = await json<Revocations>(
    ...['revoke', wide, 'task:invoice-1', '--reason', 'stolen', '--for', '1h', '--wait'],
  )
  assert.deepEqual(
    done.revocations.map(({ target, by }) => [target.kind, target.value, by]),
    [
      ['agent', 'spiffe://corp.test/agents', `local:${userInfo().username}`],
      ['task', 'invoice-1', `local:${userInfo().username}`],
    ],
  )
  assert.equal(done.through, 'broker')
  assert.deepEqual(done.holders, { holding: 1, all: 1, missing: [], silent: [] })
  assert.notEqual((await askForToken(site)).status, 200)
  const { items } = await json<Sessions>('sessions', 'list', '--state', 'stopped')
  assert.ok(items.length > 0)

  const [made] = done.revocations
  assert.ok(made !== undefined)
  const listed = await run('revocations')
  assert.ok(listed.stdout.includes(made.id) && listed.stdout.includes('1/1'), listed.stdout)
  for (const id of [made.id, made.id.slice(0, 8)]) {
    const shown = await run('revocations', 'show', '--config', 'writ.yaml', '--', id)
    assert.match(shown.stdout, /reason +stolen/)
    assert.match(shown.stdout, /writ revocations undo --reason … --config writ\.yaml .*\S{22}$/m)
  }

  const undo = ['revocations', 'undo', '--reason', 'false alarm', '--', made.id]
  const undone = await run(...undo)
  assert.equal(undone.code, 0, undone.stderr)
  assert.equal((await askForToken(site)).status, 200)
  const again = await run(...undo)
  assert.deepEqual([again.code, again.stdout], [1, ''])
  assert.match(again.stderr, /it is undone already/)
  const undoneOnes = await json<{ items: { id: string }[] }>('revocations', '--state', 'undone')
  assert.deepEqual(
    undoneOnes.items.map(({ id }) => id),
    [made.id],
  )

  const [log = ''] = (await readdir(join(cwd, 'audit'))).filter((name) => name.endsWith('.jsonl'))
  const audit = await readFile(join(cwd, 'audit', log), 'utf8')
  assert.ok(audit.includes(`"local:${userInfo().username}"`) && audit.includes('false alarm'))
})

test('what is to be done after a dry run is the same command, for the same broker', async () => {
  const asked = ['task:x', '--reason', "it's bad", '--for', '1h', '--wait', '--config', 'writ.yaml']
  const same = "writ revoke task:x --reason 'it'\\''s bad' --for 1h --wait --config writ.yaml"
  const { preview } = await json<{ preview: { command: string } }>('revoke', ...asked, '--dry-run')
  assert.equal(preview.command, same)
  assert.ok((await run('revoke', ...asked, '--dry-run')).stdout.endsWith(`  ${same}\n`))
})

test('a session is stopped by the beginning of its id; whom a stop hits is said, and when it is nobody', async () => {
  const key = generateSenderKey()
  const sid = String(claimsOf((await askForToken(site, { key })).body.access_token).sid)
  const beginning = `session:${sid.slice(0, 12)}`
  const unknown = await run('revoke', 'session:nonesuch1234', '--json')
  assert.deepEqual([unknown.code, /no session begins/.test(unknown.stdout)], [1, true])
  // Sessions are on record a moment later, and live for as long as their token is good.
  await until(async () => {
    assert.equal((await askForToken(site, { key })).status, 200)
    const counted = await run('revoke', beginning, '--dry-run')
    return counted.stdout.startsWith('this would stop 1 live session\n')
  })
  const done = await run('revoke', beginning, 'task:of-nobody', '--json')
  assert.equal(done.code, 0, done.stdout + done.stderr)
  const { revocations, hits } = done.json() as unknown as Revocations
  assert.deepEqual([revocations[0]?.target.value, hits], [sid, 1])
  assert.equal(
    done.stderr,
    'writ: warning: task:of-nobody hits no live session now; it stops what is to come only\n',
  )
  assert.notEqual((await askForToken(site, { key })).status, 200)
  const again = await run('revoke', 'task:of-nobody')
  assert.match(again.stdout, /^ {2}hits +0 live sessions now$/m)
  const { items } = await json<{ items: unknown[] }>('revocations', '--kind', 'session')
  assert.equal(items.length, 1, 'the unknown one stopped nothing')
})

test('a stop whose answer cannot be written is said to be done', {
  skip: process.platform !== 'linux' && 'needs /dev/full',
}, async () => {
  await using full = await open('/dev/full', 'w')
  const ended = await writ(['revoke', 'jti:unheard'], { cwd, env: ENV, stdout: full.fd })
  assert.equal(ended.code, 3)
  const { items } = await json<{ items: { id: string }[] }>('revocations', '--text', 'unheard')
  const [made] = items
  assert.equal(
    ended.stderr,
    `writ: error: the answer cannot be written (ENOSPC); it is revoked: ${made?.id}\n`,
  )
})

test('status says that all is well, with who hears revocations', async () => {
  const told = await json<{ problems: string[]; holders: unknown[]; keys: unknown[] }>('status')
  assert.deepEqual(told.problems, [])
  assert.deepEqual([told.holders.length, told.keys.length], [1, 1])
  assert.match((await run('status')).stdout, /^all is well\n/)
})

/** Each: a command line, its exit code, and what it says. */
const refused: [string[], number, RegExp][] = [
  [['sessions', 'show', 'nonesuch-nonesuch'], 1, /there is no such session/],
  [['sessions', 'list', '--state', 'happy'], 2, /no state/],
  [['sessions', 'list', '--seen', 'long ago'], 2, /no duration/],
  [['sessions', 'list', '--beneath', 'x'.repeat(3000)], 2, /not valid/],
  [['revocations', '--kind', 'thing'], 2, /no kind/],
  [['revocations', 'undo', 'nonesuch', '--reason', 'x'], 1, /there is no such revocation/],
  [['revocations', 'show', 'nonesuch'], 1, /there is no such revocation/],
  [['revoke', 'jti:a', 'nonsense:b'], 2, /no target/],
  [['revoke', 'jti:a', 'session:abcdefg'], 2, /no session's id/],
  [['revoke', 'jti:a', `session:${'a'.repeat(44)}`], 2, /no session's id/],
  [['revoke', 'jti:a', 'session:nonesuch'], 1, /no session begins/],
  [['revoke', 'jti:a', '--for', '1h', '--until', '2099-01-01T00:00:00Z'], 2, /not both/],
  [['revoke', 'jti:a', 'before:now'], 2, /a time as in 2026-01-31T08:00:00Z, or seconds/],
  [['revoke', 'jti:a', '--reason', ' '], 2, /reason is empty/],
  [['revoke', 'jti:a', '--for', '1000000d'], 2, /too long a duration, at most 999999d/],
  [['revoke', 'jti:a', '--until', '2020-01-01T00:00:00Z'], 2, /no time to come/],
  ...NO_STOPS.map(([args, said]): [string[], number, RegExp] => [
    ['revoke', 'jti:a', ...args],
    2,
    new RegExp(`${said}$`),
  ]),
  [['revoke', 'task:a', '--for', '200000d', '--dry-run'], 2, /is too far off; leave it out$/],
  [['revoke', 'task:a', '--reason', 'x'.repeat(1025), '--dry-run'], 2, /not valid/],
]
for (const [args, code, message] of refused) {
  test(`${args.join(' ').slice(0, 60)}: exit code ${code}, and why`, async () => {
    const ended = await run(...args, '--json')
    assert.equal(ended.code, code, ended.stdout + ended.stderr)
    const { ok, error } = ended.json() as { ok: boolean; error: { message: string } }
    assert.equal(ok, false)
    assert.match(error.message, message)
  })
}

test('nothing was revoked by a command line that was wrong in part', async () => {
  const { items } = await json<{ items: { target: { value: string } }[] }>('revocations')
  assert.ok(!items.some(({ target }) => target.value === 'a'))
})

test('what sessions do is seen as it happens, and across a restart of the broker', async () => {
  const watch = start(['sessions', 'watch', '--json'], { cwd, env: ENV })
  hooks.push(() => watch.kill('SIGKILL'))
  const ended = once(watch, 'exit')
  const output = collect(watch)
  const issuedIn = (id: unknown) =>
    output()
      .stdout.split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).session as { id: string; issued: number })
      .findLast((session) => session.id === id)?.issued
  const key = generateSenderKey()
  const { sid } = claimsOf((await askForToken(site, { key })).body.access_token)
  await until(() => issuedIn(sid) === 1)
  await askForToken(site, { key })
  await until(() => issuedIn(sid) === 2)

  broker.child.kill('SIGTERM')
  await broker.exit
  const gone = await run('status', '--json')
  assert.deepEqual([gone.code, (gone.json().error as { code: string }).code], [3, 'unavailable'])
  broker = await serve({ after: (hook) => void hooks.push(hook) }, cwd)
  await askForToken(site, { key })
  await until(() => issuedIn(sid) === 3)

  watch.kill('SIGINT')
  assert.deepEqual(await ended, [0, null])
})
