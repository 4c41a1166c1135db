// What people do before anything else: enrol a passkey by a link, and sign in with it.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Page } from 'playwright-core'

/** Follows a one-time link and enrols this tab's passkey. */
export async function enrol(page: Page, link: string, label: string): Promise<void> {
  await page.goto(link)
  await page.getByLabel('What to call this passkey').fill(label)
  await page.getByRole('button', { name: 'Add passkey' }).click()
  await page.getByText('Your passkey is ready').waitFor()
}

/** From the console's sign-in page to where one wanted to go. */
export async function signIn(page: Page, url: string, path = '/sessions'): Promise<void> {
  await page.goto(`${url}${path}`)
  await page.getByRole('link', { name: 'Sign in with a passkey' }).click()
  await page.waitForURL(/\/sign-in\/with-passkey\//)
  await page.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await page.waitForURL(`${url}${path}`)
  await page.locator('nav').waitFor({ state: 'attached' })
}

/**
 * Waits until an expression is true in the page. Asked through the protocol: the page's own policy
 * lets no text become script, so Playwright's `waitForFunction` cannot be used.
 */
export async function untilTrue(page: Page, expression: string): Promise<void> {
  for (let look = 0; look < 600; look += 1) {
    if ((await page.evaluate(expression)) === true) return
    await sleep(25)
  }
  assert.fail(`it did not come true: ${expression}`)
}

export function nothingWrong(complaints: readonly string[]): void {
  assert.deepEqual(complaints, [])
}
