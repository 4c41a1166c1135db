// The pictures of the README, taken by the tests that show what they show.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Page } from 'playwright-core'

const folder = join(import.meta.dirname, '../../docs/images')

/** With WRIT_PICTURES=1, or when there is none yet: no two runs take the very same bytes. */
export async function picture(page: Page, name: string): Promise<void> {
  const path = join(folder, `${name}.png`)
  if (process.env.WRIT_PICTURES !== '1' && existsSync(path)) return
  await mkdir(folder, { recursive: true })
  // No control looks pointed at, and nothing is half loaded.
  await page.mouse.move(0, 0)
  await page.waitForLoadState('load')
  await page.screenshot({ path, animations: 'disabled' })
}
