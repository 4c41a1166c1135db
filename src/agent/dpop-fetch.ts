/**
 * DPoP for an MCP SDK's own OAuth (RFC 9449): the SDK signs in, registers and refreshes as it always
 * does, and believes that it holds Bearer tokens; this layer binds them to a key on the way.
 */
import { createHash } from 'node:crypto'
import { BoundedMap } from '../lib/bounded-map.ts'
import { isJsonObject, type JsonObject } from '../lib/json.ts'
import { generateSenderKey, makeProof, type SenderKey } from '../token/proof.ts'
import { BODY_TIMEOUT_MS, parseObject, readText } from './body.ts'
import { WritError } from './error.ts'
import { type Fetch, globalFetch } from './fetch.ts'
import { LatestNonces } from './nonces.ts'
import { presentToken } from './present.ts'
import { credentialUrl, proofUrl } from './url.ts'

export interface DpopFetchOptions {
  /**
   * The key that tokens are bound to; one is made in memory when not given. Give one when the SDK's
   * tokens outlive the process.
   */
  readonly key?: SenderKey
  /** Sends the requests; the global `fetch` by default. */
  readonly fetch?: Fetch
  /** Lets tokens through that the authorization server did not bind; refused by default. */
  readonly allowBearer?: boolean
}

const MAX_TOKENS = 1_000
const MAX_ANSWER_BYTES = 262_144

/**
 * Give it to a transport as its `fetch` option, with an auth provider.
 *
 * Token requests (a POST of a form with a `grant_type`) get a proof; requests with a token that is
 * bound to this key get the `DPoP` scheme and a proof instead of `Bearer`; all other requests pass.
 * Each is sent once more when the server asked for a nonce, and for no other reason.
 *
 * @throws {WritError} from its fetch: `token_unbound`, `url_refused`
 */
export function createDpopFetch(options: DpopFetchOptions = {}): Fetch {
  const key = options.key ?? generateSenderKey()
  const send = options.fetch ?? globalFetch
  const tokenNonces = new LatestNonces()
  const resourceNonces = new LatestNonces()
  const bound = new BoundedMap<string, true>(MAX_TOKENS)

  async function requestToken(url: URL, init: RequestInit, form: string): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const nonce = tokenNonces.of(url)
      const headers = new Headers(init.headers)
      if (!headers.has('content-type')) headers.set('content-type', FORM)
      headers.set(
        'dpop',
        makeProof(key, { method: 'POST', url: proofUrl(url), now: Date.now() / 1000, nonce }),
      )
      // A redirect would carry the client's credentials away; the SDK gets the 3xx and says so.
      const response = await send(url, { ...init, headers, body: form, redirect: 'manual' })
      tokenNonces.note(url, response)
      const text = await readText(response, MAX_ANSWER_BYTES, BODY_TIMEOUT_MS)
      const answer = text === undefined ? undefined : parseObject(text)
      const asksForNonce =
        !response.ok && answer?.error === 'use_dpop_nonce' && response.headers.has('dpop-nonce')
      if (attempt === 1 && asksForNonce) continue
      if (response.ok) learn(url, answer)
      return copyOf(response, text ?? '')
    }
  }

  function learn(url: URL, answer: JsonObject | undefined): void {
    const { access_token: token, token_type: type } = answer ?? {}
    if (typeof token === 'string' && typeof type === 'string' && type.toLowerCase() === 'dpop') {
      bound.set(hashOf(token), true)
    } else if (options.allowBearer !== true) {
      // RFC 9449 §5: a token that is not bound after all is not what was asked for. Nor is an answer
      // that only a more forgiving reader, as the SDK's, could take for a token.
      throw new WritError(
        'token_unbound',
        `the authorization server at ${url.origin} issued no token that is bound to a key; use allowBearer: true to accept it`,
      )
    }
  }

  return async (input, init = {}) => {
    const form = tokenForm(init)
    if (form !== undefined) {
      return await requestToken(credentialUrl(input, 'the token endpoint'), init, form)
    }
    const token = bearerToken(init)
    if (token === undefined) return await send(input, init)
    if (!bound.get(hashOf(token)) && !namesKey(token, key.jkt)) return await send(input, init)
    const url = credentialUrl(input, 'the MCP server')
    const method = (init.method ?? 'GET').toUpperCase()
    return await presentToken({
      url,
      init,
      method,
      token,
      key,
      nonces: resourceNonces,
      fetch: send,
    })
  }
}

const FORM = 'application/x-www-form-urlencoded'

/** The form of a token request, as text; undefined for every other request. */
function tokenForm({ method, body, headers }: RequestInit): string | undefined {
  if (method?.toUpperCase() !== 'POST') return undefined
  const isForm =
    body instanceof URLSearchParams ||
    (typeof body === 'string' &&
      new Headers(headers).get('content-type')?.split(';')[0]?.trim().toLowerCase() === FORM)
  if (!isForm) return undefined
  const text = String(body)
  return new URLSearchParams(text).has('grant_type') ? text : undefined
}

function bearerToken({ headers }: RequestInit): string | undefined {
  return /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(
    new Headers(headers).get('authorization') ?? '',
  )?.[1]
}

/**
 * Reads without verifying whether a JWT names this key, which is how a token from an earlier run is
 * recognised. Nothing depends on it but the scheme: the server checks the binding.
 */
function namesKey(token: string, jkt: string): boolean {
  const payload = token.split('.')[1]
  if (payload === undefined) return false
  const confirmation = parseObject(Buffer.from(payload, 'base64url').toString('utf8'))?.cnf
  return confirmation !== undefined && isJsonObject(confirmation) && confirmation.jkt === jkt
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url')
}

/** The answer again, for the SDK to read: its body has been read once. */
function copyOf(response: Response, text: string): Response {
  const { status, statusText } = response
  const headers = new Headers(response.headers)
  // The text is already decoded, and its length may have changed with that.
  headers.delete('content-encoding')
  headers.delete('content-length')
  const empty = status === 204 || status === 205 || status === 304
  return new Response(empty ? null : text, { status, statusText, headers })
}
