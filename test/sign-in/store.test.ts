import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryDocuments } from '../../src/ledger/memory-documents.ts'
import { Refusal, refuse } from '../../src/refusal.ts'
import { createOidcStore } from '../../src/sign-in/adapter.ts'
import type { Admin } from '../../src/sign-in/admin.ts'
import { createChallenges, type Purpose } from '../../src/sign-in/challenges.ts'
import { CommandLine } from './command-line.ts'
import {
  Browser,
  me,
  newPerson,
  pathOf,
  reachPasskeyPage,
  signInBrowser,
  startSite,
} from './site.ts'

const clock = () => Date.now() / 1000
const fresh = () => {
  const documents = memoryDocuments({ clock, isOpen: () => true })
  return { documents, store: createOidcStore(documents, clock) }
}

test('of forty uses of a code or a token at once, one succeeds', async () => {
  const { store } = fresh()
  for (const model of ['AuthorizationCode', 'RefreshToken', 'DeviceCode']) {
    const adapter = store.adapter(model)
    await adapter.upsert('id', { userCode: model, grantId: 'grant' }, 60)
    const all = await Promise.allSettled(Array.from({ length: 40 }, () => adapter.consume('id')))
    assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1, model)
    assert.ok((await adapter.find('id'))?.consumed, model)
    await assert.rejects(adapter.consume('other'), { name: 'InvalidGrant' })
  }
})

test('a challenge is good for what it was made for, and once', async () => {
  const { documents } = fresh()
  const challenges = createChallenges(documents, clock)
  const tries: [Purpose, string, boolean][] = [
    ['touch', 'this', true],
    ['touch', 'that', false],
    ['sign_in', 'this', false],
    ['enrol', 'this', false],
  ]
  for (const [purpose, binding, good] of tries) {
    const challenge = await challenges.create('touch', 'this')
    assert.equal(await challenges.take(challenge, purpose, binding), good, `${purpose} ${binding}`)
    assert.equal(await challenges.take(challenge, 'touch', 'this'), false, 'used')
  }
})

test('a refresh token that is used twice takes its grant with it', async () => {
  const { store } = fresh()
  await store.adapter('Grant').upsert('grant', { accountId: 'somebody' }, 60)
  const adapter = store.adapter('RefreshToken')
  await adapter.upsert('token', { grantId: 'grant' }, 60)
  await adapter.consume('token')
  assert.ok(await store.find('Grant', 'grant'))
  await assert.rejects(adapter.consume('token'))
  assert.equal(await store.find('Grant', 'grant'), undefined)
})

test('of twenty answers to one device code at once, the first one stays', async () => {
  const { store } = fresh()
  const adapter = store.adapter('DeviceCode')
  await adapter.upsert('code', { userCode: 'BCDF' }, 60)
  const all = await Promise.allSettled(
    Array.from({ length: 20 }, (_, at) =>
      adapter.upsert('code', { userCode: 'BCDF', accountId: `person-${at}` }, 60),
    ),
  )
  assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1)
  const first = all.findIndex(({ status }) => status === 'fulfilled')
  assert.equal((await adapter.find('code'))?.accountId, `person-${first}`)
  await assert.rejects(adapter.upsert('code', { userCode: 'BCDF', error: 'access_denied' }, 60))
})

test('a user code that somebody has is given to nobody else', async () => {
  const { store } = fresh()
  const adapter = store.adapter('DeviceCode')
  await adapter.upsert('code', { userCode: 'BCDF' }, 60)
  await assert.rejects(adapter.upsert('other', { userCode: 'BCDF' }, 60))
  assert.equal(await adapter.find('other'), undefined)
})

test('what callers present is not in the store', async () => {
  const site = await startSite()
  try {
    const { passkey } = await newPerson(site, 'admin')
    const cli = new CommandLine(site)
    const { body } = await cli.ask()
    const browser = new Browser(site)
    const signedIn = await signInBrowser(site, passkey, browser)
    const tokens = await cli.signIn(passkey)
    const presented = [
      tokens.access_token,
      tokens.refresh_token,
      body.device_code,
      String(body.user_code).replace('-', ''),
      new URL(signedIn.callback, site.url).searchParams.get('code'),
      ...[...browser.cookies.values()].map(({ value }) => value),
    ]
    const kinds =
      'session interaction code device_code access_token refresh_token grant uid user_code'
    const all = await Promise.all(
      [...kinds.split(' ').map((kind) => `oidc_${kind}`), 'sign_in', 'sign_in_start'].map((kind) =>
        site.documents.list(kind, { limit: 1000 }),
      ),
    )
    const kept = JSON.stringify(all)
    assert.ok(kept.length > 1000)
    for (const secret of presented) {
      // A user code is twelve bits of a secret each minute; it is shown on the page by itself.
      if (String(secret).length < 12) continue
      assert.ok(!kept.includes(String(secret)), 'the store holds what a caller presents')
    }
  } finally {
    await site.close()
  }
})

/** Documents of which those do not answer whose kind `down` says. */
function failing(down: (kind: unknown) => boolean) {
  return new Proxy(memoryDocuments({ clock, isOpen: () => true }), {
    get(target, name) {
      const call = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>
      return async (...args: unknown[]) => {
        if (down(args[0])) refuse({ code: 'ledger_unavailable', detail: 'test' })
        return await call.apply(target, args)
      }
    },
  })
}

test('while the store does not answer, everything is refused, and says to try again', async () => {
  let down = false
  const documents = failing(() => down)
  const site = await startSite({ documents })
  try {
    const { passkey } = await newPerson(site, 'admin')
    const { browser } = await signInBrowser(site, passkey)
    const cli = new CommandLine(site)
    const tokens = await cli.signIn(passkey)
    down = true
    assert.equal((await cli.refresh(tokens.refresh_token)).status, 503)
    assert.equal((await cli.ask()).status, 503)
    assert.equal((await cli.me(tokens.access_token)).status, 503)
    const headers = { 'sec-fetch-site': 'same-origin' }
    assert.equal((await browser.send('/v1/me', { headers })).status, 503)
    assert.equal((await browser.open('/sign-in/device')).status, 503)
    down = false
    assert.equal((await cli.me(tokens.access_token)).status, 200)
  } finally {
    await site.close()
  }
})

test('that the store does not answer is not told as what somebody did wrong', async () => {
  let down = ''
  const site = await startSite({ documents: failing((kind) => kind === down) })
  try {
    const { passkey } = await newPerson(site, 'admin')
    const { browser } = await signInBrowser(site, passkey)
    const admin = (await me(browser)).body as unknown as Admin
    const touched = passkey.get(await site.signIn.touch.options(admin, 'hash'))
    const { path } = await reachPasskeyPage(browser, site)
    const { body } = await browser.post(`${path}/options`, {})
    const credential = passkey.get(body.options as Record<string, unknown>)
    down = 'challenge'
    await assert.rejects(site.signIn.touch.verify(admin, 'hash', touched), Refusal)
    assert.equal((await browser.post(`${path}/finish`, { credential })).status, 500)
    down = 'oidc_session'
    assert.equal((await browser.open(path)).status, 500)
    down = ''
    const back = await browser.open(
      pathOf(site, (await browser.post(`${path}/finish`, { credential })).body.location),
    )
    down = 'oidc_code'
    const callback = await browser.open(pathOf(site, back.headers.location))
    assert.deepEqual([callback.status, callback.headers['retry-after']], [429, '1'])
  } finally {
    await site.close()
  }
})

test('while no proof can be spent, nobody is told that theirs is wrong', async () => {
  const spend = async () => refuse({ code: 'ledger_unavailable', detail: 'test' })
  const site = await startSite({ ledger: { spend } })
  try {
    const { status, body } = await new CommandLine(site).ask()
    assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'])
  } finally {
    await site.close()
  }
})
