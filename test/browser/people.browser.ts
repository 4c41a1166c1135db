import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { openTab, type Tab } from './chromium.ts'
import { browser, openConsole, page, site, skip, tab } from './console.ts'
import { enrol, nothingWrong, signIn } from './people.ts'
import { untilFocused, untilSaid } from './until.ts'

/** What was sent to change something since it was last asked. */
const asked: string[] = []

openConsole({
  at: '/people',
  async prepare() {
    page.on('request', (request) => {
      const { pathname } = new URL(request.url())
      if (request.method() !== 'GET') asked.push(`${request.method()} ${pathname}`)
    })
  },
})
beforeEach(async () => {
  // Nothing is open of the test before, whatever became of it.
  await page?.goto(`${site.url}/people`)
  asked.length = 0
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

/** Somebody who has been invited, and came in with a passkey of that name. */
async function newcomer(name: string, passkey: string): Promise<Tab> {
  await page.getByRole('button', { name: 'Invite …' }).click()
  await page.getByLabel('Name').fill(name)
  await page.getByRole('button', { name: 'Make a link' }).click()
  const link = await linkShown()
  const theirs = await openTab(browser)
  await enrol(theirs.page, link, passkey)
  await page.reload()
  await region(name).getByText(passkey).waitFor()
  asked.length = 0
  return theirs
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
  await (await newcomer('Olga', 'Phone')).context.close()
  const path = `/v1/people/${await idOf('Olga')}`
  await region('Olga').getByRole('button', { name: 'Link for another passkey' }).click()
  assert.match(await linkShown(), /\/sign-in\/enrol#/)
  await changeRole('Olga', 'approver')
  await untilSaid(page, 'Olga is approver now')
  await region('Olga').getByText('Approver').waitFor()
  const touched = ['POST /v1/touch', `POST ${path}/invitations`, 'POST /v1/touch', `PATCH ${path}`]
  assert.deepEqual(asked.splice(0), touched)
})

test('whoever has the cookie and the value of the page, and no passkey, lets nobody in and shuts nobody out', {
  skip,
}, async () => {
  await (await newcomer('Mina', 'Phone')).context.close()
  const path = `/v1/people/${await idOf('Mina')}`
  const { items } = (await page.evaluate(`fetch('/v1/people').then((r) => r.json())`)) as {
    items: { name: string; passkeys: { id: string }[] }[]
  }
  const [passkey] = items.find(({ name }) => name === 'Mina')!.passkeys
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
})

test('a touch that is cancelled changes nothing, the dialog says so, and Enter tries again', {
  skip,
}, async () => {
  await (await newcomer('Tomas', 'Phone')).context.close()
  // As a browser answers for somebody who cancels it, once.
  await page.evaluate(`(() => {
    const { credentials } = navigator
    const get = credentials.get.bind(credentials)
    credentials.get = async () => {
      credentials.get = get
      throw new DOMException('no', 'NotAllowedError')
    }
  })()`)
  await changeRole('Tomas', 'admin')
  const dialog = page.getByRole('dialog')
  await dialog.getByText('The passkey was not touched; nothing was done').waitFor()
  assert.deepEqual(asked.splice(0), ['POST /v1/touch'])
  await untilFocused(page, /Change role/)
  await page.keyboard.press('Enter')
  await untilSaid(page, 'Tomas is admin now')
  await dialog.waitFor({ state: 'detached' })
  assert.equal(asked.splice(0).at(-1), `PATCH /v1/people/${await idOf('Tomas')}`)
  await changeRole('Tomas', 'viewer')
  await untilSaid(page, 'Tomas is viewer now')
})

test('a passkey, and somebody, are removed with a touch each; the sign-in with it ends at once', {
  skip,
}, async () => {
  const vera = await newcomer('Nadia', 'Tablet')
  await signIn(vera.page, site.url)
  const path = `/v1/people/${await idOf('Nadia')}`
  asked.length = 0
  const dialog = page.getByRole('dialog')
  const remove = async (button: string) => {
    await page.getByRole('button', { name: button }).click()
    await dialog.getByText('You touch your passkey for it').waitFor()
    await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
  }
  await remove('Remove the passkey Tablet of Nadia')
  await untilSaid(page, 'The passkey was removed')
  const [touch, removed] = asked.splice(0)
  assert.equal(touch, 'POST /v1/touch')
  assert.ok(removed?.startsWith(`DELETE ${path}/passkeys/`), removed)
  const status = `fetch('/v1/sessions').then((r) => r.status)`
  assert.equal(await vera.page.evaluate(status), 401)
  await vera.context.close()

  await region('Nadia').getByText('Tablet').waitFor({ state: 'detached' })
  await region('Nadia').getByRole('button', { name: 'Remove …', exact: true }).first().click()
  await dialog.getByRole('heading', { name: 'Remove Nadia' }).waitFor()
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  assert.deepEqual(asked.splice(0), [])
  await region('Nadia').getByRole('button', { name: 'Remove …', exact: true }).first().click()
  await dialog.getByRole('button', { name: 'Remove', exact: true }).click()
  await untilSaid(page, 'Nadia was removed')
  assert.deepEqual(asked.splice(0), ['POST /v1/touch', `DELETE ${path}`])
  await region('Nadia').waitFor({ state: 'detached' })
  nothingWrong(tab.complaints)
})
