import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { openTab } from './chromium.ts'
import { browser, openConsole, site, skip, tab } from './console.ts'
import { until } from './until.ts'

openConsole()

test('a foreign Host gets no page and no answer, a foreign Origin no change', {
  skip,
}, async () => {
  const own = new URL(site.url).host
  const ask = (path: string, headers: Record<string, string>, method = 'GET') =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const options = { host: '127.0.0.1', port: site.adminPort, path, method, headers }
      request(options, (response) => {
        let text = ''
        response.on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
        .on('error', reject)
        .end()
    })
  for (const path of ['/', '/sessions', '/sessions/x', '/people', '/mark.svg']) {
    assert.equal((await ask(path, { host: own })).status, 200, path)
    const rebound = await ask(path, { host: 'evil.example' })
    assert.ok(rebound.status >= 400, `${path}: ${rebound.status}`)
    assert.ok(!rebound.text.includes('<script'), path)
  }
  const cookies = await tab.context.cookies()
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const ours = { cookie, 'sec-fetch-site': 'same-origin' }
  assert.equal((await ask('/v1/me', { ...ours, host: own })).status, 200)
  for (const headers of [
    { ...ours, host: own, origin: 'https://evil.example' },
    { cookie, host: own, 'sec-fetch-site': 'cross-site' },
    { ...ours, host: 'evil.example' },
  ]) {
    const { status, text } = await ask('/v1/me', headers)
    assert.ok(status === 403 || status === 401 || status === 421, `${status} ${text}`)
  }
})

test('the policy of the page lets no script, style or frame in, and markup is text', {
  skip,
}, async () => {
  const other = await openTab(browser)
  await other.page.goto(site.url)
  await other.page.getByRole('link', { name: 'Sign in with a passkey' }).waitFor()
  const headers = (await other.page.evaluate(
    `fetch('/').then((r) => Object.fromEntries(r.headers))`,
  )) as Record<string, string>
  const policy = headers['content-security-policy'] ?? ''
  for (const part of [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ]) {
    assert.ok(policy.split('; ').includes(part), part)
  }
  assert.deepEqual(
    [headers['cross-origin-opener-policy'], headers['cross-origin-resource-policy']],
    ['same-origin', 'same-origin'],
  )
  assert.deepEqual(
    [headers['referrer-policy'], headers['x-content-type-options']],
    ['no-referrer', 'nosniff'],
  )
  await other.page
    .evaluate(`(() => {
    try { document.body.innerHTML = '<b>markup</b>' } catch {}
    const script = document.createElement('script')
    script.textContent = 'window.ran_ = true'
    document.body.append(script)
  })()`)
    .catch(() => {})
  assert.equal(await other.page.evaluate('window.ran_'), undefined)
  assert.equal(await other.page.locator('b').count(), 0)
  await until('the page tells what its policy stopped', () =>
    other.complaints.some((text) => text.startsWith('csp: require-trusted-types-for')),
  )
  await other.context.close()
})
