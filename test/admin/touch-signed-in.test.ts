// The admin API over real sign-ins: a cookie that was copied, the browser it was copied from, and a command
// line. Time goes on by the clock of the sign-in.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { SoftwarePasskey } from '../sign-in/authenticator.ts'
import { CommandLine } from '../sign-in/command-line.ts'
import {
  type Answer,
  type Browser,
  me,
  newPerson,
  send,
  signInBrowser,
  startSite,
} from '../sign-in/site.ts'
import { openRig } from './rig.ts'

const site = await startSite()
const rig = await openRig((parts) => ({
  signIn: {
    ...site.signIn,
    // The rig's own words still stand for programs.
    authenticate: (ctx) =>
      ctx.get('authorization').startsWith('Test ')
        ? parts.signIn.authenticate(ctx)
        : site.signIn.authenticate(ctx),
  },
  clock: site.now,
}))
after(async () => {
  await rig.close()
  await site.close()
})

const ada = await newPerson(site, 'admin')
const eve = await newPerson(site, 'admin')
const { host } = new URL(site.url)

let stops = 0
async function newStop(): Promise<string> {
  stops += 1
  const { status, body } = await rig.call('POST', '/v1/revocations', {
    headers: { 'idempotency-key': `stop-${stops}` },
    body: { targets: [{ kind: 'task', value: `task-${stops}` }], reason: 'it misbehaves' },
  })
  assert.equal(status, 201)
  return body.items[0].id
}
const stateOf = async (id: string) => (await rig.call('GET', `/v1/revocations/${id}`)).body.state
const undoPath = (id: string) => `/v1/revocations/${id}/undo`

/** What whoever has the cookie can send: all that the browser sends, from anywhere. */
async function withCookie(browser: Browser, method: string, path: string, json: object) {
  const { body } = await me(browser)
  // Node says how long a body is by itself, save with DELETE.
  const length = Buffer.byteLength(JSON.stringify(json))
  return await send(rig.url + path, {
    ...{ method, json },
    headers: {
      ...browser.ours(),
      ...{ host, cookie: browser.cookieHeader(path), 'x-writ-csrf': String(body.csrf) },
      'content-length': String(length),
    },
  })
}

async function touched(browser: Browser, passkey: SoftwarePasskey, asked: object) {
  const options = await withCookie(browser, 'POST', '/v1/touch', asked)
  assert.equal(options.status, 200, options.text)
  return { touch: passkey.get(options.body) }
}

const codeOf = ({ status, body }: Answer) => [status, body.code]
const NO = [403, 'touch_required']

test('a cookie that was copied lets nothing go on and removes nobody; its owner’s passkey does', async () => {
  const { browser } = await signInBrowser(site, ada.passkey)
  const id = await newStop()
  const reason = { reason: 'let me go on' }
  const vera = await newPerson(site, 'viewer')
  const path = `/v1/people/${vera.person}`
  assert.deepEqual(codeOf(await withCookie(browser, 'POST', undoPath(id), reason)), NO)
  assert.deepEqual(codeOf(await withCookie(browser, 'DELETE', path, {})), NO)
  assert.equal(await stateOf(id), 'live')
  const refused = (await rig.recorded()).filter(({ reason }) => reason === 'touch_required')
  assert.deepEqual(
    refused.map(({ by, evidence }) => [by, evidence?.request]),
    [
      [`person:${ada.person}`, `POST ${undoPath(id)}`],
      [`person:${ada.person}`, `DELETE ${path}`],
    ],
  )

  const asked = { change: 'undo_revocation', revocation: id, ...reason }
  const touch = await touched(browser, ada.passkey, asked)
  assert.equal(
    (await withCookie(browser, 'POST', undoPath(id), { ...reason, ...touch })).status,
    200,
  )
  assert.equal(await stateOf(id), 'undone')
  const gone = await touched(browser, ada.passkey, { change: 'remove_person', person: vera.person })
  assert.equal((await withCookie(browser, 'DELETE', path, gone)).status, 204)
  assert.equal(
    (await site.signIn.people.list()).some((each) => each.id === vera.person),
    false,
  )
})

test('a touch is of who asks: another admin’s does not do', async () => {
  const id = await newStop()
  const reason = { reason: 'let me go on' }
  const asked = { change: 'undo_revocation', revocation: id, ...reason }
  const [ours, theirs] = await Promise.all(
    [ada, eve].map(({ passkey }) => signInBrowser(site, passkey)),
  )
  const touch = await touched(theirs!.browser, eve.passkey, asked)
  const body = { ...reason, ...touch }
  assert.deepEqual(codeOf(await withCookie(ours!.browser, 'POST', undoPath(id), body)), NO)
  assert.equal(await stateOf(id), 'live')
})

test('a command line changes what it likes for five minutes; renewing its tokens is no touch', async () => {
  const cli = new CommandLine(site)
  const undo = async (token: unknown) => {
    const path = undoPath(await newStop())
    const proof = cli.proof(path, 'POST', String(token))
    const headers = { host, authorization: `DPoP ${token}`, dpop: proof }
    return codeOf(await send(rig.url + path, { json: { reason: 'a false alarm' }, headers }))
  }
  const tokens = await cli.signIn(ada.passkey)
  assert.deepEqual(await undo(tokens.access_token), [200, undefined])
  site.passSeconds(50)
  const { body: renewed } = await cli.refresh(tokens.refresh_token)
  site.passSeconds(240)
  assert.deepEqual(await undo(renewed.access_token), [200, undefined])
  site.passSeconds(20)
  assert.deepEqual(await undo(renewed.access_token), NO)
  assert.deepEqual(await undo(tokens.access_token), NO)
})
