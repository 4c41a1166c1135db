/**
 * Sends a request with a token: with a DPoP proof (RFC 9449 §7.1), and once more when the server
 * refused it only for want of a nonce; or as `Bearer`, when the connection proves the rest. Nothing
 * else is ever sent twice: whatever else happened after the body left, the call may have run.
 */
import { makeProof, type SenderKey } from '../token/proof.ts'
import { discard } from './body.ts'
import type { Fetch } from './fetch.ts'
import { asksForNonce, type LatestNonces } from './nonces.ts'
import { proofUrl } from './url.ts'

export interface Presentation {
  readonly url: URL
  readonly init: RequestInit
  readonly method: string
  readonly token: string
  /** `DPoP` by default. */
  readonly scheme?: 'DPoP' | 'Bearer'
  readonly key: SenderKey
  readonly nonces: LatestNonces
  readonly fetch: Fetch
}

/**
 * Redirects are never followed, because they would carry the token and its proof elsewhere; the
 * caller gets the 3xx answer.
 *
 * @throws what `fetch` throws, untouched
 */
export async function presentToken(request: Presentation): Promise<Response> {
  const { url, init, method, token, scheme = 'DPoP', key, nonces } = request
  for (let attempt = 1; ; attempt++) {
    const nonce = nonces.of(url)
    const headers = new Headers(init.headers)
    headers.set('authorization', `${scheme} ${token}`)
    if (scheme === 'DPoP') {
      const now = Date.now() / 1000
      const proof = { method, url: proofUrl(url), now, accessToken: token, nonce }
      headers.set('dpop', makeProof(key, proof))
    }
    const response = await request.fetch(url, { ...init, method, headers, redirect: 'manual' })
    nonces.note(url, response)
    const repeatable = scheme === 'DPoP' && attempt === 1 && isRepeatable(init.body)
    if (!repeatable || !asksForNonce(response)) return response
    await discard(response)
  }
}

/** What is there as a whole; a stream has been consumed by the first attempt. */
function isRepeatable(body: RequestInit['body']): boolean {
  return (
    body === undefined ||
    body === null ||
    typeof body === 'string' ||
    ArrayBuffer.isView(body) ||
    body instanceof URLSearchParams
  )
}
