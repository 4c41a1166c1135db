// The pictures of the README, taken by the tests that show what they show.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'

const folder = join(import.meta.dirname, '../../docs/images')

export async function picture(page: Page, name: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  // No control looks pointed at, and nothing is half loaded.
  await page.mouse.move(0, 0)
  await page.waitForLoadState('load')
  await page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled' })
}
