/** Whether a request that a cookie came with was made by our own page, and not by another one. */
import type { Context } from 'koa'
import { headerValues } from '../lib/raw-headers.ts'
import { refuseAdmin } from './admin-refusal.ts'
import type { Site } from './options.ts'
import { sameText } from './secret.ts'

const CSRF_HEADER = 'x-writ-csrf'
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD'])

/**
 * `Origin`, when there is one, is ours; `Sec-Fetch-Site` says `same-origin`, or `none` for a page that
 * the person opened. Browsers that have passkeys send it to every address this can be reached at.
 *
 * @throws {AdminRefusal} page_refused
 */
export function checkPage(ctx: Context, site: Site): void {
  checkOrigin(ctx, site)
  const fetchSite = headerValues(ctx.req, 'sec-fetch-site')
  const opened = READS.has(ctx.method) && ctx.get('sec-fetch-mode') === 'navigate'
  const fine = fetchSite[0] === 'same-origin' || (fetchSite[0] === 'none' && opened)
  if (fetchSite.length !== 1 || !fine) refuseAdmin({ code: 'page_refused', check: 'fetch_site' })
}

/** @throws {AdminRefusal} page_refused: a page of another origin, or something that is no page */
function checkOrigin(ctx: Context, site: Site): void {
  const origins = headerValues(ctx.req, 'origin')
  if (origins.length === 0 && READS.has(ctx.method)) return
  if (origins.length !== 1 || origins[0] !== site.origin) {
    refuseAdmin({ code: 'page_refused', check: 'origin' })
  }
}

/** @throws {AdminRefusal} page_refused, for all that changes something without saying the value back */
export function checkCsrf(ctx: Context, csrf: string): void {
  if (READS.has(ctx.method)) return
  const given = headerValues(ctx.req, CSRF_HEADER)
  if (given.length !== 1 || !sameText(given[0]!, csrf)) {
    refuseAdmin({ code: 'page_refused', check: 'csrf' })
  }
}
