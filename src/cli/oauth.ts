/** The authorization server of the admin listener, as a command line uses it (RFC 8414, 8628, 9449). */
import { hostname } from 'node:os'
import { isJsonObject, type JsonObject, parseJson } from '../lib/json.ts'
import { makeProof, type SenderKey } from '../token/proof.ts'
import { checkUrl } from '../token/web-url.ts'
import { CliError } from './answer.ts'
import { type HttpAnswer, send } from './http.ts'
import { printable } from './text.ts'

export const CLI_CLIENT = 'writ-cli'
export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

export interface Endpoints {
  readonly token: string
  readonly deviceAuthorization: string
  readonly revocation: string | undefined
}

/** An answer of the authorization server, with its error code when it said no. */
export interface OauthAnswer {
  readonly body: JsonObject
  /** RFC 6749 §5.2, RFC 8628 §3.5; undefined for a success. */
  readonly error: string | undefined
  readonly retryAfterSeconds: number | undefined
}

/** The server, or a proxy before it, has trouble of its own: the same may be answered later. */
export class HasTrouble extends CliError {
  readonly retryAfterSeconds: number | undefined

  constructor(url: string, status: number, retryAfterSeconds: number | undefined) {
    super('unavailable', `${new URL(url).origin} answered ${status}`)
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** @throws {CliError} usage, unless it is an origin that tokens may be sent to */
export function parseAdminUrl(text: string): string {
  try {
    const url = checkUrl(text, 'the URL')
    if (url.pathname === '/' && url.search === '' && url.hash === '') return url.origin
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
  }
  throw new CliError('usage', `"${printable(text)}" is not where a broker's admin side is`, {
    hint: 'name it as in https://writ.example, or http://localhost:4472 on this machine; no path',
  })
}

/**
 * Asks where the endpoints are. All must be where the metadata is: what is sent there are credentials.
 *
 * @throws {CliError} unavailable
 */
export async function discover(url: string): Promise<Endpoints> {
  const answer = await send({
    url: `${url}/.well-known/oauth-authorization-server`,
    method: 'GET',
    headers: { accept: 'application/json' },
  })
  const metadata = answer.status === 200 ? await readObject(answer) : undefined
  if (metadata === undefined) throw notHere(url, `it answered ${answer.status}`)
  const endpoint = (name: string) => {
    const value = metadata[name]
    return typeof value === 'string' && value.startsWith(`${url}/`) ? value : undefined
  }
  const token = endpoint('token_endpoint')
  const deviceAuthorization = endpoint('device_authorization_endpoint')
  if (metadata.issuer !== url) throw notHere(url, 'it calls itself by another name')
  if (token === undefined || deviceAuthorization === undefined) {
    throw notHere(url, 'it has no sign-in for a command line')
  }
  return { token, deviceAuthorization, revocation: endpoint('revocation_endpoint') }
}

function notHere(url: string, why: string): CliError {
  return new CliError('unavailable', `${url} is no admin side of a broker: ${why}`, {
    hint: 'give the URL of the configuration’s admin.url, as people open it in a browser',
  })
}

/**
 * Sends a form with a proof of the key, again with the nonce when one is asked for (RFC 9449 §8).
 *
 * @throws {NobodyAnswers}; {HasTrouble}; {CliError} unavailable
 */
export async function post(
  url: string,
  form: Readonly<Record<string, string>>,
  key: SenderKey,
  nonce?: string,
): Promise<OauthAnswer> {
  const proof = makeProof(key, { method: 'POST', url, now: Date.now() / 1000, nonce })
  const answer = await send({
    url,
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      'user-agent': userAgent(),
      dpop: proof,
    },
    body: new URLSearchParams(form).toString(),
  })
  const body = await readObject(answer)
  const demanded = answer.header('dpop-nonce')
  const error = answer.status === 200 ? undefined : String(body?.error ?? `status ${answer.status}`)
  if (error === 'use_dpop_nonce' && demanded !== undefined && nonce === undefined) {
    return post(url, form, key, demanded)
  }
  const retryAfter = Number(answer.header('retry-after'))
  const retryAfterSeconds = retryAfter > 0 ? retryAfter : undefined
  if (answer.status >= 500) throw new HasTrouble(url, answer.status, retryAfterSeconds)
  if (body === undefined) {
    throw new CliError('unavailable', `${new URL(url).origin} answered ${answer.status}`)
  }
  return { body, error, retryAfterSeconds }
}

/** Undefined for anything but a JSON object; an empty body counts as an empty one. */
async function readObject(answer: HttpAnswer): Promise<JsonObject | undefined> {
  const text = await answer.text()
  if (text === '') return {}
  try {
    const json = parseJson(text)
    return isJsonObject(json) ? json : undefined
  } catch {
    return undefined
  }
}

/** What the page shows of who asks: this program, this machine. */
function userAgent(): string {
  return `writ on ${hostname()}`.replace(/[^\x20-\x7e]/g, '?').slice(0, 100)
}
