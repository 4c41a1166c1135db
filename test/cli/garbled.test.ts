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
const replies = new Map<string, Reply>()

before(async () => {
  server = await standIn(({ path }, url) => {
    const [name = ''] = path.split('?')
    if (name === METADATA) return { body: metadataOf(url) }
    return replies.get(name) ?? { body: { items: [], next: null, bounded: false } }
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
  const env = { XDG_CONFIG_HOME: '/sys/nowhere' }
  const ended = await writ(['logout', '--url', server.url, '--json'], { cwd, env })
  assert.equal(ended.code, 2, ended.stdout)
  assert.match(errorOf(ended).message, /cannot be written/)
})

test('input without an end is refused', async () => {
  const ended = await writ(['token', 'inspect', '/dev/zero', '--json'], { cwd })
  assert.equal(ended.code, 2, ended.stdout)
  assert.match(errorOf(ended).message, /larger than 2 MiB/)
})
