// A broker that says what no broker says: the command ends, and says so.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { newLoginKey } from '../../src/cli/saved-login.ts'
import { until } from './serving.ts'
import { METADATA, metadataOf, type Reply, type StandIn, standIn } from './stand-in.ts'
import { type Ended, start, temporaryDirectory, writ } from './writ.ts'

const cwd = await temporaryDirectory({ after })
const EVENTS = { 'content-type': 'text/event-stream' }
const SESSION = {
  id: 'x'.repeat(43),
  workload: 'spiffe://corp.test/bot',
  principal: 'spiffe://corp.test/bot',
  actors: [],
  key: 'k',
  state: 'live',
  stoppedBy: [],
  issued: 1,
  spent: 1,
  refused: 0,
  tokensUntil: 0,
  servers: [],
  firstSeen: 1,
  lastSeen: 1,
}
let server: StandIn
/** What comes for a path; anything else is an empty list. */
const replies = new Map<string, Reply | (() => Reply)>()

before(async () => {
  server = await standIn(({ path }, url) => {
    const [name = ''] = path.split('?')
    if (name === METADATA) return { body: metadataOf(url) }
    const reply = replies.get(name) ?? { body: { items: [], next: null, bounded: false } }
    return typeof reply === 'function' ? reply() : reply
  })
})
after(() => server.close())

/** Runs a command as somebody who is signed in, by a file with these members changed. */
async function run(args: readonly string[], changed: object = {}): Promise<Ended> {
  return await writ(args, await signedIn(changed))
}

async function signedIn(changed: object = {}) {
  const home = await temporaryDirectory({ after })
  await mkdir(join(home, 'writ'), { mode: 0o700 })
  const login = {
    url: server.url,
    key: newLoginKey().jwk,
    ...{ refreshToken: 'r', accessToken: 'a', scope: 'writ:viewer' },
    ...{ accessUntil: Math.floor(Date.now() / 1000) + 600, signedInAt: 1 },
    ...changed,
  }
  const text = JSON.stringify({ version: 1, current: login.url, logins: [login] })
  await writeFile(join(home, 'writ', 'logins.json'), text, { mode: 0o600 })
  return { cwd, env: { XDG_CONFIG_HOME: home } }
}

function errorOf({ stdout }: Ended): { code: string; message: string } {
  const last = stdout.trim().split('\n').at(-1) ?? ''
  return (JSON.parse(last) as { error: { code: string; message: string } }).error
}

test('sessions watch ends with an error when an event is no session', async () => {
  const garbled = ['nonsense', JSON.stringify({ ...SESSION, state: '\u001b[2J' })]
  for (const data of garbled) {
    replies.set('/v1/events', { headers: EVENTS, body: `event: session\ndata: ${data}\n\n` })
    const ended = await run(['sessions', 'watch', '--json'])
    assert.equal(ended.code, 3, ended.stdout + ended.stderr)
    assert.deepEqual(errorOf(ended).code, 'unavailable')
    assert.match(errorOf(ended).message, /not understood/)
  }
})

test('sessions watch shows a session whose time is none', async () => {
  const told = JSON.stringify({
    ...SESSION,
    lastSeen: 1e300,
    workload: 'spiffe://corp.test/\u009b2J',
  })
  const body = `event: session\ndata: ${told}\n\nevent: session\ndata: the end\n\n`
  replies.set('/v1/events', { headers: EVENTS, body })
  const ended = await run(['sessions', 'watch'])
  assert.equal(ended.code, 3, ended.stdout + ended.stderr)
  assert.match(ended.stdout, /^\?\?:\?\?:\?\? {2}live .*spiffe:\/\/corp\.test\/\\u\{9b\}2J/)
})

test('sessions watch goes on when the whole list cannot be had anew at once', async (t) => {
  const lists: Reply[] = [
    { body: { items: [], next: null, bounded: false } },
    { cut: true },
    { status: 503, body: '<html>' },
    { body: { items: [SESSION], next: null, bounded: false } },
  ]
  replies.set('/v1/sessions', () => lists.shift() ?? {})
  t.after(() => replies.delete('/v1/sessions'))
  const body = 'event: reset\ndata: {}\n\nevent: session\ndata: the end\n\n'
  replies.set('/v1/events', { headers: EVENTS, body })
  const ended = await run(['sessions', 'watch', '--json'])
  const [told] = ended.stdout.split('\n')
  assert.equal((JSON.parse(String(told)) as { session: unknown }).session !== undefined, true)
  assert.match(errorOf(ended).message, /not understood/)
  assert.match(
    ended.stderr,
    /^writ: nobody answers.*; trying again\nwrit: .*503.*; trying again\n$/,
  )
})

test('a stop is made though it cannot be said whom it hits', async (t) => {
  const item = { id: 'r', target: { kind: 'task', value: 'x' }, at: 1, reason: 'x', by: 'person:a' }
  const state = { state: 'live', canUndo: true, holders: { holding: 0, all: 1 } }
  replies.set('/v1/revocations', { status: 201, body: { items: [{ ...item, ...state }] } })
  t.after(() => replies.delete('/v1/revocations'))
  const told = { workloads: [], servers: [], wide: false, command: '', sessions: 0, each: [0] }
  const nobody = 'writ: warning: task:x hits no live session now; it stops what is to come only\n'
  const cases: [preview: Reply, hits: string | undefined, stderr: string][] = [
    [{ cut: true }, undefined, ''],
    [{ status: 403, body: 'no' }, undefined, ''],
    [{ body: { sessions: 1 } }, undefined, ''],
    [{ body: { ...told, bounded: false } }, '0 live sessions now', nobody],
    [{ body: { ...told, bounded: true } }, 'at least 0 live sessions now', ''],
  ]
  for (const [reply, hits, warned] of cases) {
    replies.set('/v1/revocations/preview', reply)
    const { code, stdout, stderr } = await run(['revoke', 'task:x', '--url', server.url])
    assert.deepEqual([code, stderr], [0, warned])
    assert.match(stdout, /^revoked task:x\n/)
    assert.equal(/^ {2}hits +(.*)$/m.exec(stdout)?.[1], hits)
  }
})

const MADE = {
  ...{ id: 'r', target: { kind: 'task', value: 'x' }, at: 1, reason: 'x', by: 'person:a' },
  ...{ state: 'live', canUndo: true, holders: { holding: 0, all: 1 } },
}
const NOTHING = { workloads: [], servers: [], wide: false, command: '', bounded: false }

test('what is offered is done at the broker that was asked, though a store is here too', async (t) => {
  const bundle = { file: 'bundle.json' }
  const settings = {
    ...{ issuer: 'http://127.0.0.1:4470', keys: { directory: 'keys' }, policies: 'policies' },
    ...{ store: { sqlite: { file: 'writ.db' } }, audit: { directory: 'audit' } },
    trust: [{ spiffe: 'corp.test', bundle }],
    servers: [{ resource: 'http://127.0.0.1:4474/mcp', catalogue: 'mcp.json' }],
  }
  await writeFile(join(cwd, 'here.yaml'), JSON.stringify(settings))
  t.after(() => replies.clear())
  replies.set('/v1/revocations/preview', { body: { ...NOTHING, sessions: 2, each: [2] } })
  replies.set(`/v1/sessions/${SESSION.id}`, { body: { ...SESSION, actions: [] } })
  const here = ['--config', 'here.yaml']
  const asked = ['revoke', 'task:x', '--reason', 'why', '--until', '2099-01-01T00:00:00Z', ...here]
  const counted = await run([...asked, '--dry-run'])
  const same = `writ ${asked.join(' ')} --url ${server.url}`
  assert.ok(counted.stdout.endsWith(`to do it  ${same}\n`), counted.stdout + counted.stderr)
  const { body } = server.received.findLast(({ path }) => path.endsWith('/preview')) ?? {}
  const targets = [{ kind: 'task', value: 'x' }]
  assert.deepEqual(JSON.parse(body ?? ''), { targets, reason: 'why', until: 4070908800 })
  const shown = await run(['sessions', 'show', SESSION.id, ...here])
  const stops = shown.stdout.split('\n').filter((line) => line.includes('writ revoke'))
  assert.equal(stops.filter((line) => line.endsWith(`--url ${server.url}`)).length, 2, shown.stdout)

  replies.set('/v1/revocations', { status: 201, body: { items: [MADE] } })
  const done = await run([...same.split(' ').slice(1), '--json'])
  assert.equal(done.json().through, 'url', done.stdout)
})

test('that it is not known who has a stop does not hide that it was made', async (t) => {
  t.after(() => replies.clear())
  replies.set('/v1/revocations', { status: 201, body: { items: [MADE, { ...MADE, id: 's' }] } })
  const problem = { type: 'x', title: 'It is so' }
  for (const [status, code, exit] of [
    [503, 'ledger_unavailable', 3],
    [403, 'role_insufficient', 1],
  ] as const) {
    replies.set('/v1/revocations/r', { status, body: { ...problem, status, code } })
    const args = ['revoke', 'task:x', 'task:y', '--wait', '--url', server.url]
    const [text, json] = [await run(args), await run([...args, '--json'])]
    assert.deepEqual([text.code, json.code], [exit, exit])
    assert.match(text.stderr, /^writ: error: it is revoked: r, s, but it is so$/m)
    assert.match(text.stderr, /^writ: hint: ./m)
    assert.equal(errorOf(json).message, 'it is revoked: r, s, but it is so')
  }
})

test('of a single token no hits are told, as text or as JSON', async (t) => {
  t.after(() => replies.clear())
  const jti = { ...MADE, target: { kind: 'jti', value: 'j' } }
  const cases: [object[], object][] = [
    [[jti], { hits: null, each: [null], bounded: true }],
    [[jti, MADE], { hits: 2, each: [null, 2], bounded: true }],
  ]
  for (const [items, hits] of cases) {
    const told = { ...NOTHING, sessions: 2, each: items.map(() => 2), bounded: true }
    replies.set('/v1/revocations/preview', { body: told })
    replies.set('/v1/revocations', { status: 201, body: { items } })
    const args = ['jti:j', 'task:x'].slice(0, items.length)
    const ended = await run(['revoke', ...args, '--json', '--url', server.url])
    const { hits: all, each, bounded } = ended.json()
    assert.deepEqual({ hits: all, each, bounded }, hits)
  }
})

test('sessions watch ends when interrupted, also while it reads the list anew', async (t) => {
  const lists: Reply[] = [{ body: { items: [], next: null, bounded: false } }]
  replies.set('/v1/sessions', () => lists.shift() ?? { endless: true })
  replies.set('/v1/events', { headers: EVENTS, body: 'event: reset\ndata: {}\n\n' })
  t.after(() => replies.clear())
  const asked = () => server.received.filter(({ path }) => path.startsWith('/v1/sessions?')).length
  const before = asked()
  const watch = start(['sessions', 'watch'], await signedIn())
  t.after(() => watch.kill('SIGKILL'))
  const ended = once(watch, 'exit')
  await until(() => asked() === before + 2)
  watch.kill('SIGINT')
  assert.deepEqual(await ended, [0, null])
})

test('an id that several begin with, or may, is nobody’s: nothing is shown or stopped', async (t) => {
  const named = (...ids: string[]) => ids.map((id) => ({ ...SESSION, id: id.padEnd(43, '-') }))
  const others = Array.from({ length: 9999 }, () => SESSION)
  const made = { target: { kind: 'task', value: 'x' }, at: 1, reason: 'x', by: 'cli:a' }
  const state = { state: 'live', canUndo: true, holders: { holding: 0, all: 1 } }
  const revocations = ['abcd1', 'abcd2'].map((id) => ({ id, ...made, ...state }))
  t.after(() => replies.delete('/v1/sessions') && replies.delete('/v1/revocations'))
  replies.set('/v1/revocations', { body: { items: revocations, next: null } })
  const lists = [
    { items: named('abcdabcd1', 'abcdabcd2', 'xabcd'), next: null, bounded: false },
    { items: [...named('abcdabcd1'), ...others], next: 'more', bounded: false },
  ]
  const posts = () => server.received.filter(({ method }) => method === 'POST').length
  const before = posts()
  for (const body of lists) {
    replies.set('/v1/sessions', { body })
    for (const args of [
      ['sessions', 'show', 'abcd'],
      ['revoke', 'session:abcdabcd', '--url', server.url],
      ['revocations', 'show', 'abcd'],
    ]) {
      const ended = await run([...args, '--json'])
      assert.equal(ended.code, 1, ended.stdout)
      assert.match(errorOf(ended).message, /begins? with "(?:abcd)+"$/)
    }
  }
  replies.set('/v1/sessions', { body: { items: named('xabcdabcd'), next: null, bounded: false } })
  const inside = await run(['revoke', 'session:abcdabcd', '--json', '--url', server.url])
  assert.match(errorOf(inside).message, /^no session begins with "abcdabcd"$/)
  assert.equal(posts(), before)
})

test('what the broker calls an error moves no cursor', async () => {
  const body = { error: 'x\u001b[2J\u202e' }
  replies.set('/oauth/revoke', { status: 400, body })
  const ended = await run(['logout'])
  assert.equal(ended.code, 0)
  assert.match(ended.stdout, /could not be told.*x\\u\{1b\}\[2J\\u\{202e\}/)
})

test('a saved sign-in that cannot be one is damaged, and no bug', async () => {
  for (const changed of [{ url: 'nowhere' }, { key: { kty: 'EC', d: 'x' } }]) {
    const ended = await run(['status', '--json'], changed)
    assert.equal(ended.code, 2, ended.stdout)
    assert.match(errorOf(ended).message, /is not of this version/)
  }
})

test('a token that cannot stand in a header is none', async () => {
  const tokens = { refresh_token: 'r', token_type: 'DPoP', expires_in: 60 }
  replies.set('/oauth/token', { body: { ...tokens, access_token: 'a\r\nx: y' } })
  const ended = await run(['status', '--json'], { accessUntil: 0 })
  assert.equal(ended.code, 3, ended.stdout)
  assert.doesNotMatch(ended.stdout, /x: y/)
})

test('a place that nothing can be written to is told as one', async () => {
  // Of what is beneath /proc the system says that it does not exist, however often it is made.
  for (const place of ['/sys/nowhere', '/proc/nowhere']) {
    const env = { XDG_CONFIG_HOME: place }
    const ended = await writ(['logout', '--url', server.url, '--json'], { cwd, env })
    assert.equal(ended.code, 2, ended.stdout)
    assert.match(errorOf(ended).message, /cannot be written/)
  }
})

test('input without an end is refused', async () => {
  const ended = await writ(['token', 'inspect', '/dev/zero', '--json'], { cwd })
  assert.equal(ended.code, 2, ended.stdout)
  assert.match(errorOf(ended).message, /larger than 2 MiB/)
})
