// Waiting for what is promised. Nothing here, and no test, looks once at what may not be drawn yet.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'

/** How long anything may take on the slowest machine; what works never takes it, so no test asserts it. */
export const PATIENCE_MS = 180_000
const LOOK_EVERY_MS = 25

/** Waits until a look finds what is promised. What a look throws, in the middle of a navigation say, is another no. */
export async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  let thrown: unknown
  while (performance.now() < end) {
    try {
      if (await look()) return
      thrown = undefined
    } catch (error) {
      thrown = error
    }
    await sleep(LOOK_EVERY_MS)
  }
  assert.fail(`it did not come true: ${what}${thrown === undefined ? '' : ` (${String(thrown)})`}`)
}

/**
 * Waits until an expression is true in the page. Asked through the protocol: the page's own policy
 * lets no text become script, so Playwright's `waitForFunction` cannot be used.
 */
export function untilTrue(page: Page, expression: string): Promise<void> {
  return until(expression, async () => (await page.evaluate(expression)) === true)
}

/** Waits until so many are there. */
export async function untilCount(found: Locator, count: number): Promise<void> {
  let last = -1
  await until(`${count} of ${found}`, async () => {
    last = await found.count()
    return last === count
  }).catch((error: Error) => assert.fail(`${error.message}: ${last} are there`))
}

/** Waits until what has the focus looks like that, as HTML. */
export async function untilFocused(page: Page, looks: RegExp): Promise<void> {
  let last = ''
  await until(`the focus is on ${looks}`, async () => {
    last = String(
      await page.evaluate(
        `document.activeElement.outerHTML.replace(/<svg.*?<.svg>/gs, "").slice(0, 300)`,
      ),
    )
    return looks.test(last)
  }).catch((error: Error) => assert.fail(`${error.message}: it is on ${last}`))
}

/** Waits until the page has said that in passing; `openTab` keeps what is said, which is shown for seconds only. */
export function untilSaid(page: Page, text: string): Promise<void> {
  return untilTrue(page, `said_.includes(${JSON.stringify(text)})`)
}

/** Waits until nothing of the page is being loaded any more. */
export async function untilLoaded(page: Page): Promise<void> {
  await page.locator('main h1').first().waitFor()
  await untilCount(page.locator('main .loading'), 0)
}

/** Waits until a call is served: an undoing reaches every server, though not before it is answered. */
export function untilServed(call: () => Promise<unknown>): Promise<void> {
  return until('the call is served', async () => typeof (await call()) === 'string')
}
