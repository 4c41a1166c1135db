import type { JsonObject } from '../lib/json.ts'
import { discard, readObject } from './body.ts'
import { withoutSvid } from './caller.ts'
import { WritError } from './error.ts'
import type { Fetch } from './fetch.ts'
import { whoFailed } from './spiffe-connect.ts'

const REQUEST_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 262_144

export interface BrokerResponse {
  readonly response: Response
  /** The body, when it is one JSON object of at most 256 KiB. */
  readonly answer: JsonObject | undefined
}

/**
 * One request to the broker, which has answered, to the end, within 10 seconds. Redirects are refused: they would
 * carry the workload's identity to wherever they point.
 *
 * @throws {WritError} `broker_unreachable`, `broker_unproven`, `identity_unavailable`, `redirect_refused`; what `init.signal` was aborted with
 */
export async function callBroker(
  fetch: Fetch,
  url: URL,
  init: RequestInit,
): Promise<BrokerResponse> {
  const timeout = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  const { signal } = init
  const both = signal ? AbortSignal.any([signal, timeout]) : timeout
  let response: Response
  try {
    response = await fetch(url, { ...init, signal: both, redirect: 'manual' })
  } catch (cause) {
    signal?.throwIfAborted()
    const failed = whoFailed(cause)
    if (failed === 'own') throw withoutSvid(cause)
    if (failed === 'other') {
      throw new WritError(
        'broker_unproven',
        `who answered at ${url.origin} did not prove to be the broker, and was sent nothing; check brokerSpiffeId, and who listens there`,
        { cause },
      )
    }
    throw unreachable(url, cause)
  }
  const { status } = response
  if (status >= 300 && status < 400) {
    await discard(response)
    throw new WritError(
      'redirect_refused',
      `the broker at ${url.origin} answered with a redirect, which is not followed`,
      { status },
    )
  }
  const answer = await readObject(response, MAX_ANSWER_BYTES)
  signal?.throwIfAborted()
  if (timeout.aborted && answer === undefined) throw unreachable(url, timeout.reason)
  return { response, answer }
}

function unreachable(url: URL, cause: unknown): WritError {
  return new WritError(
    'broker_unreachable',
    `the broker at ${url.origin} did not answer; check that it runs and can be reached`,
    { cause },
  )
}

export function misconfigured(issuer: string, what: string): WritError {
  return new WritError('broker_misconfigured', `the broker ${issuer} cannot be used: ${what}`)
}
