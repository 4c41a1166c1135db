// Getting about: addresses, lists that grow while they are read, and names longer than anybody expects.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openConsole, openPhone, page, site, skip, tab } from './console.ts'
import { nothingWrong } from './people.ts'
import { until, untilCount, untilLoaded, untilTrue } from './until.ts'

const LONG = 'a-name-that-goes-on-and-on-without-a-place-to-break-it-'.repeat(4)
const MARKUP = '<img src=x onerror=alert(1)>'
const REVOKED = 60

openConsole({
  async prepare() {
    const now = Date.now() / 1000
    const seen = (n: number, workload: string, at: number) => ({
      ...{ id: `seen-${n}`, workload, principal: `user:staff:${MARKUP}${LONG}`, actors: [] },
      ...{ key: `${n}`.padEnd(43, 'k'), firstAt: at - 60, lastAt: at, tokensUntil: at },
      ...{ issued: 1, spent: 1, refused: 0, actions: [] },
    })
    await site.seen([
      seen(1, `spiffe://demo.test/agents/${LONG}`, now - 60),
      seen(2, 'spiffe://demo.test/agents/yesterday', now - 2 * 86_400),
    ])
    for (let n = 0; n < REVOKED; n += 1) {
      const target = { kind: 'task', value: n === 0 ? LONG.slice(0, 120) : `task-${n}` } as const
      await site.broker.revoke({ target, reason: `${MARKUP} ${LONG} ${n}`, by: 'local:test' })
    }
  },
})

test('an address that says nothing leads to a page that says so', { skip }, async () => {
  for (const path of ['/sessions/%zz', '/revocations/%E0%A4%A']) {
    await page.goto(site.url + path)
    await page.getByText('There is no such page').waitFor()
    await page.getByRole('link', { name: 'Sessions' }).waitFor()
  }
  nothingWrong(tab.complaints)
})

test('the same page again begins anew, and back leads to the filter one had', {
  skip,
}, async () => {
  await page.goto(`${site.url}/sessions`)
  const filter = page.getByLabel('Filter sessions')
  await filter.fill('a-name-that')
  // At once, as people do: what they typed is kept however slow the page is.
  await page.getByRole('link', { name: 'Sessions' }).click()
  await untilTrue(page, `document.querySelector('[data-filter]').value === ''`)
  await untilTrue(page, `location.search === ''`)
  await page.goBack()
  await untilTrue(page, `document.querySelector('[data-filter]').value === 'a-name-that'`)
})

test('all that is kept stays the choice when the page is loaded again', { skip }, async () => {
  await page.goto(`${site.url}/sessions`)
  await page.locator('tbody tr.open').first().waitFor()
  await untilCount(page.getByText('agents/yesterday'), 0)
  await page.getByLabel('Seen').selectOption('All that is kept')
  await page.getByText('agents/yesterday').waitFor()
  await page.reload()
  await page.getByText('agents/yesterday').waitFor()
  await page.goto(`${site.url}/identities`)
  await page.getByRole('link', { name: 'agents/yesterday' }).click()
  await page.locator('tbody tr.open').filter({ hasText: 'agents/yesterday' }).waitFor()
})

test('a link to a part of a page leads there, and a new page has the focus', { skip }, async () => {
  await page.goto(`${site.url}/policies`)
  await page.getByRole('link', { name: 'deleting needs a person' }).click()
  await untilTrue(page, 'scrollY > 0 || document.documentElement.scrollHeight <= innerHeight')
  await page.goto(`${site.url}/sessions`)
  await page.locator('tbody tr.open').first().click()
  await page.getByRole('heading', { name: 'Who it is' }).waitFor()
  await untilTrue(page, `document.activeElement.id === 'content'`)
})

test('what was loaded of a list stays while something new happens', { skip }, async () => {
  await page.goto(`${site.url}/revocations`)
  const rows = page.locator('tbody tr')
  await rows.first().waitFor()
  assert.ok((await rows.count()) < REVOKED)
  await page.getByRole('button', { name: 'Load more' }).dblclick()
  await rows.nth(REVOKED - 1).waitFor()
  const target = { kind: 'task', value: 'news' } as const
  await site.broker.revoke({ target, reason: 'news', by: 'local:test' })
  await rows.filter({ hasText: 'news' }).waitFor()
  await untilCount(rows, REVOKED + 1)
})

test('who loads the rest by key goes on at the first row of it', {
  skip,
}, async () => {
  for (const [path, row, loaded] of [
    ['/revocations', 'tbody tr', 50],
    ['/audit', '.timeline > li', 50],
  ] as const) {
    await page.goto(site.url + path)
    await page.locator(row).first().waitFor()
    const button = page.getByRole('button', { name: 'Load more' })
    await button.focus()
    const rowNow = `[...document.querySelectorAll(${JSON.stringify(row)})].indexOf(document.activeElement)`
    await until(`the rest of ${path} is loaded`, async () => {
      if ((await button.count()) === 0) return true
      await page.keyboard.press('Enter')
      return false
    })
    await untilTrue(page, `${rowNow} >= ${loaded} && ${rowNow} % ${loaded} === 0`)
  }
})

test('long names and markup in them break no page, wide or narrow', { skip }, async () => {
  const phone = await openPhone()
  const revocations = (await page.evaluate(
    `fetch('/v1/revocations?text=${LONG.slice(0, 30)}').then((r) => r.json())`,
  )) as { items: { id: string }[] }
  for (const at of [page, phone.page]) {
    for (const [path, shows] of [
      ['/sessions', 'a-name-that'],
      ['/sessions/seen-1', 'Who it is'],
      ['/identities', 'a-name-that'],
      ['/revocations', MARKUP],
      [`/revocations/${revocations.items[0]!.id}`, 'Who and why'],
    ] as const) {
      await at.goto(site.url + path)
      await at.locator('main').getByText(shows).first().waitFor()
      await untilLoaded(at)
      const [wide, screen] = (await at.evaluate(
        '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
      )) as [number, number]
      assert.ok(wide <= screen, `${path} is ${wide} of ${screen} wide`)
    }
    await at.goto(`${site.url}/sessions/seen-1`)
    await at.getByRole('button', { name: 'Stop …' }).click()
    await at
      .getByRole('dialog')
      .getByText(/No session is live/)
      .waitFor()
    const over = await at.evaluate(
      `(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('.dialog-body'))`,
    )
    assert.equal(over, 0)
  }
  await phone.page.goto(`${site.url}/sessions`)
  await phone.page.getByRole('button', { name: 'Menu' }).click()
  await phone.page.getByRole('dialog').getByRole('link', { name: 'Sessions' }).click()
  await phone.page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.equal(await page.locator('img[src="x"]').count(), 0)
  nothingWrong([...tab.complaints, ...phone.complaints])
  await phone.context.close()
})
