// What people do before anything else: enrol a passkey by a link, and sign in with it.
import assert from 'node:assert/strict'
import type { Page } from 'playwright-core'

/** Follows a one-time link and enrols this tab's passkey; the first one of all says their name. */
export async function enrol(page: Page, link: string, label: string, name?: string): Promise<void> {
  await page.goto(link)
  await page.getByLabel('What to call this passkey').fill(label)
  const add = page.getByRole('button', { name: 'Add passkey' })
  if (name !== undefined) {
    assert.equal(await page.getByLabel('Your name').inputValue(), '')
    await add.click()
    await page.getByText('Say your name first').waitFor()
    // Where one is then.
    await page.keyboard.type(name)
  }
  await add.click()
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

/** What the page complained of since it was last asked, so that one test's fault is not the next one's. */
export function nothingWrong(
  complaints: string[],
  isFault: (text: string) => boolean = () => true,
): void {
  assert.deepEqual(complaints.splice(0).filter(isFault), [])
}
