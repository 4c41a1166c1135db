/** The pages that are no part of a flow, and how a refusal is told to people and to scripts. */
import type { Context } from 'koa'
import type { AdminReason } from './admin-refusal.ts'
import { html } from './html.ts'
import { answerPage, STATUS } from './page.ts'

/** The link's secret is in the fragment, so this page knows nothing; its script asks. */
export function enrolPage(ctx: Context): void {
  answerPage(ctx, {
    title: 'Add your passkey',
    work: 'enrol',
    body: html`<div id="ask" hidden>
<p class="soft">With it you sign in here from now on. It stays on your device or in your password
manager; nothing is kept here that could sign in.</p>
<dl><dt>For</dt><dd id="who"></dd><dt>Role</dt><dd id="role"></dd></dl>
<div id="naming" hidden>
<label for="name">Your name</label>
<input id="name" type="text" maxlength="100" autocomplete="name" required>
</div>
<label for="label">What to call this passkey</label>
<input id="label" type="text" maxlength="60" placeholder="My laptop" autocomplete="off">
<button id="go" type="button">Add passkey</button>
</div>
<div id="done" hidden>
<p class="good">Your passkey is ready.</p>
<a class="button" id="next" href="/sign-in">Sign in</a>
</div>
${STATUS}`,
  })
}

export function signedOutPage(ctx: Context): void {
  answerPage(ctx, {
    title: 'You are signed out',
    body: html`<p class="soft">Nothing is left of the sign-in in this browser.</p>
<a class="button" href="/sign-in">Sign in again</a>`,
  })
}

export function cancelledPage(ctx: Context): void {
  answerPage(ctx, {
    title: 'Nobody was signed in',
    body: html`<p class="soft">You cancelled it.</p><a class="button" href="/sign-in">Sign in</a>`,
  })
}

export function nothingPage(ctx: Context): void {
  answerPage(ctx, {
    title: 'There is nothing here',
    status: 404,
    body: html`<a class="button" href="/">To the console</a>`,
  })
}

export function answerRefusal(ctx: Context, reason: AdminReason, page: boolean): void {
  const { status, detail } = toldTo(reason)
  if (reason.code === 'too_many_requests') {
    ctx.set('Retry-After', String(reason.retryAfterSeconds))
  }
  // What follows an unread body on this connection would be taken for the next request.
  if (!ctx.req.complete) ctx.set('Connection', 'close')
  if (page) {
    answerPage(ctx, {
      title: 'This did not work',
      status,
      body: html`<p class="soft">${detail}</p><a class="button" href="/sign-in">Start again</a>`,
    })
    return
  }
  ctx.status = status
  ctx.type = 'application/problem+json'
  ctx.body = JSON.stringify({ type: 'about:blank', title: reason.code, status, detail })
}

/** Which check it was is for the audit. */
function toldTo(reason: AdminReason): { readonly status: number; readonly detail: string } {
  switch (reason.code) {
    case 'signin_required':
      return { status: 401, detail: 'This sign-in is over or was begun elsewhere. Start again.' }
    case 'page_refused':
      return { status: 403, detail: 'This request did not come from a page of ours.' }
    case 'link_refused':
      return { status: 403, detail: 'This link was used, is too old, or was never made.' }
    case 'passkey_refused':
    case 'touch_required':
      return { status: 403, detail: 'This passkey was not accepted.' }
    case 'too_many_requests':
      return { status: 429, detail: 'Too many tries. Wait a little.' }
    case 'request_too_large':
      return { status: 413, detail: 'The request is too large.' }
    case 'not_found':
      return { status: 403, detail: 'This passkey was not accepted.' }
    case 'role_insufficient':
      return { status: 403, detail: 'Your role does not allow this.' }
    case 'method_not_allowed':
      return { status: 405, detail: 'This cannot be done here.' }
    case 'conflict':
    case 'last_admin':
      return { status: 409, detail: 'Something changed at the same time. Try again.' }
    case 'request_invalid':
      return { status: 400, detail: malformed(reason.pointer) }
  }
}

function malformed(pointer: string): string {
  if (pointer !== '/name') return 'The request is malformed.'
  return 'Say your name, in at most 100 characters that can be seen.'
}
