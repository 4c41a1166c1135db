import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { SoftwarePasskey, type Twist } from './authenticator.ts'
import {
  type Answer,
  Browser,
  enrol,
  LOCAL,
  newPerson,
  reachPasskeyPage,
  type Site,
  startSite,
  touch,
} from './site.ts'

let site: Site
let passkey: SoftwarePasskey
before(async () => {
  site = await startSite()
  ;({ passkey } = await newPerson(site, 'admin'))
})
after(() => site.close())

const lastCheck = () =>
  site.records.findLast(({ outcome }) => outcome === 'refused')?.evidence?.check

async function tried(by: SoftwarePasskey, twist: Twist = {}): Promise<Answer> {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  return await touch(browser, path, by, twist)
}

test('an answer that is not for this place, this page, this moment or this person signs nobody in', async () => {
  const cases: [string, Twist, string][] = [
    ['another origin', { origin: 'https://evil.example' }, 'origin'],
    ['another port', { origin: 'http://localhost:1' }, 'origin'],
    ['another place', { rpId: 'evil.example' }, 'rp_id'],
    ['another challenge', { challenge: 'A'.repeat(43) }, 'challenge'],
    ['another ceremony', { type: 'webauthn.create' }, 'type'],
    ['nobody verified', { userVerified: false }, 'user_verification'],
    ['nobody present', { userPresent: false }, 'user_presence'],
    ['inside a frame', { clientData: { crossOrigin: true } }, 'framed'],
    ['inside a page', { clientData: { topOrigin: 'https://evil.example' } }, 'framed'],
    ['not signed', { badSignature: true }, 'signature'],
    ['of nobody', { userHandle: null }, 'user_handle'],
    ['of somebody else', { userHandle: Buffer.from('else').toString('base64url') }, 'user_handle'],
    ['no longer to be backed up', { backupEligible: false }, 'backup'],
  ]
  for (const [what, twist, check] of cases) {
    const answer = await tried(passkey, twist)
    assert.deepEqual([answer.status, answer.body.title], [403, 'passkey_refused'], what)
    assert.equal(lastCheck(), check, what)
    // Which check it was is not told.
    assert.ok(!answer.text.includes(check) || check === 'type', what)
  }
  assert.equal((await tried(passkey)).status, 200)
  const stranger = new SoftwarePasskey(site)
  stranger.userHandle = passkey.userHandle
  assert.equal((await tried(stranger)).status, 403)
  assert.equal(lastCheck(), 'unknown')
})

test('an answer counts once, in the interaction it was asked for', async () => {
  const [one, two] = [new Browser(site), new Browser(site)]
  const [pageOne, pageTwo] = [await reachPasskeyPage(one, site), await reachPasskeyPage(two, site)]
  const { body } = await one.post(`${pageOne.path}/options`, {})
  const credential = passkey.get(body.options as Record<string, unknown>)
  assert.equal((await two.post(`${pageTwo.path}/finish`, { credential })).status, 403)
  // What was tried elsewhere is used up.
  assert.equal((await one.post(`${pageOne.path}/finish`, { credential })).status, 403)

  const asked = await one.post(`${pageOne.path}/options`, {})
  const again = passkey.get(asked.body.options as Record<string, unknown>)
  const all = await Promise.all(
    Array.from({ length: 20 }, () => one.post(`${pageOne.path}/finish`, { credential: again })),
  )
  assert.equal(all.filter(({ status }) => status === 200).length, 1)
})

test('a challenge is good for five minutes', async () => {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  const { body } = await browser.post(`${path}/options`, {})
  const credential = passkey.get(body.options as Record<string, unknown>)
  site.passSeconds(301)
  assert.equal((await browser.post(`${path}/finish`, { credential })).status, 403)
  assert.equal(lastCheck(), 'challenge')
})

test('an interaction belongs to the browser that began it', async () => {
  const [one, two] = [new Browser(site), new Browser(site)]
  const { path } = await reachPasskeyPage(one, site)
  await reachPasskeyPage(two, site)
  for (const browser of [two, new Browser(site)]) {
    assert.equal((await browser.open(path)).status, 401)
    assert.equal((await browser.post(`${path}/options`, {})).status, 401)
  }
  const own = one.cookieHeader(path)
  const elsewhere = `${path.slice(0, -1)}${path.endsWith('x') ? 'y' : 'x'}`
  assert.equal((await one.send(elsewhere, { headers: { cookie: own } })).status, 401)
})

test('a counter that goes back, or stands still, is a copy of the key', async () => {
  const counting = new SoftwarePasskey(site, { backupEligible: false })
  const { url } = await site.signIn.people.invite({ name: 'Key', role: 'viewer' }, LOCAL)
  assert.equal((await enrol(site, url, counting)).answer.status, 200)
  counting.counter = 10
  assert.equal((await tried(counting)).status, 200)
  for (const counter of [11, 3, 0]) {
    assert.equal((await tried(counting, { counter })).status, 403, `after 11: ${counter}`)
    assert.equal(lastCheck(), 'counter')
  }
  assert.equal((await tried(counting, { counter: 12 })).status, 200)
})

test('of two answers with one counter, sent at once, one counts', async () => {
  const counting = new SoftwarePasskey(site, { backupEligible: false })
  const { url } = await site.signIn.people.invite({ name: 'Key', role: 'viewer' }, LOCAL)
  await enrol(site, url, counting)
  const all = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const browser = new Browser(site)
      const { path } = await reachPasskeyPage(browser, site)
      return await touch(browser, path, counting, { counter: 5 })
    }),
  )
  assert.equal(all.filter(({ status }) => status === 200).length, 1)
})

test('steps of a ceremony are taken from our own page alone', async () => {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  const link = 'A'.repeat(43)
  for (const at of [`${path}/options`, `${path}/cancel`, '/sign-in/enrol/options']) {
    const foreign = await browser.post(at, { link }, { origin: 'https://evil.example' })
    assert.deepEqual([foreign.status, foreign.body.title], [403, 'page_refused'], at)
    const crossed = await browser.post(at, { link }, { 'sec-fetch-site': 'cross-site' })
    assert.deepEqual([crossed.status, crossed.body.title], [403, 'page_refused'], at)
  }
  const form = await browser.send('/sign-in/enrol/options', {
    form: { link },
    headers: browser.ours(),
  })
  assert.equal(form.status, 400, 'a form can be sent by any page')
})

test('an enrolment that is not for this place, or without somebody verified, enrols nobody', async () => {
  const cases: [string, Twist, string][] = [
    ['another origin', { origin: 'https://evil.example' }, 'origin'],
    ['another place', { rpId: 'evil.example' }, 'rp_id'],
    ['another challenge', { challenge: 'A'.repeat(43) }, 'challenge'],
    ['nobody verified', { userVerified: false }, 'user_verification'],
    ['another ceremony', { type: 'webauthn.get' }, 'type'],
    ['inside a frame', { clientData: { crossOrigin: true } }, 'framed'],
    ['by the name of another', { id: 'other' }, 'credential'],
  ]
  const { url } = await site.signIn.people.invite({ name: 'New', role: 'viewer' }, LOCAL)
  for (const [what, twist, check] of cases) {
    const { answer } = await enrol(site, url, new SoftwarePasskey(site), twist)
    assert.equal(answer.status, 403, what)
    assert.equal(lastCheck(), check, what)
  }
  // None of these has used the link up.
  assert.equal((await enrol(site, url)).answer.status, 200)
})

test('what is no credential at all is refused and breaks nothing', async () => {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  interface Credential {
    readonly response: Record<string, unknown>
  }
  const within = (change: object) => (good: Credential) => ({
    ...good,
    response: { ...good.response, ...change },
  })
  const cases: [string, (good: Credential) => unknown, string][] = [
    ['null', () => null, 'form'],
    ['text', () => 'text', 'form'],
    ['a list', () => [], 'form'],
    ['nothing', () => ({}), 'form'],
    ['a number', (good) => ({ ...good, id: 5, rawId: 5 }), 'form'],
    ['a password', (good) => ({ ...good, type: 'password' }), 'form'],
    ['two names', (good) => ({ ...good, rawId: 'other' }), 'form'],
    ['a long name', (good) => ({ ...good, id: 'a'.repeat(1365), rawId: 'a'.repeat(1365) }), 'form'],
    ['no response', (good) => ({ ...good, response: null }), 'form'],
    ['no text', within({ signature: { length: 1 } }), 'form'],
    ['long text', within({ clientDataJSON: 'A'.repeat(20_000) }), 'form'],
    ['no base64url', within({ userHandle: 'a+b' }), 'form'],
    ['no client data', within({ clientDataJSON: 'e30' }), 'type'],
    ['null as client data', within({ clientDataJSON: 'bnVsbA' }), 'client_data'],
    ['no JSON', within({ clientDataJSON: 'AAAA' }), 'client_data'],
    ['no authenticator data', within({ authenticatorData: 'AAAA' }), 'response'],
  ]
  for (const [what, change, check] of cases) {
    const { body } = await browser.post(`${path}/options`, {})
    const good = passkey.get(body.options as Record<string, unknown>)
    const credential = change(good as unknown as Credential)
    assert.equal((await browser.post(`${path}/finish`, { credential })).status, 403, what)
    assert.equal(lastCheck(), check, what)
  }
})

test('asking anew gives passkeys that are verified, discoverable, and of this place', async () => {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  const { options } = (await browser.post(`${path}/options`, {})).body as {
    options: Record<string, unknown>
  }
  assert.deepEqual(
    [options.rpId, options.userVerification, options.allowCredentials],
    ['localhost', 'required', []],
  )
  const { url } = await site.signIn.people.invite({ name: 'New', role: 'viewer' }, LOCAL)
  const link = new URL(url).hash.slice(1)
  const begun = await browser.post('/sign-in/enrol/options', { link })
  assert.deepEqual([begun.body.name, begun.body.role], ['New', 'viewer'])
  const { authenticatorSelection, attestation } = begun.body.options as Record<string, unknown>
  assert.deepEqual(authenticatorSelection, {
    residentKey: 'required',
    requireResidentKey: true,
    userVerification: 'required',
  })
  assert.equal(attestation, 'none')
})
