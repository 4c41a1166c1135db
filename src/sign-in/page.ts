/** The frame of every page. */
import type { Context } from 'koa'
import { type Html, html } from './html.ts'
import { setPageHeaders } from './page-headers.ts'
import { PAGE_SCRIPT } from './page-script.ts'
import { PAGE_STYLE } from './page-style.ts'

export const FILES: Readonly<Record<string, { readonly type: string; readonly text: string }>> = {
  '/sign-in/page.js': { type: 'text/javascript; charset=utf-8', text: PAGE_SCRIPT },
  '/sign-in/page.css': { type: 'text/css; charset=utf-8', text: PAGE_STYLE },
}

/** For every answer of sign-in, pages or not. */
export function setHeaders(ctx: Context): void {
  ctx.set('Cache-Control', 'no-store')
  setPageHeaders(ctx, ['publickey-credentials-get', 'publickey-credentials-create'])
}

/** As the console draws it. */
const MARK = html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8"
 fill="#4f46e5"/><path d="M8 10.5 12.2 22 16 13.5 19.8 22 24 10.5" fill="none" stroke="#fff"
 stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"/></svg>`

export interface Page {
  readonly title: string
  readonly status?: number
  /** What the script does here, if anything. */
  readonly work?: 'sign-in' | 'enrol'
  /** A page with a form of its own: without a referrer the browser says `Origin: null` of it. */
  readonly form?: boolean
  readonly body: Html
}

export function answerPage(ctx: Pick<Context, 'set' | 'status' | 'type' | 'body'>, page: Page) {
  ctx.status = page.status ?? 200
  ctx.type = 'text/html; charset=utf-8'
  if (page.form) ctx.set('Referrer-Policy', 'same-origin')
  ctx.body = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${page.title} · Writ</title>
<link rel="stylesheet" href="/sign-in/page.css">
<script src="/sign-in/page.js" defer></script>
</head>
<body data-work="${page.work ?? ''}">
<main>
<p class="brand">${MARK}Writ</p>
<section class="card" aria-labelledby="title">
<h1 id="title" tabindex="-1">${page.title}</h1>
${page.body}
</section>
</main>
</body>
</html>
`.text
}

/** Where the script says what happens; a screen reader hears it. */
export const STATUS = html`<p class="status" id="status" role="status" aria-live="polite"></p>
<noscript><p class="status bad">Passkeys need JavaScript. Allow it for this page and load it again.</p></noscript>`
