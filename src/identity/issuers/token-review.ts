/** Asks a Kubernetes API server whether a token still counts (authentication.k8s.io/v1 TokenReview). */
import { readFile } from 'node:fs/promises'
import { BoundedMap } from '../../lib/bounded-map.ts'
import { isJsonObject, type JsonObject, parseJson } from '../../lib/json.ts'
import { refuse } from '../../refusal.ts'
import type { Lookup } from '../checked-lookup.ts'
import { type GuardedAnswer, guardedFetch } from '../guarded-fetch.ts'
import { refuseToken } from './issued-token.ts'

export interface TokenReviewOptions {
  readonly alias: string
  /** The API server, such as `https://kubernetes.default.svc`. */
  readonly url: string
  /** Holds the broker's own token; read at every question, since the cluster replaces it. */
  readonly tokenFile: string
  readonly audience: string
  readonly allowAddresses?: readonly string[]
  readonly ca?: string
  readonly caFile?: string
  readonly timeoutMs?: number
  /** How long a yes is good for; 3 s by default. A no is never kept. */
  readonly keepMs?: number
  /** Milliseconds, monotonic; for tests. */
  readonly clockMs?: () => number
  readonly lookup?: Lookup
}

export interface ReviewedToken {
  readonly text: string
  /** What the verified token says; the cluster must say the same. */
  readonly username: string
  readonly credential: string
}

export interface TokenReview {
  /**
   * @throws {Refusal} `identity_invalid`, check `active`; `trust_unavailable` when the cluster does
   *   not answer; as rejections
   */
  confirm(token: ReviewedToken): void | Promise<void>
  close(): Promise<void>
}

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
const KIND = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' }
const KEEP_MS = 3000
const MAX_KEPT = 10_000
/** Only tokens with a good signature come here; still, a workload must not queue without end. */
const MAX_UNDER_WAY = 256
const MAX_ANSWER_BYTES = 64 * 1024
/** What may stand in an `Authorization: Bearer` header (RFC 6750 §2.1). */
const BEARER = /^[A-Za-z0-9\-._~+/]+=*$/

/** @throws {TypeError} when the URL is not https, or an address or CA file is wrong */
export function createTokenReview(options: TokenReviewOptions): TokenReview {
  const { alias, audience, tokenFile } = options
  const clockMs = options.clockMs ?? (() => performance.now())
  const keepMs = options.keepMs ?? KEEP_MS
  const url = new URL(options.url.replace(/\/$/, '') + PATH)
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') {
    throw new TypeError(`${alias}: the URL for token reviews must be https`)
  }
  const get = guardedFetch({ ...options, maxBytes: MAX_ANSWER_BYTES, keepAlive: true })
  const good = new BoundedMap<string, number>(MAX_KEPT)
  const underWay = new Map<string, Promise<void>>()

  async function ask({ text, username, credential }: ReviewedToken): Promise<void> {
    const askedAt = clockMs()
    const answer = await post(text)
    const { status } = answer
    if (status !== 200 && status !== 201) unavailable(`the API server answered ${status}`)
    if (!isActive(statusOf(answer), username)) refuseToken('active')
    // From before the question: what the cluster said is as old as that.
    good.set(credential, askedAt + keepMs)
  }

  async function post(token: string): Promise<GuardedAnswer> {
    let bearer: string
    try {
      bearer = (await readFile(tokenFile, 'utf8')).trim()
    } catch (cause) {
      return unavailable('the token to ask with cannot be read', cause)
    }
    if (!BEARER.test(bearer)) unavailable('the token to ask with is no token')
    try {
      return await get(url, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${bearer}`,
          'content-type': 'application/json',
          accept: 'application/json',
        },
        body: JSON.stringify({ ...KIND, spec: { token, audiences: [audience] } }),
      })
    } catch (cause) {
      return unavailable(cause instanceof Error ? cause.message : 'no answer', cause)
    }
  }

  function statusOf({ text }: GuardedAnswer): JsonObject {
    try {
      const review = parseJson(text)
      if (isJsonObject(review) && review.kind === KIND.kind && isJsonObject(review.status)) {
        return review.status
      }
    } catch (cause) {
      return unavailable('the API server did not answer with JSON', cause)
    }
    return unavailable('the API server did not answer with a TokenReview')
  }

  /** An API server that knows nothing of audiences names none, and has then checked another one. */
  function isActive({ authenticated, user, audiences }: JsonObject, username: string): boolean {
    if (authenticated !== true || !isJsonObject(user) || user.username !== username) return false
    return Array.isArray(audiences) && audiences.includes(audience)
  }

  function unavailable(detail: string, cause?: unknown): never {
    return refuse(
      { code: 'trust_unavailable', detail: `token review of ${alias}: ${detail}` },
      cause,
    )
  }

  return {
    confirm(token) {
      const { credential } = token
      const until = good.get(credential)
      if (until !== undefined && clockMs() < until) return undefined
      let answer = underWay.get(credential)
      if (answer === undefined) {
        if (underWay.size >= MAX_UNDER_WAY) unavailable('too many questions are open')
        answer = ask(token).finally(() => underWay.delete(credential))
        underWay.set(credential, answer)
      }
      return answer
    },
    close: () => get.close(),
  }
}
