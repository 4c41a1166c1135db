import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { SoftwarePasskey } from './authenticator.ts'
import {
  type Answer,
  Browser,
  enrol,
  LOCAL,
  me,
  newPerson,
  pathOf,
  reachPasskeyPage,
  type Site,
  send,
  signInBrowser,
  startSite,
  touch,
} from './site.ts'

let site: Site
let passkey: SoftwarePasskey
let person: string
before(async () => {
  site = await startSite()
  ;({ passkey, person } = await newPerson(site, 'admin'))
})
after(() => site.close())

const whyOf = ({ body }: Answer) => `${body.code} ${body.why ?? body.check}`

test('somebody signs in, is who they are, and signs out', async () => {
  const { browser, done } = await signInBrowser(site, passkey)
  assert.deepEqual([done.status, done.headers.location], [303, '/'])
  const { body } = await me(browser)
  assert.deepEqual([body.id, body.role, body.kind], [`person:${person}`, 'admin', 'person'])

  const headers = { 'x-writ-csrf': String(body.csrf) }
  const cookie = browser.cookieHeader('/')
  const forged = [
    {},
    { ...headers, 'sec-fetch-site': 'cross-site' },
    { ...headers, origin: 'null' },
  ]
  for (const each of forged) {
    const answer = await browser.post('/sign-in/out', {}, each as Record<string, string>)
    assert.deepEqual([answer.status, answer.body.title], [403, 'page_refused'])
  }
  assert.equal((await me(browser)).status, 200)
  assert.equal((await browser.post('/sign-in/out', {}, headers)).status, 204)
  assert.equal(browser.cookies.has('__Host-writ'), false)
  const kept = await send(`${site.url}/v1/me`, {
    headers: { cookie, 'sec-fetch-site': 'same-origin' },
  })
  assert.equal(whyOf(kept), 'signin_required unknown')
  browser.cookies.set('__Host-writ', { value: 'A'.repeat(43), path: '/' })
  assert.equal((await browser.post('/sign-in/out', {})).status, 204, 'over already')
  assert.equal(browser.cookies.has('__Host-writ'), false)
  const names = site.records.map(({ reason }) => reason)
  assert.ok(names.includes('signed_in') && names.includes('signed_out'))
})

test('the cookie says nothing, and is for this origin and for requests from it alone', async () => {
  const { browser, done } = await signInBrowser(site, passkey)
  const line = done.headers['set-cookie']!.find((each) => each.startsWith('__Host-writ='))!
  assert.match(line, /^__Host-writ=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict$/)
  const { value } = browser.cookies.get('__Host-writ')!
  const kept = await site.documents.list('sign_in', { limit: 1000 })
  assert.ok(kept.length > 0)
  assert.ok(!JSON.stringify(kept).includes(value), 'the store holds what the browser holds')
  assert.equal(browser.cookies.has('__Host-writ_start'), false)
  for (const kind of ['oidc_access_token', 'oidc_grant']) {
    assert.deepEqual(await site.documents.list(kind, { limit: 1 }), [], `${kind} is left over`)
  }
  const [{ lastSignInAt } = {}] = await site.signIn.people.list()
  assert.ok(lastSignInAt! > site.now() - 300)
})

test('a cookie is believed from our own page only, and changes nothing without the page’s value', async () => {
  const { browser } = await signInBrowser(site, passkey)
  const csrf = String((await me(browser)).body.csrf)
  const ours = { 'sec-fetch-site': 'same-origin' }
  const origin = { origin: site.url }
  const value = { 'x-writ-csrf': csrf }
  const navigate = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }
  const cases: [string, string, Record<string, string | string[]>, string][] = [
    ['our page reads', 'GET', ours, ''],
    ['the person opens it', 'GET', navigate, ''],
    ['our page changes', 'POST', { ...ours, ...origin, ...value }, ''],
    ['another site reads', 'GET', { 'sec-fetch-site': 'cross-site' }, 'fetch_site'],
    ['a sibling reads', 'GET', { 'sec-fetch-site': 'same-site' }, 'fetch_site'],
    ['nobody says who', 'GET', {}, 'fetch_site'],
    ['another site opens it', 'GET', { ...navigate, 'sec-fetch-site': 'cross-site' }, 'fetch_site'],
    ['no navigation', 'GET', { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'cors' }, 'fetch_site'],
    ['a form from nowhere', 'POST', { ...navigate, ...origin, ...value }, 'fetch_site'],
    ['another origin reads', 'GET', { ...ours, origin: 'https://evil.example' }, 'origin'],
    ['another origin changes', 'POST', { ...ours, ...value, origin: 'null' }, 'origin'],
    ['another port', 'POST', { ...ours, ...value, origin: 'http://localhost:1' }, 'origin'],
    ['no origin', 'POST', { ...ours, ...value }, 'origin'],
    ['two origins', 'POST', { ...ours, ...value, origin: [site.url, 'null'] }, 'origin'],
    ['two sites', 'GET', { 'sec-fetch-site': ['same-origin', 'cross-site'] }, 'fetch_site'],
    ['no value', 'POST', { ...ours, ...origin }, 'csrf'],
    ['two values', 'POST', { ...ours, ...origin, 'x-writ-csrf': [csrf, 'x'] }, 'csrf'],
    ['another value', 'DELETE', { ...ours, ...origin, 'x-writ-csrf': `${csrf}x` }, 'csrf'],
  ]
  for (const [what, method, headers, check] of cases) {
    const cookie = browser.cookieHeader('/')
    const answer = await send(`${site.url}/v1/me`, { method, headers: { cookie, ...headers } })
    if (check === '') assert.equal(answer.status, 200, what)
    else {
      assert.equal(whyOf(answer), `page_refused ${check}`, what)
      const { outcome, reason, evidence } = site.records.at(-1)!
      assert.deepEqual([outcome, reason, evidence?.check], ['refused', 'page_refused', check])
    }
  }
  const other = await signInBrowser(site, passkey)
  const otherCsrf = String((await me(other.browser)).body.csrf)
  const crossed = await browser.send('/v1/me', {
    method: 'POST',
    headers: { ...ours, ...origin, 'x-writ-csrf': otherCsrf },
  })
  assert.equal(whyOf(crossed), 'page_refused csrf')
})

test('two cookies of the name are none', async () => {
  const { browser } = await signInBrowser(site, passkey)
  const { value } = browser.cookies.get('__Host-writ')!
  const cookie = `__Host-writ=${value}; __Host-writ=${'A'.repeat(43)}`
  const answer = await send(`${site.url}/v1/me`, {
    headers: { cookie, 'sec-fetch-site': 'same-origin' },
  })
  assert.equal(whyOf(answer), 'signin_required absent')
})

test('a sign-in ends when nobody uses it, and in any case after its time', async () => {
  const short = await startSite({ idleSeconds: 600, absoluteSeconds: 3600 })
  try {
    const enrolled = await newPerson(short, 'admin')
    const { browser } = await signInBrowser(short, enrolled.passkey)
    for (let spent = 0; spent < 3500; spent += 500) {
      assert.equal((await me(browser)).status, 200, `after ${spent} s`)
      short.passSeconds(500)
    }
    short.passSeconds(101)
    assert.equal(whyOf(await me(browser)), 'signin_required unknown')

    const second = await signInBrowser(short, enrolled.passkey)
    short.passSeconds(599)
    const background = { 'x-writ-background': '1' }
    assert.equal((await me(second.browser, background)).status, 200)
    short.passSeconds(2)
    assert.equal(whyOf(await me(second.browser, background)), 'signin_required idle')
    assert.equal(whyOf(await me(second.browser)), 'signin_required unknown')
  } finally {
    await short.close()
  }
})

test('the absolute limit holds even when the store kept the sign-in for longer', async () => {
  const short = await startSite({ idleSeconds: 1e6, absoluteSeconds: 3600 })
  try {
    const enrolled = await newPerson(short, 'admin')
    const { browser } = await signInBrowser(short, enrolled.passkey)
    const [kept] = await short.documents.list('sign_in', { limit: 1 })
    await short.documents.put('sign_in', kept!.id, kept!.value)
    short.passSeconds(3601)
    assert.equal(whyOf(await me(browser)), 'signin_required ended')
  } finally {
    await short.close()
  }
})

test('after a sign-in the provider remembers nobody: each one needs a passkey', async () => {
  const { browser } = await signInBrowser(site, passkey)
  const again = await reachPasskeyPage(browser, site)
  assert.ok(again.path.startsWith('/sign-in/with-passkey/'))
  assert.match(again.answer.text, /Sign in with a passkey/)
  const kept = await site.documents.list('oidc_session', { limit: 1000 })
  assert.ok(kept.length > 0 && !JSON.stringify(kept).includes(person))
  // Even one that did remember would not do.
  for (const { id, value } of kept) {
    const remembered = { ...value, accountId: person, loginTs: Math.floor(site.now()) }
    await site.documents.put('oidc_session', id, remembered)
  }
  const still = await reachPasskeyPage(browser, site)
  assert.ok(still.path.startsWith('/sign-in/with-passkey/'))
  for (const { id } of kept) await site.documents.remove('oidc_session', id)
})

test('a code is good once, in the browser that began, with the verifier it was asked for', async () => {
  const one = new Browser(site)
  const two = new Browser(site)
  const [pageOne, pageTwo] = [await reachPasskeyPage(one, site), await reachPasskeyPage(two, site)]
  const back = async (browser: Browser, page: string) => {
    const touched = await touch(browser, page, passkey)
    const answer = await browser.open(pathOf(site, touched.body.location))
    return new URL(pathOf(site, answer.headers.location), site.url)
  }
  const first = await back(one, pageOne.path)
  const second = await back(two, pageTwo.path)
  const isIn = (answer: Answer) =>
    (answer.headers['set-cookie'] ?? []).some((line) => line.startsWith('__Host-writ='))
  const refused = async (browser: Browser, url: URL, what: string) => {
    const answer = await browser.open(url.pathname + url.search)
    assert.deepEqual([answer.status, isIn(answer)], [401, false], what)
  }

  const mixed = new URL(second)
  mixed.searchParams.set('code', first.searchParams.get('code')!)
  await refused(two, mixed, 'a code of another sign-in, whose verifier is another')
  // What was tried is over, so the rest begins anew.
  const third = await back(one, (await reachPasskeyPage(one, site)).path)
  await refused(new Browser(site), third, 'another browser')
  const elsewhere = new Browser(site)
  await reachPasskeyPage(elsewhere, site)
  const led = await back(one, (await reachPasskeyPage(one, site)).path)
  await refused(elsewhere, led, 'another browser that signs in as well')

  const fourth = await back(one, (await reachPasskeyPage(one, site)).path)
  const foreign = new URL(fourth)
  foreign.searchParams.set('iss', 'https://other.example')
  await refused(one, foreign, 'another issuer')

  const last = await back(one, (await reachPasskeyPage(one, site)).path)
  assert.ok(isIn(await one.open(last.pathname + last.search)))
  await refused(one, last, 'used before')
  const reused = new URL(await back(one, (await reachPasskeyPage(one, site)).path))
  reused.searchParams.set('code', last.searchParams.get('code')!)
  await refused(one, reused, 'a used code with a fresh state')
})

test('where it goes on after the sign-in is a path here, whatever the link says', async () => {
  const cases: [string, string][] = [
    ['/sessions?state=live', '/sessions?state=live'],
    ['//evil.example', '/'],
    ['/\\evil.example', '/'],
    ['https://evil.example/', '/'],
    ['/a\r\nSet-Cookie: x=y', '/'],
    ['javascript:alert(1)', '/'],
  ]
  for (const [to, expected] of cases) {
    const browser = new Browser(site)
    const path = `/sign-in?${new URLSearchParams({ to })}`
    const page = await reachPasskeyPage(browser, site, path)
    const touched = await touch(browser, page.path, passkey)
    const back = await browser.open(pathOf(site, touched.body.location))
    const done = await browser.open(pathOf(site, back.headers.location))
    assert.equal(done.headers.location, expected, to)
  }
})

test('somebody who was removed is out at once, everywhere', async () => {
  const { passkey: theirs, person: who } = await newPerson(site, 'viewer')
  const [one, two] = [await signInBrowser(site, theirs), await signInBrowser(site, theirs)]
  // Even a sign-in that the clean-up did not find is over: each request looks who it is.
  const kept = await site.documents.list('sign_in', { group: who, limit: 10 })
  assert.equal(kept.length, 2)
  await site.signIn.people.remove(who, LOCAL)
  assert.equal((await site.documents.list('sign_in', { group: who, limit: 10 })).length, 0)
  await site.documents.put('sign_in', kept[0]!.id, kept[0]!.value)
  const answers = [await me(one.browser), await me(two.browser)].map(whyOf)
  assert.deepEqual(answers.sort(), ['signin_required ended', 'signin_required unknown'])
  const page = await reachPasskeyPage(new Browser(site), site)
  assert.equal(page.answer.status, 200)
  const again = new Browser(site)
  const { path } = await reachPasskeyPage(again, site)
  assert.equal((await touch(again, path, theirs)).status, 403)
})

test('a role changes with the next request', async () => {
  const { passkey: theirs, person: who } = await newPerson(site, 'viewer')
  const { browser } = await signInBrowser(site, theirs)
  await site.signIn.people.setRole(who, 'approver', LOCAL)
  assert.equal((await me(browser)).body.role, 'approver')
})

test('a page under another name of this machine leads to the one that passkeys are for', async () => {
  const port = new URL(site.url).port
  const answer = await send(`http://127.0.0.1:${port}/sign-in`)
  assert.deepEqual([answer.status, answer.headers.location], [302, `${site.url}/sign-in`])
})

test('a link that was never made enrols nobody', async () => {
  const { answer } = await enrol(site, `${site.url}/sign-in/enrol#${'A'.repeat(43)}`)
  assert.deepEqual([answer.status, answer.body.title], [403, 'link_refused'])
})

test('who cancels is signed in nowhere', async () => {
  const browser = new Browser(site)
  const { path } = await reachPasskeyPage(browser, site)
  const { body } = await browser.post(`${path}/cancel`, {})
  const back = await browser.open(pathOf(site, body.location))
  const done = await browser.open(pathOf(site, back.headers.location))
  assert.equal(done.status, 200)
  assert.match(done.text, /Nobody was signed in/)
  assert.equal((await me(browser)).status, 401)
})

test('a sign-in that began in another browser is not ended here, whatever cookie was set', async () => {
  const thief = new Browser(site)
  const { path } = await reachPasskeyPage(thief, site)
  // A host beside this one may set what is no __Host- cookie.
  const uid = path.split('/').at(-1)!
  const { browser } = await signInBrowser(site, passkey)
  browser.cookies.set('__Secure-writ_interaction', { value: uid, path })
  assert.equal((await browser.open(path)).status, 401)
  for (const step of ['options', 'finish', 'cancel']) {
    assert.equal((await browser.post(`${path}/${step}`, { credential: {} })).status, 401, step)
  }
  assert.equal((await thief.open(path)).status, 200)
})
