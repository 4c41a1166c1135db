/**
 * Asks the broker for tokens: RFC 8693 token exchange with a DPoP proof of the key that will hold
 * the token (RFC 9449 §5).
 */
import type { JsonObject } from '../lib/json.ts'
import { makeProof, type SenderKey } from '../token/proof.ts'
import { raceAbort } from './abort.ts'
import { readObject } from './body.ts'
import { callBroker, misconfigured } from './broker-call.ts'
import { WritError } from './error.ts'
import type { Fetch } from './fetch.ts'
import { readGrant } from './grant.ts'
import { findTokenEndpoint } from './metadata.ts'
import { LatestNonces } from './nonces.ts'
import { refusedToken } from './refused-token.ts'
import type { HeldToken } from './token-cache.ts'
import { credentialUrl, proofUrl } from './url.ts'

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
const MAX_ANSWER_BYTES = 262_144
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/

export interface TokenRequest {
  /** The MCP server's resource URI. */
  readonly resource: string
  /** The one `mcp_action`; undefined asks for a session token. */
  readonly detail: JsonObject | undefined
  /** What the token is for, in words, for errors. */
  readonly purpose: string
  readonly signal: AbortSignal | undefined
}

export interface BrokerClient {
  /** @throws {WritError}; what `signal` was aborted with, untouched */
  obtain(request: TokenRequest): Promise<HeldToken>
}

export interface BrokerClientOptions {
  /** The broker's issuer, exactly as in its metadata. */
  readonly issuer: string
  readonly identity: () => string | Promise<string>
  readonly key: SenderKey
  readonly fetch: Fetch
}

/** @throws {WritError} `url_refused` */
export function createBrokerClient(options: BrokerClientOptions): BrokerClient {
  const { issuer, key, fetch } = options
  credentialUrl(issuer, 'the broker')
  const nonces = new LatestNonces()
  let endpoint: Promise<URL> | undefined

  /** Found once; a failure is not remembered, so a broker that starts late is found later. */
  function tokenEndpoint(): Promise<URL> {
    endpoint ??= findTokenEndpoint(issuer, fetch).catch((error: unknown) => {
      endpoint = undefined
      throw error
    })
    return endpoint
  }

  return {
    async obtain({ resource, detail, purpose, signal }) {
      const url = await raceAbort(tokenEndpoint(), signal)
      const form = new URLSearchParams({
        grant_type: TOKEN_EXCHANGE,
        resource,
        subject_token: await readIdentity(options.identity),
        subject_token_type: JWT_TYPE,
      })
      if (detail !== undefined) form.set('authorization_details', JSON.stringify([detail]))
      const body = form.toString()
      signal?.throwIfAborted()

      for (let attempt = 1; ; attempt++) {
        const askedAt = Date.now() / 1000
        const nonce = nonces.of(url)
        const headers = {
          accept: 'application/json',
          'content-type': 'application/x-www-form-urlencoded',
          dpop: makeProof(key, { method: 'POST', url: proofUrl(url), now: askedAt, nonce }),
        }
        const init = { method: 'POST', headers, body, signal: signal ?? null }
        const response = await callBroker(fetch, url, init)
        nonces.note(url, response)
        const answer = await readObject(response, MAX_ANSWER_BYTES)
        signal?.throwIfAborted()
        if (response.status === 200) {
          return readGrant(answer, { asked: detail, askedAt }, (what) =>
            misconfigured(issuer, what),
          )
        }
        // RFC 9449 §8: nothing was issued, and the proof of identity was not used up.
        const wantsNonce = answer?.error === 'use_dpop_nonce' && response.headers.has('dpop-nonce')
        if (attempt > 1 || !wantsNonce) {
          throw refusedToken(response.status, answer, { issuer, purpose })
        }
      }
    },
  }
}

/** @throws {WritError} `identity_unavailable` */
async function readIdentity(identity: () => string | Promise<string>): Promise<string> {
  let text: unknown
  try {
    text = await identity()
  } catch (cause) {
    throw new WritError(
      'identity_unavailable',
      'the identity callback failed, so nobody can vouch for this workload; see the cause',
      { cause },
    )
  }
  // Read from a file, it usually ends in a newline.
  const token = typeof text === 'string' ? text.trim() : ''
  if (JWT.test(token)) return token
  throw new WritError(
    'identity_unavailable',
    'the identity callback did not return a JWT; it should return the text of a JWT-SVID',
  )
}
