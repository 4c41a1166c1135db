// `writ revocations undo` by a person whose sign-in is old, as a process, against an admin side that says so.
import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { newLoginKey } from '../../src/cli/saved-login.ts'
import {
  METADATA,
  metadataOf,
  type Received,
  type Reply,
  type StandIn,
  standIn,
} from './stand-in.ts'
import { type Ended, temporaryDirectory, writ } from './writ.ts'

const UNDONE = {
  ...{
    id: 'r-1',
    target: { kind: 'task', value: 'Month-end' },
    at: 1,
    reason: 'x',
    by: 'person:a',
  },
  ...{ state: 'undone', undone: { at: 2, reason: 'a false alarm', by: 'person:a' } },
  ...{ canUndo: false, holders: { holding: 1, all: 1 } },
}
const TOUCH: Reply = {
  status: 403,
  headers: { 'content-type': 'application/problem+json' },
  body: { type: 'x', title: 'Touch your passkey for this', status: 403, code: 'touch_required' },
}
const TOKENS = {
  ...{ access_token: 'new', refresh_token: 'r', token_type: 'DPoP', expires_in: 900 },
  scope: 'writ:admin',
}

/** Undoes from a machine where somebody signed in a while ago; `token` is what signing in again ends with. */
async function undo(
  t: TestContext,
  token: Reply,
): Promise<{ ended: Ended; asked: Received[]; url: string }> {
  const asked: Received[] = []
  const server: StandIn = await standIn((received, url) => {
    const { path, headers } = received
    if (path === METADATA) return { body: metadataOf(url) }
    if (path === '/oauth/token') return token
    if (path === '/oauth/device_authorization') {
      const verification_uri = `${url}/sign-in/device`
      const codes = { device_code: 'd', user_code: 'BCDF-GHJK', verification_uri }
      return { body: { ...codes, expires_in: 60, interval: 1 } }
    }
    asked.push(received)
    return headers.authorization === 'DPoP new' ? { body: UNDONE } : TOUCH
  })
  t.after(() => server.close())
  const home = await temporaryDirectory(t as never)
  const directory = join(home, 'writ')
  await mkdir(directory, { mode: 0o700 })
  const now = Math.floor(Date.now() / 1000)
  const login = {
    ...{ url: server.url, key: newLoginKey().jwk, scope: 'writ:admin' },
    ...{ accessToken: 'old', refreshToken: 'old', accessUntil: now + 600, signedInAt: now - 400 },
  }
  const file = join(directory, 'logins.json')
  await writeFile(file, JSON.stringify({ version: 1, current: server.url, logins: [login] }))
  await chmod(file, 0o600)
  const args = ['revocations', 'undo', 'r-1', '--reason', 'a false alarm']
  const ended = await writ(args, { cwd: home, env: { XDG_CONFIG_HOME: home } })
  return { ended, asked, url: server.url }
}

test('who signed in a while ago is told so, signs in again, and the very request is sent again', async (t) => {
  const { ended, asked, url } = await undo(t, { body: TOKENS })
  assert.equal(ended.code, 0, ended.stdout + ended.stderr)
  assert.match(
    ended.stderr,
    /touched less than five minutes ago: sign in again, as with writ login/,
  )
  assert.ok(ended.stderr.includes(`${url}/sign-in/device`))
  assert.equal(ended.stdout, 'undone: task:Month-end is not stopped by this any more\n')
  const [first, second] = asked.map(({ method, path, headers, body }) => [
    ...[method, path, body],
    headers['idempotency-key'],
  ])
  assert.equal(asked.length, 2)
  assert.deepEqual(second, first)
  assert.deepEqual(first?.slice(0, 2), ['POST', '/v1/revocations/r-1/undo'])
})

test('who does not sign in again, or whose sign-in still does not do, is told to run writ login', async (t) => {
  const denied = await undo(t, { status: 400, body: { error: 'access_denied' } })
  assert.deepEqual([denied.ended.code, denied.asked.length], [1, 1])
  const still = await undo(t, { body: { ...TOKENS, access_token: 'another' } })
  assert.deepEqual([still.ended.code, still.asked.length], [1, 2])
  for (const { ended, url } of [denied, still]) {
    assert.equal(ended.stdout, '')
    assert.ok(ended.stderr.includes(`run writ login --url ${url}`), ended.stderr)
  }
})
