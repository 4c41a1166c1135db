// What a command line holds once somebody has confirmed it: good with its own key, for its time, and once.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createOidcStore } from '../../src/sign-in/adapter.ts'
import type { SoftwarePasskey } from './authenticator.ts'
import { CommandLine } from './command-line.ts'
import { LOCAL, newPerson, type Site, send, signInBrowser, startSite } from './site.ts'

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
