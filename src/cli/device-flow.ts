/**
 * Signs a command line in (RFC 8628): it shows a code, a person enters it in a browser and touches a
 * passkey, and meanwhile this asks for the tokens. They are bound to a key that is made here.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { JsonObject } from '../lib/json.ts'
import type { SenderKey } from '../token/proof.ts'
import { CliError } from './answer.ts'
import { NobodyAnswers } from './http.ts'
import type { Login } from './login-file.ts'
import { CLI_CLIENT, DEVICE_GRANT, discover, HasTrouble, type OauthAnswer, post } from './oauth.ts'

/** What a person is shown. */
export interface Prompt {
  /** Where to go, of the broker asked and of nobody else. */
  readonly url: string
  /** The same with the code in it. */
  readonly urlWithCode: string | undefined
  readonly code: string
  readonly lifetimeSeconds: number
}

export interface DeviceFlowOptions {
  /** The admin listener. */
  readonly url: string
  readonly scope: string
  readonly key: SenderKey
  show(prompt: Prompt): void
  /** Waits that many milliseconds. */
  readonly wait?: (ms: number) => Promise<unknown>
}

export type Tokens = Pick<Login, 'refreshToken' | 'accessToken' | 'accessUntil' | 'scope'>

/** RFC 8628 §3.2, §3.5. */
const STANDARD_INTERVAL_SECONDS = 5
const SLOW_DOWN_SECONDS = 5
const LONGEST_INTERVAL_SECONDS = 60
const MAX_LIFETIME_SECONDS = 1800
const MAX_TOKEN_SECONDS = 86_400
/** What people read and type. */
const USER_CODE = /^[A-Za-z0-9-]{4,32}$/

/**
 * Resolves when somebody has signed in.
 *
 * @throws {CliError} refused: it was said no, or too late; unavailable
 */
export async function signInByDevice(options: DeviceFlowOptions): Promise<Tokens> {
  const { url, scope, key } = options
  const endpoints = await discover(url)
  const form = { client_id: CLI_CLIENT, scope, resource: url }
  const begun = await post(endpoints.deviceAuthorization, form, key)
  if (begun.error !== undefined) throw refusedAs(begun.error, url)
  const { deviceCode, intervalSeconds, prompt } = readBegun(begun.body, url)
  options.show(prompt)
  return await poll(options, {
    endpoint: endpoints.token,
    deviceCode,
    intervalSeconds,
    lifetimeSeconds: prompt.lifetimeSeconds,
  })
}

interface Polling {
  readonly endpoint: string
  readonly deviceCode: string
  readonly intervalSeconds: number
  readonly lifetimeSeconds: number
}

async function poll(options: DeviceFlowOptions, polling: Polling): Promise<Tokens> {
  const { wait = sleep, url, scope, key } = options
  const form = { grant_type: DEVICE_GRANT, client_id: CLI_CLIENT, device_code: polling.deviceCode }
  let seconds = polling.intervalSeconds
  let left = polling.lifetimeSeconds
  while (left > 0) {
    const waited = Math.min(seconds, left)
    await wait(waited * 1000)
    left -= waited
    let answer: OauthAnswer
    try {
      answer = await post(polling.endpoint, form, key)
    } catch (error) {
      // RFC 8628 §3.5: a connection that failed is a reason to ask less often, not to give up. So is a
      // server that is restarted, or a proxy that does not reach it: the code is good all the same.
      if (!(error instanceof NobodyAnswers || error instanceof HasTrouble)) throw error
      const told = error instanceof HasTrouble ? (error.retryAfterSeconds ?? 0) : 0
      seconds = Math.max(Math.min(seconds * 2, LONGEST_INTERVAL_SECONDS), told)
      continue
    }
    if (answer.error === undefined) return tokensOf(answer.body, scope, url)
    if (answer.error === 'slow_down') {
      seconds = Math.max(seconds + SLOW_DOWN_SECONDS, answer.retryAfterSeconds ?? 0)
    } else if (answer.error !== 'authorization_pending') {
      throw refusedAs(answer.error, url)
    }
  }
  throw refusedAs('expired_token', url)
}

function readBegun(body: JsonObject, url: string) {
  const { device_code, user_code, verification_uri, verification_uri_complete } = body
  const lifetime = Number(body.expires_in)
  const interval = Number(body.interval ?? STANDARD_INTERVAL_SECONDS)
  const ours = (value: unknown): value is string =>
    typeof value === 'string' && value.startsWith(`${url}/`) && !/[^\x21-\x7e]/.test(value)
  if (
    typeof device_code !== 'string' ||
    typeof user_code !== 'string' ||
    !USER_CODE.test(user_code) ||
    !ours(verification_uri) ||
    !(lifetime > 0 && lifetime <= MAX_LIFETIME_SECONDS) ||
    !(interval >= 1 && interval <= LONGEST_INTERVAL_SECONDS)
  ) {
    throw new CliError('unavailable', `${url} began the sign-in in a way that cannot be followed`)
  }
  const urlWithCode = ours(verification_uri_complete) ? verification_uri_complete : undefined
  return {
    deviceCode: device_code,
    intervalSeconds: interval,
    prompt: { url: verification_uri, urlWithCode, code: user_code, lifetimeSeconds: lifetime },
  }
}

/** @throws {CliError} unavailable, unless they are what was asked for: bound, and renewable */
export function tokensOf(body: JsonObject, asked: string, url: string): Tokens {
  const { access_token, refresh_token, token_type, expires_in, scope = asked } = body
  const bound = typeof token_type === 'string' && token_type.toLowerCase() === 'dpop'
  if (!isToken(access_token) || !isToken(refresh_token) || typeof scope !== 'string' || !bound) {
    throw new CliError('unavailable', `${url} gave tokens that are not bound to this key`)
  }
  // Without one that counts, the token is renewed at its next use.
  const said = Number(expires_in)
  const lifetimeSeconds = said > 0 ? Math.min(said, MAX_TOKEN_SECONDS) : 0
  return {
    accessToken: access_token,
    refreshToken: refresh_token,
    accessUntil: Math.floor(Date.now() / 1000 + lifetimeSeconds),
    scope,
  }
}

/** RFC 6749 appendix A.12: what can stand in a header. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]+$/.test(value)
}

function refusedAs(error: string, url: string): CliError {
  const again = `run writ login --url ${url} again`
  switch (error) {
    case 'access_denied':
      return new CliError('refused', 'the sign-in was refused in the browser', { hint: again })
    case 'expired_token':
      return new CliError('refused', 'nobody signed in in time', { hint: again })
    case 'slow_down':
      return new CliError('unavailable', `${url} wants to be asked later`, { hint: again })
    case 'invalid_dpop_proof':
      return new CliError('refused', `${url} does not accept this machine's proof`, {
        hint: 'compare the clocks of both machines',
      })
    default: {
      const shown = /^[a-z_ 0-9]{1,60}$/.test(error) ? error : 'an error of its own'
      return new CliError('refused', `${url} refused the sign-in: ${shown}`, { hint: again })
    }
  }
}
