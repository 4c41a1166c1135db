import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { AdminRefusal } from '../../src/sign-in/admin-refusal.ts'
import { html } from '../../src/sign-in/html.ts'
import { createLimits } from '../../src/sign-in/limits.ts'
import { createSignIn } from '../../src/sign-in/sign-in.ts'
import { CommandLine, confirmPage } from './command-line.ts'
import { Browser, newPerson, reachPasskeyPage, type Site, send, startSite } from './site.ts'

let site: Site
before(async () => {
  site = await startSite()
  await newPerson(site, 'admin')
})
after(() => site.close())

test('every page is for nobody else to frame, read, script or keep', async () => {
  const browser = new Browser(site)
  const cli = new CommandLine(site)
  const { body } = await cli.ask()
  const device = await confirmPage(site, String(body.user_code))
  const pages = {
    passkey: (await reachPasskeyPage(browser, site)).answer,
    enrol: await browser.open('/sign-in/enrol'),
    signedOut: await browser.open('/sign-in/signed-out'),
    nothing: await browser.open('/sign-in/other'),
    input: device.input,
    confirm: device.confirm,
    error: await browser.open('/oauth/authorize?client_id=other'),
    callback: await browser.open('/sign-in/callback'),
  }
  for (const [name, { headers, text }] of Object.entries(pages)) {
    const policy = String(headers['content-security-policy'])
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'self'",
      "require-trusted-types-for 'script'",
    ]) {
      assert.ok(policy.split('; ').includes(part), `${name}: ${part}`)
    }
    assert.equal(headers['cache-control'], 'no-store', name)
    assert.equal(headers['x-frame-options'], 'DENY', name)
    assert.equal(headers['cross-origin-opener-policy'], 'same-origin', name)
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin', name)
    const form = name === 'input' || name === 'confirm'
    assert.equal(headers['referrer-policy'], form ? 'same-origin' : 'no-referrer', name)
    assert.match(text, /^<!doctype html>\n<html lang="en">/, name)
    assert.match(text, /<h1 /, name)
    assert.ok(
      !/<script(?! src="\/sign-in\/page\.js" defer)/.test(text),
      `${name} has another script`,
    )
    assert.ok(!/ style=| on[a-z]+=/.test(text), `${name} has something inline`)
  }
})

test('the script and the style sheet are files, and the script stands alone', async () => {
  const script = await send(`${site.url}/sign-in/page.js`)
  assert.match(String(script.headers['content-type']), /^text\/javascript/)
  // It parses, and does nothing on a page without work.
  const body = { dataset: {} }
  const document = { body, getElementById: () => null }
  new Function('globalThis', script.text)({ document, location: {}, history: {}, navigator: {} })
  const style = await send(`${site.url}/sign-in/page.css`)
  assert.match(String(style.headers['content-type']), /^text\/css/)
  for (const forbidden of ['innerHTML', 'eval(', 'import('])
    assert.ok(!script.text.includes(forbidden))
})

test('what a stranger sends is shown as text', async () => {
  const cli = new CommandLine(site)
  const answer = await send(`${site.url}/oauth/device_authorization`, {
    form: { client_id: 'writ-cli', scope: 'writ:viewer' },
    headers: {
      dpop: cli.proof('/oauth/device_authorization'),
      'user-agent': '<script>alert(1)</script>"\'&',
    },
  })
  const { confirm } = await confirmPage(site, String(answer.body.user_code))
  assert.ok(confirm.text.includes('&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;'))
  const browser = new Browser(site)
  const input = await browser.open(`/sign-in/device?user_code=${encodeURIComponent('"><b>')}`)
  assert.ok(input.text.includes('value="&quot;&gt;&lt;b&gt;"'))
  const turned = await browser.open(`/sign-in/device?user_code=${encodeURIComponent('\u202eB\n')}`)
  assert.ok(turned.text.includes('value="B"'))
  assert.equal(html`<p>${'<i>'}</p>`.text, '<p>&lt;i&gt;</p>')
  assert.equal(html`<p>${html`<i>`}</p>`.text, '<p><i></p>')
})

test('everything else beneath the two paths is nothing, and what is not theirs goes on', async () => {
  const cases: [string, string, number][] = [
    ['GET', '/sign-in/', 404],
    ['POST', '/sign-in', 404],
    ['GET', '/oauth/jwks', 404],
    ['GET', '/oauth/token', 404],
    ['GET', '/oauth', 404],
    ['POST', '/oauth/authorize', 404],
    ['DELETE', '/oauth/token', 404],
    ['GET', '/sign-in/with-passkey/abc', 401],
    ['GET', '/sign-in/device/abc', 401],
    ['GET', '/oauth/authorize/abc', 401],
    ['GET', '/signing', 401],
    ['GET', '/.well-known/openid-configuration', 401],
  ]
  for (const [method, path, status] of cases) {
    const answer = await send(`${site.url}${path}`, { method, headers: { origin: site.url } })
    assert.equal(answer.status, status, `${method} ${path}`)
  }
})

test('the metadata names what works, and every endpoint of it answers', async () => {
  const { body } = await send(`${site.url}/.well-known/oauth-authorization-server`)
  assert.equal(body.issuer, site.url)
  assert.deepEqual(body.code_challenge_methods_supported, ['S256'])
  for (const [name, url] of Object.entries(body)) {
    if (!name.endsWith('_endpoint')) continue
    const method = name === 'authorization_endpoint' ? 'GET' : 'POST'
    assert.notEqual((await send(String(url), { method })).status, 404, name)
  }
})

test('an authorization request without PKCE, or for another address, gets no code', async () => {
  const good = {
    client_id: 'writ-console',
    response_type: 'code',
    redirect_uri: `${site.url}/sign-in/callback`,
    scope: 'writ:admin',
    state: 'x',
    code_challenge: 'A'.repeat(43),
    code_challenge_method: 'S256',
  }
  const cases: [string, Record<string, string>][] = [
    ['no challenge', { code_challenge: '', code_challenge_method: '' }],
    ['plain', { code_challenge_method: 'plain' }],
    ['another address', { redirect_uri: 'https://evil.example/' }],
    ['a path beneath', { redirect_uri: `${site.url}/sign-in/callback/x` }],
    ['another client', { client_id: 'writ-cli' }],
    ['a token', { response_type: 'token' }],
    ['another audience', { resource: 'https://mcp.example' }],
  ]
  const ask = async (change: Record<string, string>) => {
    const query = new URLSearchParams({ ...good, ...change })
    for (const [name, value] of Object.entries(change)) if (value === '') query.delete(name)
    return await new Browser(site).open(`/oauth/authorize?${query}`)
  }
  const fine = await ask({})
  assert.match(String(fine.headers.location), /\/sign-in\/with-passkey\//)
  for (const [what, change] of cases) {
    const { headers } = await ask(change)
    const to = String(headers.location ?? '')
    assert.ok(!to.includes('/with-passkey/') && !to.includes('evil') && !to.includes('code='), what)
  }
})

test('nothing it says of itself comes from the request', async () => {
  const cli = new CommandLine(site)
  const port = new URL(site.url).port
  const answer = await send(`http://127.0.0.1:${port}/oauth/device_authorization`, {
    form: { client_id: 'writ-cli', scope: 'writ:viewer' },
    headers: {
      dpop: cli.proof('/oauth/device_authorization'),
      host: 'evil.example',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
    },
  })
  assert.equal(answer.body.verification_uri, `${site.url}/sign-in/device`)
})

test('a place where passkeys or cookies could not work is refused at the start', async () => {
  for (const url of [
    'http://127.0.0.1:4472',
    'http://writ.example',
    'https://[::1]:4472',
    'https://writ.example/admin',
    'https://writ.example/?admin',
    'https://writ.example/#admin',
    'https://user@writ.example',
    'writ.example',
  ]) {
    const options = { ...site, url, rpName: 'x', issuer: 'x', clients: [] } as never
    await assert.rejects(createSignIn(options), TypeError, url)
  }
})

test('somebody who begins again and again is asked to wait', async () => {
  const browser = new Browser(site)
  const answers: number[] = []
  for (let n = 0; n < 62; n++) answers.push((await browser.open('/sign-in')).status)
  assert.deepEqual([answers.at(0), answers.at(-1)], [303, 429])
  assert.equal((await new Browser(site).open('/sign-in')).status, 303, 'others are not')
})

test('whoever has one IPv6 network is one, however many addresses it has', () => {
  const limits = createLimits(() => 0)
  const tries = (of: (n: number) => string) => {
    let counted = 0
    try {
      for (; counted < 100; counted++) limits.count('device', of(counted))
    } catch (error) {
      assert.ok(error instanceof AdminRefusal && error.reason.code === 'too_many_requests')
    }
    return counted
  }
  assert.equal(
    tries((n) => `2001:db8::${n.toString(16)}`),
    30,
  )
  assert.equal(
    tries((n) => `2001:db8:0:0:${n.toString(16)}::1`),
    0,
    'written otherwise',
  )
  assert.equal(
    tries((n) => `2001:db8:0:1:${n.toString(16)}::1`),
    30,
  )
  assert.equal(
    tries((n) => `2001:db8:1:${n.toString(16)}::1`),
    100,
  )
  assert.equal(
    tries((n) => `::ffff:192.0.2.${n}`),
    100,
  )
})

test('a body that is too large, or of another type, is not read', async () => {
  const browser = new Browser(site)
  const large = await browser.post('/sign-in/enrol/options', { link: 'A'.repeat(40_000) })
  assert.equal(large.status, 413)
  const chunked = await browser.send('/sign-in/enrol/options', {
    json: { link: 'A'.repeat(40_000) },
    headers: { ...browser.ours(), 'transfer-encoding': 'chunked' },
  })
  assert.equal(chunked.status, 413)
  const compressed = await browser.post(
    '/sign-in/enrol/options',
    {},
    { 'content-encoding': 'gzip' },
  )
  assert.equal(compressed.status, 400)
  for (const json of [[], 'x', null]) {
    assert.equal((await browser.post('/sign-in/enrol/options', json)).status, 400)
  }
})

test('a body that is cut short is refused, and no failure of ours', async () => {
  const { port } = new URL(site.url)
  const from = site.records.length
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const type = 'application/json'
  const headers = { ...new Browser(site).ours(), 'content-type': type, 'content-length': 100 }
  const path = '/sign-in/enrol/options'
  const sent = request({ port, family: 4, path, method: 'POST', headers }, reject)
  sent.on('error', () => resolve()).write('{', () => sent.destroy())
  await promise
  while (site.records.length === from) await sleep(10)
  const { reason, evidence } = site.records[from]!
  assert.deepEqual([reason, evidence?.detail], ['request_invalid', 'the body was cut short'])
})

test('who asks for pages that keep something, again and again, is asked to wait', async () => {
  const busy = await startSite()
  try {
    const browser = new Browser(busy)
    const seen = new Set<number>()
    for (let n = 0; n < 241; n++) seen.add((await browser.open('/sign-in/device')).status)
    assert.deepEqual([...seen], [200, 429])
    const { status, headers } = await browser.open('/oauth/authorize?client_id=writ-console')
    assert.equal(status, 429)
    assert.ok(Number(headers['retry-after']) > 0)
    assert.equal((await browser.submit('/sign-in/device', { user_code: 'BBBB-BBBB' })).status, 429)
    const link = { link: 'A'.repeat(43) }
    const steps = new Set<number>()
    for (let n = 0; n < 121; n++)
      steps.add((await browser.post('/sign-in/enrol/options', link)).status)
    assert.deepEqual([...steps], [403, 429])
    const cli = new CommandLine(busy)
    for (let n = 0; n < 30; n++) assert.equal((await cli.ask()).status, 200)
    const { status: late, body } = await cli.ask()
    assert.deepEqual([late, body.error], [429, 'slow_down'])
  } finally {
    await busy.close()
  }
})
