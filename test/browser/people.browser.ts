import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { openTab, skipWithoutChromium, startChromium, type Tab } from './chromium.ts'
import { enrol, nothingWrong, signIn, untilTrue } from './people.ts'
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
async function changeRole(name: string, to: string): Promise<void> {
  await page.getByRole('button', { name: `Role of ${name} …` }).click()
  await page.getByLabel('Role', { exact: true }).selectOption(to)
  await page.getByRole('button', { name: 'Change role' }).click()
}
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
  await changeRole('Vera', 'approver')
  await page.getByText('Vera is approver now').waitFor()
  await region('Vera').getByText('Approver').waitFor()
  const touched = ['POST /v1/touch', `POST ${path}/invitations`, 'POST /v1/touch', `PATCH ${path}`]
  assert.deepEqual(asked.splice(0), touched)
})

test('whoever has the cookie and the value of the page, and no passkey, lets nobody in and shuts nobody out', {
  skip,
}, async () => {
  const path = `/v1/people/${await idOf('Vera')}`
  const { items } = (await page.evaluate(`fetch('/v1/people').then((r) => r.json())`)) as {
    items: { name: string; passkeys: { id: string }[] }[]
  }
  const [passkey] = items.find(({ name }) => name === 'Vera')!.passkeys
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
    ['DELETE', `${path}/passkeys/${passkey!.id}`, {}],
    ['DELETE', path, {}],
  ] as const) {
    assert.deepEqual(await send(method, to, body), [403, 'touch_required'], `${method} ${to}`)
  }
  asked.length = 0
})

test('a touch that is cancelled changes nothing, the dialog says so, and Enter tries again', {
  skip,
}, async () => {
  // As a browser answers for somebody who cancels it, once.
  await page.evaluate(`(() => {
    const { credentials } = navigator
    const get = credentials.get.bind(credentials)
    credentials.get = async () => {
      credentials.get = get
      throw new DOMException('no', 'NotAllowedError')
    }
  })()`)
  await changeRole('Vera', 'admin')
  const dialog = page.getByRole('dialog')
  await dialog.getByText('The passkey was not touched; nothing was done').waitFor()
  assert.deepEqual(asked.splice(0), ['POST /v1/touch'])
  await untilTrue(page, `document.activeElement.textContent === 'Change role'`)
  await page.keyboard.press('Enter')
  await page.getByText('Vera is admin now').waitFor()
  await dialog.waitFor({ state: 'detached' })
  assert.equal(asked.splice(0).at(-1), `PATCH /v1/people/${await idOf('Vera')}`)
  await changeRole('Vera', 'viewer')
  await page.getByText('Vera is viewer now').waitFor()
  asked.length = 0
})

test('a passkey, and somebody, are removed with a touch each; the sign-in with it ends at once', {
  skip,
}, async () => {
  const vera = await openTab(browser)
  await region('Vera').getByRole('button', { name: 'Link for another passkey' }).click()
  await enrol(vera.page, await linkShown(), 'Tablet')
  await signIn(vera.page, site.url)
  await page.reload()
  const path = `/v1/people/${await idOf('Vera')}`
  asked.length = 0
  const dialog = page.getByRole('dialog')
  const remove = async (button: string) => {
    await page.getByRole('button', { name: button }).click()
    await dialog.getByText('You touch your passkey for it').waitFor()
    await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
  }
  await remove('Remove the passkey Tablet of Vera')
  await page.getByText('The passkey was removed').waitFor()
  const [touch, removed] = asked.splice(0)
  assert.equal(touch, 'POST /v1/touch')
  assert.ok(removed?.startsWith(`DELETE ${path}/passkeys/`), removed)
  const status = `fetch('/v1/sessions').then((r) => r.status)`
  assert.equal(await vera.page.evaluate(status), 401)
  await vera.context.close()

  await region('Vera').getByText('Tablet').waitFor({ state: 'detached' })
  await region('Vera').getByRole('button', { name: 'Remove …', exact: true }).first().click()
  await dialog.getByRole('heading', { name: 'Remove Vera' }).waitFor()
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  assert.deepEqual(asked, [])
  await region('Vera').getByRole('button', { name: 'Remove …', exact: true }).first().click()
  await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
  await page.getByText('Vera was removed').waitFor()
  assert.deepEqual(asked.splice(0), ['POST /v1/touch', `DELETE ${path}`])
  await region('Vera').waitFor({ state: 'detached' })
  nothingWrong(tab.complaints)
})
