// A broker that says what no broker says: the command ends, and says so.
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { newLoginKey } from '../../src/cli/saved-login.ts'
import { METADATA, metadataOf, type Reply, type StandIn, standIn } from './stand-in.ts'
import { type Ended, temporaryDirectory, writ } from './writ.ts'

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
  return await writ(args, { cwd, env: { XDG_CONFIG_HOME: home } })
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

test('an id that several begin with, or may, is nobody’s: nothing is shown or stopped', async (t) => {
  const named = (...ids: string[]) => ids.map((id) => ({ ...SESSION, id: id.padEnd(43, '-') }))
  const others = Array.from({ length: 9999 }, () => SESSION)
  const made = { target: { kind: 'task', value: 'x' }, at: 1, reason: 'x', by: 'cli:a' }
  const state = { state: 'live', canUndo: true, holders: { holding: 0, all: 1 } }
  const revocations = ['abcd1', 'abcd2'].map((id) => ({ id, ...made, ...state }))
  t.after(() => replies.delete('/v1/sessions') && replies.delete('/v1/revocations'))
  replies.set('/v1/revocations', { body: { items: revocations, next: null } })
  const lists = [
    { items: named('abcd1', 'abcd2', 'xabcd'), next: null, bounded: false },
    { items: [...named('abcd1'), ...others], next: 'more', bounded: false },
  ]
  const posts = () => server.received.filter(({ method }) => method === 'POST').length
  const before = posts()
  for (const body of lists) {
    replies.set('/v1/sessions', { body })
    for (const args of [
      ['sessions', 'show', 'abcd'],
      ['revoke', 'session:abcd', '--url', server.url],
      ['revocations', 'show', 'abcd'],
    ]) {
      const ended = await run([...args, '--json'])
      assert.equal(ended.code, 1, ended.stdout)
      assert.match(errorOf(ended).message, /begins? with "abcd"$/)
    }
  }
  replies.set('/v1/sessions', { body: { items: named('xabcd'), next: null, bounded: false } })
  const inside = await run(['revoke', 'session:abcd', '--json', '--url', server.url])
  assert.match(errorOf(inside).message, /^no session begins with "abcd"$/)
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
