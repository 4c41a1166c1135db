import assert from 'node:assert/strict'
import { type IncomingMessage, request } from 'node:http'
import { after, before, test } from 'node:test'
import type { SoftwarePasskey } from './authenticator.ts'
import { approve, CommandLine, confirmPage, DEVICE_GRANT } from './command-line.ts'
import { Browser, newPerson, pathOf, type Site, send, startSite, touch } from './site.ts'

let site: Site
let passkey: SoftwarePasskey
let viewer: SoftwarePasskey
before(async () => {
  site = await startSite()
  passkey = (await newPerson(site, 'admin')).passkey
  viewer = (await newPerson(site, 'viewer')).passkey
})
after(() => site.close())

const asked = async (cli: CommandLine, scope?: string) =>
  (await cli.ask(scope)).body as { device_code: string; user_code: string }

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
