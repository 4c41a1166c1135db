import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { openTab, skipWithoutChromium, startChromium, type Tab } from './chromium.ts'
import { enrol, nothingWrong, signIn } from './people.ts'
import { type ConsoleSite, startSite } from './site.ts'

const skip = skipWithoutChromium
let site: ConsoleSite
let browser: Browser
let tab: Tab
let page: Page
const asked: string[] = []

before(async () => {
  if (skip !== false) return
  ;[site, browser] = await Promise.all([startSite(), startChromium()])
  tab = await openTab(browser)
  page = tab.page
  await enrol(page, (await site.broker.firstLink())!, 'Laptop')
  await signIn(page, site.url, '/people')
  page.on('request', (request) => {
    const { pathname } = new URL(request.url())
    if (request.method() !== 'GET') asked.push(`${request.method()} ${pathname}`)
  })
})
after(async () => {
  await browser?.close()
  await site?.close()
})

const region = (name: string) => page.getByRole('region', { name })
const idOf = async (name: string) =>
  (await region(name).locator('li code').first().textContent())!.trim()
async function linkShown(): Promise<string> {
  const link = (await page.locator('dialog .command code').textContent())!
  await page.getByRole('button', { name: 'Done', exact: true }).click()
  return link
}

test('somebody is invited with a touch for exactly that, and comes in', { skip }, async () => {
  await page.getByText('a copied sign-in lets nobody in').waitFor()
  await page.getByRole('button', { name: 'Invite …' }).click()
  await page.getByText('You touch your passkey for it').waitFor()
  await page.getByLabel('Name').fill('Vera')
  await page.getByRole('button', { name: 'Make a link' }).click()
  const link = await linkShown()
  assert.deepEqual(asked.splice(0), ['POST /v1/touch', 'POST /v1/people'])
  const vera = await openTab(browser)
  await enrol(vera.page, link, 'Phone')
  await signIn(vera.page, site.url)
  await vera.context.close()
  await page.reload()
  await region('Vera').getByText('Phone').waitFor()
})

test('another link and another role take a touch each', { skip }, async () => {
  const path = `/v1/people/${await idOf('Vera')}`
  await region('Vera').getByRole('button', { name: 'Link for another passkey' }).click()
  assert.match(await linkShown(), /\/sign-in\/enrol#/)
  await page.getByLabel('Role of Vera').selectOption('approver')
  await page.getByText('Vera is approver now').waitFor()
  const touched = ['POST /v1/touch', `POST ${path}/invitations`, 'POST /v1/touch', `PATCH ${path}`]
  assert.deepEqual(asked.splice(0), touched)
})

test('whoever has the cookie and the value of the page, and no passkey, lets nobody in', {
  skip,
}, async () => {
  const path = `/v1/people/${await idOf('Vera')}`
  // All that a copied cookie gives: what the page may ask, and the value that `/v1/me` tells.
  const send = (method: string, to: string, body: object) =>
    page.evaluate(`fetch('/v1/me').then((r) => r.json()).then(({ csrf }) => fetch('${to}', {
      method: '${method}',
      headers: { 'x-writ-csrf': csrf, 'content-type': 'application/json' },
      body: ${JSON.stringify(JSON.stringify(body))},
    })).then(async (r) => [r.status, (await r.json()).code])`)
  for (const [method, to, body] of [
    ['POST', '/v1/people', { name: 'Mallory', role: 'admin' }],
    ['POST', `${path}/invitations`, {}],
    ['PATCH', path, { role: 'admin' }],
  ] as const) {
    assert.deepEqual(await send(method, to, body), [403, 'touch_required'], `${method} ${to}`)
  }
  asked.length = 0
})

test('a passkey that is not touched changes nothing, and the page says so', { skip }, async () => {
  // As a browser answers for somebody who cancels it.
  await page.evaluate(
    `navigator.credentials.get = async () => { throw new DOMException('no', 'NotAllowedError') }`,
  )
  await page.getByLabel('Role of Vera').selectOption('admin')
  await page.getByText('The passkey was not touched; nothing was done').waitFor()
  assert.deepEqual(asked.splice(0), ['POST /v1/touch'])
  await page.reload()
  await region('Vera').getByText('Phone').waitFor()
  assert.equal(await page.getByLabel('Role of Vera').inputValue(), 'approver')
  nothingWrong(tab.complaints)
})
