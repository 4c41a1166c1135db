import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import type { SessionDetail, Target } from '../../src/admin/schemas.ts'
import { openTab, skipWithoutChromium, startChromium, type Tab } from './chromium.ts'
import { enrol, nothingWrong, signIn } from './people.ts'
import { type Agent, type ConsoleSite, startSite } from './site.ts'

const skip = skipWithoutChromium
let site: ConsoleSite
let browser: Browser
let tab: Tab
let page: Page

before(async () => {
  if (skip !== false) return
  ;[site, browser] = await Promise.all([startSite(), startChromium()])
  tab = await openTab(browser)
  page = tab.page
  await enrol(page, (await site.broker.firstLink())!, 'Laptop')
  await signIn(page, site.url, '/revocations')
})
after(async () => {
  await browser?.close()
  await site?.close()
})

/** The session of an agent that has just called a tool, as the API tells it. */
async function sessionOf({ workload }: Agent): Promise<SessionDetail> {
  for (;;) {
    const found = (await page.evaluate(`fetch(${JSON.stringify(
      `/v1/sessions?${new URLSearchParams({ workload })}`,
    )}).then((r) => r.json())
      .then(({ items: [first] }) => first && fetch('/v1/sessions/' + first.id))
      .then((r) => r && r.json())`)) as SessionDetail | undefined
    if (found?.actions.some(({ outcome, jti }) => outcome === 'issued' && jti !== undefined)) {
      return found
    }
  }
}

interface Case {
  readonly kind: Target['kind']
  readonly value: (session: SessionDetail) => string
  readonly wide?: true
  /** Whether the agent's next call is refused, and served again once it is undone. */
  readonly refuses: boolean
}

const cases: readonly Case[] = [
  { kind: 'agent', value: ({ workload }) => workload, refuses: true },
  { kind: 'session', value: ({ id }) => id, refuses: true },
  { kind: 'key', value: ({ key }) => key, refuses: true },
  { kind: 'principal', value: ({ principal }) => principal, refuses: true },
  { kind: 'task', value: ({ task }) => task!, refuses: true },
  { kind: 'server', value: ({ servers }) => servers[0]!, wide: true, refuses: true },
  { kind: 'issuer', value: () => 'spiffe://demo.test', wide: true, refuses: true },
  // The next call has a token of its own, which neither of these hits.
  { kind: 'jti', value: ({ actions }) => actions.find(({ jti }) => jti)!.jti!, refuses: false },
  { kind: 'before', value: () => '2026-01-31T08:00', wide: true, refuses: false },
]

for (const { kind, value, wide = false, refuses } of cases) {
  const promise = refuses ? 'is refused, and goes on once undone' : 'is on record, for good'
  test(`what is stopped by its ${kind} ${promise}`, { skip }, async () => {
    const agent = await site.agent(`/agents/by-${kind}`, `task-${kind}`)
    await agent.call('list_notes')
    const session = await sessionOf(agent)
    await page.goto(`${site.url}/revocations`)
    await page.getByRole('button', { name: 'Stop something …' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('What').selectOption(kind)
    await dialog.locator('.dialog-body input').first().fill(value(session))
    await dialog.getByText(/Stops \d+ live session|No session is live/).waitFor()
    assert.equal((await dialog.getByText('This is wide').count()) === 1, wide)
    await dialog.getByLabel('Reason').fill(`tried ${kind}`)
    await dialog.getByRole('button', { name: /^Stop/ }).click()
    await page.getByText('Held by 2 of 2').waitFor()
    if (refuses) await assert.rejects(agent.call('list_notes'))
    await page.getByRole('button', { name: 'Done', exact: true }).click()

    const row = page.locator('tbody tr').filter({ hasText: `tried ${kind}` })
    await row.waitFor()
    const undo = row.getByRole('button', { name: 'Undo …' })
    if (kind === 'jti' || kind === 'before') assert.equal(await undo.count(), 0)
    else {
      await undo.click()
      await page.getByLabel('Reason').fill('tried enough')
      await page.getByRole('button', { name: 'Undo', exact: true }).click()
      await row.getByText('undone').waitFor()
    }
    assert.equal(typeof (await agent.call('list_notes')), 'string')
    await agent.close()
    nothingWrong(tab.complaints)
  })
}
