/** The page with the passkey, which is the whole of oidc-provider's interaction here. */
import type { Context } from 'koa'
import type Provider from 'oidc-provider'
import { errors } from 'oidc-provider'
import type { OidcStore } from './adapter.ts'
import { AdminRefusal, refuseAdmin } from './admin-refusal.ts'
import { receiveJson } from './body.ts'
import { cookieOf } from './browser-sign-ins.ts'
import { type CeremonyParts, proveTouch } from './ceremony.ts'
import { PATHS, PROVIDER_COOKIE } from './clients.ts'
import { html } from './html.ts'
import { answerPage, STATUS } from './page.ts'
import { requestOptions } from './webauthn.ts'

export interface InteractionParts extends CeremonyParts {
  readonly provider: Provider
  readonly store: OidcStore
}

const STEP = new RegExp(`^${PATHS.interaction}/([A-Za-z0-9_-]{1,64})(?:/(options|finish|cancel))?$`)

/** @returns the interaction and the step of it that a path names */
export function parseInteractionPath(path: string): { uid: string; step: string } | undefined {
  const match = STEP.exec(path)
  return match === null ? undefined : { uid: match[1]!, step: match[2] ?? 'page' }
}

/** Answers `/sign-in/with-passkey/<id>[/options|/finish|/cancel]`. */
export function createInteractions(parts: InteractionParts) {
  const { provider, site, challenges, trail, clock } = parts

  /** The browser's cookie says which; the address has to say the same, and it began in this browser. */
  async function interactionOf(ctx: Context, uid: string) {
    try {
      const details = await provider.interactionDetails(ctx.req, ctx.res)
      if (details.uid === uid && (await isOf(ctx, details.session?.uid))) return details
    } catch (error) {
      if (!(error instanceof errors.SessionNotFound)) throw error
    }
    return refuseAdmin({ code: 'signin_required', why: 'unknown' })
  }

  async function isOf(ctx: Context, session: string | undefined): Promise<boolean> {
    const cookie = cookieOf(ctx, PROVIDER_COOKIE)
    const here = cookie === undefined ? undefined : await parts.store.find('Session', cookie)
    return here !== undefined && here.uid === session
  }

  async function page(ctx: Context, uid: string): Promise<void> {
    const { deviceCode } = await interactionOf(ctx, uid)
    const forDevice = deviceCode !== undefined
    const [title, text] = forDevice
      ? ['Confirm with your passkey', 'Your passkey signs the command line in as you.']
      : ['Sign in', `Use your passkey for ${site.rpName}.`]
    answerPage(ctx, {
      title: title!,
      work: 'sign-in',
      body: html`<p class="soft">${text!}</p>
<button id="go" type="button">${forDevice ? 'Sign it in' : 'Sign in with a passkey'}</button>
<button class="quiet" id="cancel" type="button">Cancel</button>
${STATUS}`,
    })
  }

  async function options(ctx: Context, uid: string): Promise<void> {
    await interactionOf(ctx, uid)
    const challenge = await challenges.create('sign_in', uid)
    ctx.body = { options: await requestOptions(site, challenge) }
  }

  async function finish(ctx: Context, uid: string): Promise<void> {
    const { credential } = await receiveJson(ctx)
    const { deviceCode } = await interactionOf(ctx, uid)
    const person = await proveSignIn(ctx, credential, uid)
    if (deviceCode !== undefined) {
      const device = await parts.store.find('DeviceCode', deviceCode)
      await trail.event('device_approved', {
        principal: `person:${person}`,
        address: ctx.req.socket.remoteAddress,
        key: device?.deviceInfo?.jkt as string | undefined,
      })
    }
    const ts = Math.floor(clock())
    const login = { accountId: person, ts, remember: false, amr: ['hwk', 'user'] }
    ctx.body = { location: await provider.interactionResult(ctx.req, ctx.res, { login }) }
  }

  async function proveSignIn(ctx: Context, credential: unknown, uid: string): Promise<string> {
    try {
      return await proveTouch(parts, credential, (challenge) =>
        challenges.take(challenge, 'sign_in', uid),
      )
    } catch (error) {
      if (error instanceof AdminRefusal) {
        await trail.refused(error.reason, { address: ctx.req.socket.remoteAddress })
      }
      throw error
    }
  }

  async function cancel(ctx: Context, uid: string): Promise<void> {
    await interactionOf(ctx, uid)
    const result = { error: 'access_denied', error_description: 'the person cancelled' }
    ctx.body = { location: await provider.interactionResult(ctx.req, ctx.res, result) }
  }

  return { page, options, finish, cancel }
}
