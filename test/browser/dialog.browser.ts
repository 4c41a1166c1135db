// What the dialog that stops things does when something is wrong, late, done twice or gone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Request } from 'playwright-core'
import { openConsole, page, rowOf, site, skip, tab } from './console.ts'
import { nothingWrong, signIn } from './people.ts'
import { until, untilCount, untilFocused, untilTrue } from './until.ts'

openConsole({ at: '/revocations' })

const dialog = () => page.getByRole('dialog')
const stopButton = () => dialog().getByRole('button', { name: /^Stop/ })

async function open(kind: string, text: string): Promise<void> {
  await page.goto(`${site.url}/revocations`)
  await page.getByRole('button', { name: 'Stop something …' }).click()
  await dialog().getByLabel('What').selectOption(kind)
  await dialog().locator('textarea').first().fill(text)
}

/** What is sent to stop something until it ends. */
function listenForStops(): { readonly sent: Request[]; end(): void } {
  const sent: Request[] = []
  const told = (request: Request) => {
    if (request.method() === 'POST' && request.url().endsWith('/v1/revocations')) sent.push(request)
  }
  page.on('request', told)
  return { sent, end: () => page.off('request', told) }
}

const faults = [
  ['key', `${'k'.repeat(43)}\n\nshort`, 'Line 3: A key is named by its thumbprint'],
  ['server', 'https://mcp.example/mcp\nmcp.example', 'Line 2: A server is named by its resource'],
  ['issuer', 'corp.example', 'An issuer is spiffe://<trust domain>'],
  [
    'agent',
    'spiffe://demo.test/a\nspiffe://demo.test',
    'Line 2: An agent is named by its workload',
  ],
  ['agent', 'bot', 'An agent is named by its workload id'],
  ['agent', 'spiffe://demo.test/a//*', 'A path must not end in a slash'],
  ['task', ' \n ', 'This is needed'],
] as const

test('a fault in what is typed is named with its line, takes the focus, and nothing is sent', {
  skip,
}, async () => {
  const stops = listenForStops()
  for (const [kind, text, says] of faults) {
    await open(kind, text)
    await dialog().getByLabel('Reason').fill('tried')
    await stopButton().click()
    await dialog().getByText(says).waitFor()
    await untilFocused(page, /^<textarea(?=[^>]*lines)[^>]*aria-invalid="true"/)
  }
  stops.end()
  assert.equal(stops.sent.length, 0)
  nothingWrong(tab.complaints)
})

test('what the broker alone can know to be wrong is said of the target it is about', {
  skip,
}, async () => {
  await open('server', `https://mcp.example/mcp\n${site.resource}/`)
  const wrong = dialog().getByText(`${site.resource}/: is no server's resource`)
  await wrong.waitFor()
  const stops = listenForStops()
  await dialog().getByLabel('Reason').fill('tried')
  await stopButton().click()
  await until('the broker refused it', async () => {
    const answer = await stops.sent[0]?.response()
    return answer?.status() === 400 && (await dialog().getByText('Stopping …').count()) === 0
  })
  assert.equal(await wrong.count(), 1, 'said once')
  stops.end()
})

test('a stop ends at a date and a time of this browser, to come, and the command says the same', {
  skip,
}, async () => {
  await open('task', 'until-then')
  await dialog().getByLabel('Reason').fill('tried the end')
  await dialog().getByLabel('Ends').selectOption('at')
  const at = dialog().getByLabel('Date and time')
  const stops = listenForStops()
  await stopButton().click()
  await dialog().getByText('Choose a date and a time').waitFor()
  await at.fill('2020-01-31T08:00')
  await dialog().getByText('This is in the past').waitFor()
  await stopButton().click()
  await untilTrue(page, `document.activeElement.type === 'datetime-local'`)
  assert.equal(stops.sent.length, 0)
  await at.fill('2199-01-31T08:00')
  const zone = (await page.evaluate('Intl.DateTimeFormat().resolvedOptions().timeZone')) as string
  await dialog().getByText(`Your time, ${zone}`).waitFor()
  const ms = (await page.evaluate(`Date.parse('2199-01-31T08:00')`)) as number
  const command = dialog().locator('.command code')
  const told = new Date(ms).toISOString().replace('.000', '')
  await command.filter({ hasText: new RegExp(` --until ${told}$`) }).waitFor()
  await stopButton().click()
  await page.getByText('Held by 2 of 2').waitFor()
  stops.end()
  assert.equal(stops.sent[0]?.postDataJSON().until, ms / 1000)
})

test('a double click stops once, and what came of it stays on the screen', { skip }, async () => {
  await open('task', 'twice')
  await dialog().getByLabel('Reason').fill('tried a double click')
  await dialog().getByText('No session is live').waitFor()
  const stops = listenForStops()
  await stopButton().dblclick({ delay: 30 })
  await page.getByRole('heading', { name: 'Stopped' }).waitFor()
  const done = page.getByRole('button', { name: 'Done', exact: true })
  await done.dispatchEvent('click', { detail: 2 })
  await page.getByText('Held by 2 of 2').waitFor()
  assert.equal(stops.sent.length, 1)
  await done.click()
  await dialog().waitFor({ state: 'detached' })
  stops.end()
})

test('who begins to work while the dialog is open is in what it will hit', { skip }, async () => {
  await open('task', 'newcomers')
  await dialog().getByText('No session is live').waitFor()
  const first = await site.agent('/agents/newcomer-1', 'newcomers')
  await first.call('list_notes')
  await dialog().getByText('Stops 1 live session now').waitFor()
  const second = await site.agent('/agents/newcomer-2', 'newcomers')
  await second.call('list_notes')
  await dialog().getByText('Stops 2 live sessions now').waitFor()
  nothingWrong(tab.complaints)
})

test('a stop that is refused without more words says so', { skip }, async () => {
  await open('task', 'full disk')
  await dialog().getByText('No session is live').waitFor()
  await dialog().getByLabel('Reason').fill('tried a full disk')
  const refusal = { code: 'audit_unavailable', title: 'The audit cannot record', status: 503 }
  const refused = { status: 503, json: refusal }
  await page.route(/\/v1\/revocations$/, (route) => route.fulfill(refused), { times: 1 })
  await stopButton().click()
  await dialog().getByText('The audit cannot record').waitFor()
  assert.equal(await page.getByRole('heading', { name: 'Stopped' }).count(), 0)
})

test('while the broker is away nothing is taken for stopped, and once it is back it is stopped once', {
  skip,
}, async () => {
  await open('task', 'outage')
  await dialog().getByText('No session is live').waitFor()
  await dialog().getByLabel('Reason').fill('tried an <b>outage</b>')
  const stops = listenForStops()
  await site.restartBroker(async () => {
    await stopButton().click()
    await dialog().getByText('The broker cannot be reached').waitFor()
    assert.equal(await page.getByRole('heading', { name: 'Stopped' }).count(), 0)
  })
  await stopButton().click()
  await page.getByText('Held by 2 of 2').waitFor()
  const keys = stops.sent.map((request) => request.headers()['idempotency-key'])
  stops.end()
  assert.deepEqual([keys.length, new Set(keys).size], [2, 1])
  await page.getByRole('button', { name: 'Done', exact: true }).click()
  // What somebody wrote is text, whatever it looks like.
  await page.getByText('tried an <b>outage</b>').first().waitFor()
  nothingWrong(tab.complaints, (text) => !text.includes('/v1/'))
})

test('what is chosen stays what it is, while the session becomes another', { skip }, async () => {
  const agent = await site.agent('/agents/changing', 'later')
  await page.goto(`${site.url}/sessions`)
  await rowOf('agents/changing').click()
  await page.getByRole('heading', { level: 1, name: 'agents/changing' }).waitFor()
  await page.getByRole('button', { name: 'Stop …' }).click()
  const beneath = dialog().getByRole('radio', { name: 'everything beneath it' })
  await beneath.check()
  await agent.call('list_notes')
  await page.locator('.facts').getByText('later').waitFor()
  assert.equal(await dialog().getByRole('radio', { name: 'in task later' }).count(), 0)
  assert.equal(await beneath.isChecked(), true)
  await dialog().getByText('This is wide').waitFor()
  await page.keyboard.press('Escape')
  await dialog().waitFor({ state: 'detached' })
  await untilFocused(page, /^<button[^>]*>.*Stop …/)
})

test('the focus is on the page when what opened a dialog is gone', { skip }, async () => {
  await site.agent('/agents/picked')
  await page.goto(`${site.url}/sessions`)
  await page.getByLabel('Select agents/picked').first().check()
  const bar = page.getByRole('region', { name: 'Selection' })
  await bar.getByRole('button', { name: 'Stop …' }).click()
  await dialog().getByLabel('Reason').fill('tried the focus')
  await stopButton().click()
  await page.getByText('Held by 2 of 2').waitFor()
  await page.getByRole('button', { name: 'Done', exact: true }).click()
  await bar.waitFor({ state: 'detached' })
  await untilTrue(page, `document.activeElement.id === 'content'`)
})

test('it opens again after Escape, and after the browser closed it by itself', {
  skip,
}, async () => {
  await site.agent('/agents/opened')
  await page.goto(`${site.url}/sessions`)
  await rowOf('agents/opened').waitFor()
  await page.getByRole('grid').focus()
  for (const close of [
    () => page.keyboard.press('Escape'),
    () => page.evaluate(`document.querySelector('dialog').close()`),
    () => page.keyboard.press('Escape'),
  ]) {
    await untilFocused(page, /^<table/)
    await page.keyboard.press('s')
    await dialog().waitFor()
    await close()
    await page.locator('dialog').waitFor({ state: 'detached' })
  }
})

test('a sign-in that ends in the middle of a dialog is said, with that nothing was done', {
  skip,
}, async () => {
  await open('task', 'signed-out')
  await dialog().getByText('No session is live').waitFor()
  await dialog().getByLabel('Reason').fill('tried without a sign-in')
  await tab.context.clearCookies()
  await stopButton().click()
  await page.getByText('Your sign-in has ended').waitFor()
  await page.getByText('was not done').waitFor()
  await signIn(page, site.url, '/revocations')
  await page.goto(`${site.url}/revocations?text=tried`)
  await page.getByText('No revocation matches').or(page.locator('tbody tr').first()).waitFor()
  await untilCount(page.getByText('tried without a sign-in'), 0)
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('link', { name: 'Sign in with a passkey' }).waitFor()
  await untilCount(page.getByText('Your sign-in has ended'), 0)
  nothingWrong(tab.complaints, (text) => !text.includes('/v1/'))
})
