/** What somebody sees who lets a command line sign in (RFC 8628 §3.3): what asks, from where, and since when. */
import type { Context } from 'koa'
import type { ErrorOut, KoaContextWithOIDC } from 'oidc-provider'
import { type Html, html } from './html.ts'
import { answerPage } from './page.ts'
import { roleOf } from './role.ts'

export interface DevicePages {
  deviceInfo(ctx: KoaContextWithOIDC): Record<string, unknown>
  input(ctx: KoaContextWithOIDC, form: string, out?: ErrorOut, error?: Error): Promise<void>
  confirm(
    ctx: KoaContextWithOIDC,
    form: string,
    client: unknown,
    deviceInfo: Record<string, unknown>,
    userCode: string,
  ): Promise<void>
  success(ctx: KoaContextWithOIDC): Promise<void>
  error(ctx: KoaContextWithOIDC, out: ErrorOut, error: Error): Promise<void>
}

/** What is known of a request before oidc-provider sees it; see `oauth-door.ts`. */
export interface Asking {
  /** Thumbprint of the key whose proof came with it. */
  readonly jkt?: string
  /** A user code that stood in the address. */
  readonly userCode?: string
}

export interface DevicePageParts {
  readonly asking: WeakMap<object, Asking>
  readonly clock: () => number
  /** Hears of a user code that nobody was given, or that is over. */
  codeRefused(ctx: Context): Promise<void>
}

export function createDevicePages({ asking, clock, codeRefused }: DevicePageParts): DevicePages {
  return {
    deviceInfo: (ctx) => ({
      jkt: asking.get(ctx.req)?.jkt ?? '',
      agent: keptWords(ctx.get('user-agent')),
      address: ctx.req.socket.remoteAddress ?? 'unknown',
      askedAt: Math.floor(clock()),
    }),

    async input(ctx, _form, _out, error) {
      const bad = error !== undefined
      if (bad) await codeRefused(ctx as unknown as Context)
      const code = keptWords(asking.get(ctx.req)?.userCode ?? '')
      const problem = bad
        ? html`<p class="bad" role="alert">${whyNot(error)}</p>`
        : html`<p class="soft">Enter the code that the command line shows you.</p>`
      answerPage(ctx, {
        title: 'Sign in a command line',
        status: bad ? 400 : 200,
        form: true,
        body: html`${problem}
<form method="post" action="/sign-in/device">
${secretOf(ctx)}
<label for="code">Code</label>
<input class="code" id="code" name="user_code" type="text" value="${code}" required maxlength="16"
  autocomplete="off" autocapitalize="characters" spellcheck="false">
<button type="submit">Continue</button>
</form>`,
      })
    },

    async confirm(ctx, _form, _client, info, userCode) {
      const asked = new Date(Number(info.askedAt) * 1000).toISOString()
      answerPage(ctx, {
        title: 'Let this command line act for you?',
        form: true,
        body: html`<p class="soft">It will act as you until you sign it out or its time is over. Go on only if
you started it yourself, and it shows this very code.</p>
<dl>
<dt>Code</dt><dd class="code">${userCode}</dd>
<dt>May do</dt><dd>${askedRole(ctx)}, as far as you may</dd>
<dt>Program</dt><dd>${String(info.agent)}</dd>
<dt>Address</dt><dd>${String(info.address)}</dd>
<dt>Asked</dt><dd><time datetime="${asked}">${asked.slice(0, 19).replace('T', ' ')} UTC</time></dd>
</dl>
<form method="post" action="/sign-in/device">
${secretOf(ctx)}
<input type="hidden" name="user_code" value="${userCode}">
<button type="submit" name="confirm" value="yes">Continue with your passkey</button>
<button class="quiet" type="submit" name="abort" value="yes">This was not me</button>
</form>`,
      })
    },

    async success(ctx) {
      answerPage(ctx, {
        title: 'The command line is signed in',
        body: html`<p class="good">Done.</p><p class="soft">Go back to it; this page can be closed.</p>`,
      })
    },

    async error(ctx, out) {
      answerPage(ctx, {
        title: 'This did not work',
        status: Math.max(ctx.status, 400),
        body: html`<p class="soft">${sentence(out.error)}</p>
<p><a class="button" href="/sign-in">Start again</a></p>`,
      })
    },
  }
}

function askedRole(ctx: KoaContextWithOIDC): string {
  const { scope } = (ctx.oidc.entities.DeviceCode?.params ?? {}) as { scope?: string }
  return roleOf(scope?.split(' ') ?? []) ?? 'none'
}

const MAX_WORDS = 120

/** What a stranger says of itself, as far as it is fit to be shown and kept. */
function keptWords(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, MAX_WORDS)
}

/** oidc-provider's own defence against other pages, kept beside ours. */
function secretOf(ctx: KoaContextWithOIDC): Html {
  const { secret } = ctx.oidc.session!.state as { secret: string }
  return html`<input type="hidden" name="xsrf" value="${secret}">`
}

function whyNot(error: Error): string {
  if (error.name === 'AbortedError') return 'Nothing was signed in. You can close this page.'
  return 'This code is not known, was used, or is too old. Start again on the command line.'
}

function sentence(code: string): string {
  return code === 'server_error'
    ? 'Something went wrong here. Try again shortly.'
    : 'The sign-in was cancelled, is over, or was begun elsewhere.'
}
