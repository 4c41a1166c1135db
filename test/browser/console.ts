// What a file of browser tests begins with: a site, a browser, and a tab in which the first admin is signed in.
import { after, before, beforeEach } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { openTab, skipWithoutChromium, startChromium, type Tab } from './chromium.ts'
import { enrol, signIn } from './people.ts'
import { type ConsoleSite, type SiteOptions, startSite } from './site.ts'

export const skip = skipWithoutChromium

/** What the first admin says that they are called. */
export const FIRST_NAME = 'Robin Ito'

export let site: ConsoleSite
export let browser: Browser
export let tab: Tab
export let page: Page

interface Begin extends SiteOptions {
  /** The page to begin at. */
  readonly at?: string
  /** What is to be there before anybody signs in. */
  readonly prepare?: () => Promise<void>
}

/** Opens all of it before the tests of this file, and closes it after them. */
export function openConsole({ at, prepare, ...options }: Begin = {}): void {
  before(async () => {
    if (skip !== false) return
    ;[site, browser] = await Promise.all([startSite(options), startChromium()])
    tab = await openTab(browser)
    page = tab.page
    await enrol(page, (await site.broker.firstLink())!, 'Laptop', FIRST_NAME)
    await prepare?.()
    await signIn(page, site.url, at)
  })
  // One test's fault is none of the next one's.
  beforeEach(() => {
    if (tab !== undefined) tab.complaints.length = 0
  })
  after(async () => {
    await browser?.close()
    await site?.close()
  })
}

export const rowOf = (name: string) => page.locator('tbody tr.open').filter({ hasText: name })

/** The same person on a phone, with a passkey there. */
export async function openPhone(): Promise<Tab> {
  await page.goto(`${site.url}/people`)
  await page.getByRole('button', { name: 'Link for another passkey' }).click()
  const link = (await page.locator('dialog .command code').textContent())!
  await page.getByRole('button', { name: 'Done', exact: true }).click()
  const phone = await openTab(browser, { phone: true })
  await enrol(phone.page, link, 'Phone')
  await signIn(phone.page, site.url)
  return phone
}
