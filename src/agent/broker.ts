/**
 * Asks the broker for tokens, with the key that will hold them: a DPoP proof (RFC 9449 §5), or the
 * certificate of the connection (RFC 8705 §3).
 */
import type { JsonObject } from '../lib/json.ts'
import { raceAbort } from '../lib/race-abort.ts'
import { makeProof, type SenderKey } from '../token/proof.ts'
import { callBroker } from './broker-call.ts'
import { type Caller, formOf, type OnBehalfOf } from './caller.ts'
import type { Fetch } from './fetch.ts'
import { findTokenEndpoint } from './metadata.ts'
import { LatestNonces } from './nonces.ts'
import { refusedToken } from './refused-token.ts'
import type { SpiffeConnections } from './spiffe-connect.ts'
import { credentialUrl, proofUrl } from './url.ts'

export interface TokenRequest {
  readonly caller: Caller
  /** On whose behalf; undefined when the workload acts for itself. */
  readonly subject: OnBehalfOf | undefined
  /** Makes the connection, where it has to prove something. */
  readonly connections: SpiffeConnections | undefined
  /** What is asked for: the parameters besides those that say who asks. */
  readonly asked: Readonly<Record<string, string>>
  /** What the token is for, in words, for errors. */
  readonly purpose: string
  readonly signal: AbortSignal | undefined
}

export interface BrokerAnswer {
  readonly body: JsonObject | undefined
  /** Seconds since the epoch, before the request was sent. */
  readonly askedAt: number
}

export interface BrokerClient {
  /** @throws {WritError}; what `signal` was aborted with, untouched */
  ask(request: TokenRequest): Promise<BrokerAnswer>
}

export interface BrokerClientOptions {
  /** The broker's issuer, exactly as in its metadata. */
  readonly issuer: string
  /** Whether the certificate of the connection alone says who asks. */
  readonly certificateOnly: boolean
  /** How a JWT is presented; token exchange by default. */
  readonly grant: 'token-exchange' | 'jwt-bearer' | undefined
  readonly binding: 'dpop' | 'mtls'
  readonly brokerSpiffeId: string | undefined
  readonly key: SenderKey
  readonly fetch: Fetch
}

/** @throws {WritError} `url_refused` */
export function createBrokerClient(options: BrokerClientOptions): BrokerClient {
  const { issuer, key, fetch, binding, certificateOnly, grant, brokerSpiffeId } = options
  credentialUrl(issuer, 'the broker')
  const nonces = new LatestNonces()
  const mutual = binding === 'mtls' || certificateOnly
  const proven = mutual || brokerSpiffeId !== undefined
  let endpoint: Promise<URL> | undefined

  /** Found once; a failure is not remembered, so a broker that starts late is found later. */
  function tokenEndpoint(): Promise<URL> {
    endpoint ??= findTokenEndpoint(issuer, fetch, { mutual, proven }).catch((error: unknown) => {
      endpoint = undefined
      throw error
    })
    return endpoint
  }

  return {
    async ask({ caller, subject, connections, asked, purpose, signal }) {
      const url = await raceAbort(tokenEndpoint(), signal)
      const form = new URLSearchParams({ ...formOf(caller, subject, grant), ...asked })
      const body = form.toString()

      for (let attempt = 1; ; attempt++) {
        const askedAt = Date.now() / 1000
        const headers: Record<string, string> = {
          accept: 'application/json',
          'content-type': 'application/x-www-form-urlencoded',
        }
        if (binding === 'dpop') {
          const nonce = nonces.of(url)
          headers.dpop = makeProof(key, {
            method: 'POST',
            url: proofUrl(url),
            now: askedAt,
            nonce,
          })
        }
        const init = { method: 'POST', headers, body, signal: signal ?? null }
        const send =
          proven && connections !== undefined
            ? connections.fetchTo({ spiffeId: brokerSpiffeId, mutual })
            : fetch
        const { response, answer } = await callBroker(send, url, init)
        nonces.note(url, response)
        if (response.status === 200) return { body: answer, askedAt }
        // RFC 9449 §8: nothing was issued, and the proof of identity was not used up.
        const wantsNonce = answer?.error === 'use_dpop_nonce' && response.headers.has('dpop-nonce')
        if (attempt > 1 || !wantsNonce) {
          throw refusedToken(response.status, answer, { issuer, purpose })
        }
      }
    },
  }
}
