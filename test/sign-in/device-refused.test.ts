import assert from 'node:assert/strict'
import { type IncomingMessage, request } from 'node:http'
import { after, before, test } from 'node:test'
import * as oauth from 'oauth4webapi'
import { createOidcStore } from '../../src/sign-in/adapter.ts'
import type { SoftwarePasskey } from './authenticator.ts'
import { approve, CommandLine, confirmPage, DEVICE_GRANT } from './command-line.ts'
import {
  Browser,
  LOCAL,
  newPerson,
  pathOf,
  type Site,
  send,
  signInBrowser,
  startSite,
  touch,
} from './site.ts'

let site: Site
let passkey: SoftwarePasskey
let viewer: SoftwarePasskey
let person: string
before(async () => {
  site = await startSite()
  ;({ passkey, person } = await newPerson(site, 'admin'))
  viewer = (await newPerson(site, 'viewer')).passkey
})
after(() => site.close())

const asked = async (cli: CommandLine, scope?: string) =>
  (await cli.ask(scope)).body as { device_code: string; user_code: string }

test('oauth4webapi discovers it and signs in through the documented flow', async () => {
  const issuer = new URL(site.url)
  const options = { [oauth.allowInsecureRequests]: true }
  const as = await oauth
    .discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
    .then((response) => oauth.processDiscoveryResponse(issuer, response))
  const client = { client_id: 'writ-cli' }
  const DPoP = oauth.DPoP({}, await oauth.generateKeyPair('ES256'))
  const flow = { DPoP, ...options }
  // Its device request takes no proof, so this one is made by hand; a generic form request does.
  const parameters = new URLSearchParams({ scope: 'writ:viewer' })
  const headers = new Headers()
  const url = new URL(as.device_authorization_endpoint!)
  const proofs = DPoP as unknown as { addProof(...of: unknown[]): Promise<void> }
  await proofs.addProof(url, headers, 'POST')
  const request = await oauth.deviceAuthorizationRequest(as, client, oauth.None(), parameters, {
    ...options,
    headers,
  })
  const device = await oauth.processDeviceAuthorizationResponse(as, client, request)
  await approve(site, device.user_code, passkey)
  const response = await oauth.deviceCodeGrantRequest(
    as,
    client,
    oauth.None(),
    device.device_code,
    flow,
  )
  const tokens = await oauth.processDeviceCodeResponse(as, client, response)
  assert.equal(tokens.token_type, 'dpop')
  const refreshed = await oauth.refreshTokenGrantRequest(
    as,
    client,
    oauth.None(),
    tokens.refresh_token!,
    flow,
  )
  const next = await oauth.processRefreshTokenResponse(as, client, refreshed)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  const me = await oauth.protectedResourceRequest(
    next.access_token,
    'GET',
    new URL(`${site.url}/v1/me`),
    undefined,
    undefined,
    flow,
  )
  assert.equal(((await me.json()) as { role: string }).role, 'viewer')
})

test('a device code is of use to the key that asked for it, once', async () => {
  const cli = new CommandLine(site)
  const { device_code: code, user_code: userCode } = await asked(cli)
  const thief = new CommandLine(site)
  assert.equal((await thief.poll(code)).body.error, 'invalid_grant')
  await approve(site, userCode, passkey)
  assert.equal((await thief.poll(code)).body.error, 'invalid_grant')
  const all = await Promise.all(Array.from({ length: 20 }, () => cli.poll(code)))
  assert.equal(all.filter(({ status }) => status === 200).length, 1)
  assert.equal((await cli.poll(code)).body.error, 'invalid_grant')
})

test('what stands for a device code in the store is no device code', async () => {
  const cli = new CommandLine(site)
  const { user_code: userCode } = await asked(cli)
  await approve(site, userCode, passkey)
  const kept = await site.documents.list('oidc_device_code', { limit: 1000 })
  for (const { id } of kept) {
    for (const code of [id, `~${id}`]) {
      assert.equal((await cli.poll(code)).body.error, 'invalid_grant')
    }
  }
})

test('of forty uses of one proof at once, one succeeds', async () => {
  const cli = new CommandLine(site)
  const { device_code: code, user_code: userCode } = await asked(cli)
  const proof = cli.proof('/oauth/token')
  const polls = await Promise.all(Array.from({ length: 40 }, () => cli.poll(code, proof)))
  const told = polls.map(({ body }) => String(body.error))
  assert.equal(told.filter((error) => error === 'authorization_pending').length, 1)
  assert.equal(told.filter((error) => error === 'invalid_dpop_proof').length, 39)

  await approve(site, userCode, passkey)
  const { access_token: token } = (await cli.poll(code)).body as { access_token: string }
  const once = cli.proof('/v1/me', 'GET', token)
  const asks = await Promise.all(Array.from({ length: 40 }, () => cli.me(token, once)))
  assert.equal(asks.filter(({ status }) => status === 200).length, 1)
})

test('no endpoint gives anything without a proof for it', async () => {
  const cli = new CommandLine(site)
  for (const path of ['/oauth/device_authorization', '/oauth/token']) {
    const form = { client_id: 'writ-cli', scope: 'writ:admin', grant_type: DEVICE_GRANT }
    const cases: [string, Record<string, string>][] = [
      ['none', {}],
      ['for another endpoint', { dpop: cli.proof('/oauth/other') }],
      ['for another method', { dpop: cli.proof(path, 'GET') }],
      ['no proof', { dpop: 'proof' }],
    ]
    for (const [what, headers] of cases) {
      const answer = await send(`${site.url}${path}`, { form, headers })
      assert.deepEqual([answer.status, answer.body.error], [400, 'invalid_dpop_proof'], what)
    }
  }
})

test('other clients, grants and scopes get nothing', async () => {
  const cli = new CommandLine(site)
  const token = '/oauth/token'
  const device = '/oauth/device_authorization'
  const cases: [string, Record<string, string>, string][] = [
    [device, { client_id: 'writ-console', scope: 'writ:admin' }, 'invalid_client'],
    [token, { client_id: 'other', grant_type: DEVICE_GRANT }, 'invalid_client'],
    [token, { client_id: 'writ-console', grant_type: 'authorization_code' }, 'invalid_client'],
    [token, { grant_type: 'authorization_code', code: 'x' }, 'unsupported_grant_type'],
    [token, { grant_type: 'client_credentials' }, 'unsupported_grant_type'],
    [token, { grant_type: 'refresh_token', refresh_token: 'unknown' }, 'invalid_grant'],
    [token, { grant_type: DEVICE_GRANT, device_code: 'unknown' }, 'invalid_grant'],
    [device, {}, 'invalid_scope'],
    [device, { scope: 'writ:introspect' }, 'invalid_scope'],
    [device, { scope: 'writ:viewer openid' }, 'invalid_scope'],
    [device, { scope: 'writ:viewer', resource: 'https://other.example' }, 'invalid_target'],
  ]
  for (const [path, form, error] of cases) {
    assert.equal((await cli.post(path, form)).body.error, error, JSON.stringify(form))
  }
})

test('a form that two readers could read differently is refused, whatever a reader makes of them', async () => {
  const cli = new CommandLine(site)
  const path = '/oauth/device_authorization'
  const form = 'client_id=writ-cli&scope=writ%3Aviewer'
  const forms: [string, Buffer, number][] = [
    ['plain', Buffer.from(form), 200],
    ['a byte order mark', Buffer.from(`\ufeff${form}`), 400],
    ['one before a second scope', Buffer.from(`\ufeffscope=writ%3Aadmin&${form}`), 400],
    ['UTF-8 in a value', Buffer.from(`${form}&resource=é`), 400],
    ['a parameter twice', Buffer.from(`${form}&x=1&x=2`), 400],
    ['a byte of Latin-1', Buffer.from(`${form}&x=\xff`, 'latin1'), 400],
  ]
  for (const [what, bytes, status] of forms) {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
    const type = 'application/x-www-form-urlencoded'
    const headers = { 'content-type': type, dpop: cli.proof(path) }
    request(`${site.url}${path}`, { method: 'POST', family: 4, headers }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode))
    })
      .on('error', reject)
      .end(bytes)
    assert.equal(await promise, status, what)
  }
  const fields = { client_id: 'writ-cli', scope: 'writ:viewer' }
  const headers = { dpop: cli.proof(path), 'content-encoding': 'gzip' }
  assert.equal((await send(`${site.url}${path}`, { form: fields, headers })).status, 400)
})

test('a form that is too large is refused, and nothing has to wait behind what is left of it', async () => {
  const cli = new CommandLine(site)
  const path = '/oauth/device_authorization'
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const type = 'application/x-www-form-urlencoded'
  const headers = { 'content-type': type, dpop: cli.proof(path), connection: 'keep-alive' }
  const sent = request(`${site.url}${path}`, { method: 'POST', family: 4, headers }, resolve)
  // Of no length that is said before, and not to its end.
  sent.on('error', reject).write(`client_id=writ-cli&scope=${'a'.repeat(40_000)}`)
  const answer = await promise
  assert.deepEqual([answer.statusCode, answer.headers.connection], [413, 'close'])
  sent.destroy()
})

test('a person’s token is good with its own key, and for no more than was asked for', async () => {
  const cli = new CommandLine(site)
  const tokens = await cli.signIn(passkey, 'writ:viewer')
  const record = site.records.findLast(({ reason }) => reason === 'signed_in')
  const { principal, key, evidence } = record ?? {}
  assert.deepEqual(
    [principal, key, evidence],
    [`person:${person}`, cli.key.jkt, { by: 'command line' }],
  )
  assert.equal((await cli.me(tokens.access_token)).body.role, 'viewer')
  const thief = new CommandLine(site)
  const stolen = await thief.me(tokens.access_token)
  assert.deepEqual([stolen.status, stolen.body.why], [401, 'proof'])
  assert.equal((await thief.refresh(tokens.refresh_token)).body.error, 'invalid_grant')

  const mine = new CommandLine(site)
  const { access_token: token } = await mine.signIn(viewer, 'writ:admin')
  assert.equal((await mine.me(token)).body.role, 'viewer', 'not more than the person may')
  const { body } = await mine.me('B'.repeat(43))
  assert.equal(body.why, 'unknown')
})

test('of a token that is kept, everything has to fit', async () => {
  const cli = new CommandLine(site)
  const store = createOidcStore(site.documents, () => site.now())
  const now = Math.floor(site.now())
  await store.adapter('Grant').upsert('a-grant', { accountId: person }, 600)
  const good = {
    accountId: person,
    clientId: 'writ-cli',
    grantId: 'a-grant',
    jkt: cli.key.jkt,
    aud: site.url,
    scope: 'writ:admin',
    exp: now + 600,
    extra: { authTime: now },
  }
  const token = 'A'.repeat(43)
  const ask = async (change: object) => {
    await store.adapter('AccessToken').upsert(token, { ...good, ...change }, 600)
    const { status, body } = await cli.me(token)
    return status === 200 ? 'fine' : body.why
  }
  assert.equal(await ask({}), 'fine')
  const cases: [string, object, string][] = [
    ['of another client', { clientId: 'writ-console' }, 'unknown'],
    ['of nobody', { accountId: undefined }, 'unknown'],
    ['of no grant', { grantId: undefined }, 'unknown'],
    ['of somebody who is gone', { accountId: 'gone' }, 'ended'],
    ['for another audience', { aud: 'https://other.example' }, 'audience'],
    ['not bound', { jkt: undefined }, 'proof'],
    ['over', { exp: now - 1 }, 'ended'],
    ['after the absolute limit', { extra: { authTime: now - 43_201 } }, 'ended'],
    ['of no time', { extra: {} }, 'ended'],
    ['without a role', { scope: 'openid' }, 'scope'],
    ['whose grant has ended', { grantId: 'ended' }, 'ended'],
  ]
  for (const [what, change, why] of cases) assert.equal(await ask(change), why, what)
})

test('a refresh token that is used again ends the grant, and all its tokens', async () => {
  const cli = new CommandLine(site)
  const first = await cli.signIn(passkey)
  const second = (await cli.refresh(first.refresh_token)).body as unknown as typeof first
  assert.equal((await cli.me(second.access_token)).status, 200)
  assert.equal((await cli.refresh(first.refresh_token)).body.error, 'invalid_grant')
  const over = await cli.me(second.access_token)
  assert.deepEqual([over.status, over.body.code], [401, 'signin_required'])
  assert.equal((await cli.me(first.access_token)).status, 401)
  assert.equal((await cli.refresh(second.refresh_token)).body.error, 'invalid_grant')
})

test('of many uses of a refresh token at once at most one succeeds, and none lives on', async () => {
  const cli = new CommandLine(site)
  const { refresh_token: token } = await cli.signIn(passkey)
  const all = await Promise.all(Array.from({ length: 20 }, () => cli.refresh(token)))
  const given = all.filter(({ status }) => status === 200)
  assert.ok(given.length <= 1)
  for (const { body } of given) {
    assert.equal((await cli.me(String(body.access_token))).status, 401)
  }
})

test('a command line signs itself out', async () => {
  const cli = new CommandLine(site)
  const tokens = await cli.signIn(passkey)
  const form = { client_id: 'writ-cli', token: tokens.refresh_token }
  assert.equal((await send(`${site.url}/oauth/revoke`, { form })).status, 200)
  assert.equal((await cli.me(tokens.access_token)).status, 401)
  assert.equal((await cli.refresh(tokens.refresh_token)).body.error, 'invalid_grant')
})

test('a sign-in of a command line ends after its time, however often it was renewed', async (t) => {
  // oidc-provider goes by the machine's clock, so that is the one that is moved.
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
  const short = await startSite({ absoluteSeconds: 2000 })
  try {
    const admin = await newPerson(short, 'admin')
    const cli = new CommandLine(short)
    let tokens = await cli.signIn(admin.passkey)
    for (let n = 0; n < 2; n++) {
      t.mock.timers.tick(850_000)
      const { body } = await cli.refresh(tokens.refresh_token)
      tokens = body as unknown as typeof tokens
      assert.equal((await cli.me(tokens.access_token)).status, 200, `renewal ${n}`)
    }
    assert.ok(tokens.expires_in <= 300, 'not beyond the end')
    for (const kind of ['access', 'refresh']) {
      const kept = await short.documents.list(`oidc_${kind}_token`, { limit: 100 })
      for (const { expiresAt } of kept) assert.ok(expiresAt! <= short.now() + 301, kind)
    }
    t.mock.timers.tick(301_000)
    assert.equal((await cli.me(tokens.access_token)).status, 401)
    assert.equal((await cli.refresh(tokens.refresh_token)).body.error, 'invalid_grant')
  } finally {
    await short.close()
  }
})

test('nothing is confirmed without our own page, and a code is answered once', async () => {
  const cli = new CommandLine(site)
  const { device_code: code, user_code: userCode } = await asked(cli)
  const { browser, confirm } = await confirmPage(site, userCode)
  const xsrf = /name="xsrf" value="([0-9a-f]+)"/.exec(confirm.text)![1]!
  const form = { xsrf, user_code: userCode, confirm: 'yes' }
  const refusals = await Promise.all([
    browser.send('/sign-in/device', { form, headers: { 'sec-fetch-site': 'cross-site' } }),
    browser.send('/sign-in/device', {
      form,
      headers: { ...browser.ours(), origin: 'https://evil.example' },
    }),
    browser.submit('/sign-in/device', { ...form, xsrf: 'f'.repeat(48) }),
    new Browser(site).submit('/sign-in/device', form),
  ])
  assert.deepEqual(
    refusals.map(({ status }) => status),
    [403, 403, 400, 401],
  )
  assert.equal((await cli.poll(code)).body.error, 'authorization_pending')
  assert.equal((await approve(site, userCode, passkey)).status, 200)
  assert.equal((await approve(site, userCode, viewer)).status, 400)
})

test('two people who answer one code: the first answer stays', async () => {
  const cli = new CommandLine(site)
  const { device_code: code, user_code: userCode } = await asked(cli)
  const pages = await Promise.all(
    [passkey, viewer].map(async (key) => {
      const { browser, confirm } = await confirmPage(site, userCode)
      const xsrf = /name="xsrf" value="([0-9a-f]+)"/.exec(confirm.text)![1]!
      return { browser, key, form: { xsrf, user_code: userCode, confirm: 'yes' } }
    }),
  )
  const sent = await Promise.all(
    pages.map(async ({ browser, form }) => browser.submit('/sign-in/device', form)),
  )
  const done = await Promise.all(
    sent.map(async ({ status, headers }, at) => {
      if (status !== 303) return status
      const { browser, key } = pages[at]!
      const touched = await touch(browser, pathOf(site, headers.location), key)
      return (await browser.open(pathOf(site, touched.body.location))).status
    }),
  )
  assert.ok(done.filter((status) => status === 200).length <= 1, String(done))
  const { body } = await cli.poll(code)
  if (body.access_token !== undefined) {
    assert.equal((await cli.poll(code)).body.error, 'invalid_grant')
  }
})

test('somebody who says that it was not them ends it', async () => {
  const cli = new CommandLine(site)
  const { device_code: code, user_code: userCode } = await asked(cli)
  const { browser, confirm } = await confirmPage(site, userCode)
  const xsrf = /name="xsrf" value="([0-9a-f]+)"/.exec(confirm.text)![1]!
  await browser.submit('/sign-in/device', { xsrf, user_code: userCode, abort: 'yes' })
  assert.equal((await cli.poll(code)).body.error, 'access_denied')
})

test('guessing user codes stops soon', async () => {
  const guessed = await startSite()
  try {
    const browser = new Browser(guessed)
    const input = await browser.open('/sign-in/device')
    const xsrf = /name="xsrf" value="([0-9a-f]+)"/.exec(input.text)![1]!
    let last = 0
    let tries = 0
    while (last !== 429 && tries < 60) {
      const form = { xsrf, user_code: 'BBBB-BBBB' }
      const answer = await browser.submit('/sign-in/device', form)
      last = answer.status
      tries += 1
    }
    assert.equal(last, 429)
    assert.ok(tries <= 21)
    assert.ok(guessed.records.some(({ reason }) => reason === 'user_code_refused'))
    guessed.passSeconds(601)
    const again = await browser.submit('/sign-in/device', { xsrf, user_code: 'BBBB-BBBB' })
    assert.equal(again.status, 400)
  } finally {
    await guessed.close()
  }
})

test('a browser’s cookie and a command line’s token do not stand for each other', async () => {
  const { browser } = await signInBrowser(site, passkey)
  const { value } = browser.cookies.get('__Host-writ')!
  const cli = new CommandLine(site)
  assert.equal((await cli.me(value)).body.why, 'unknown')
  const { access_token: token } = await cli.signIn(passkey)
  const headers = { cookie: `__Host-writ=${token}`, 'sec-fetch-site': 'same-origin' }
  assert.equal((await send(`${site.url}/v1/me`, { headers })).body.why, 'unknown')
  await site.signIn.people.invite({ name: 'unused', role: 'viewer' }, LOCAL)
})
