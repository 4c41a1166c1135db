/**
 * An issuer's published keys, fetched from the one URL in the configuration.
 *
 * What a stranger can cause is bounded: a token with an unknown `kid` starts at most one fetch per
 * `minRefreshMs`, however many arrive; one fetch is shared by all who wait for it, and is limited in
 * time and size. What an outage can cause is bounded too: known keys serve until they are
 * `maxAgeMs` old, then everything is refused. A key that was taken from the set stops being honoured
 * after a fifth of `maxAgeMs` while the issuer can be reached.
 */
import { isJsonObject, parseJson } from '../lib/json.ts'
import { readBounded } from '../lib/read-bounded.ts'
import { Refusal, refuse } from '../refusal.ts'
import type { Algorithm } from './algorithm.ts'
import type { VerificationKey } from './jws.ts'
import { importAll, type KeySource, type KnownKeys, keySetOf } from './key-set.ts'
import { checkUrl } from './web-url.ts'

export interface RemoteKeySetOptions {
  /** `https:`, or `http:` on a loopback host. */
  readonly url: string
  readonly algorithms: readonly Algorithm[]
  readonly fetch?: typeof fetch
  /** The least time between two fetches; 10 s by default. */
  readonly minRefreshMs?: number
  /** How old the keys may be before everything is refused; 10 min by default. */
  readonly maxAgeMs?: number
  /** How long one fetch may take; 5 s by default. */
  readonly timeoutMs?: number
  /** A clock that never goes back, in milliseconds. */
  readonly clockMs?: () => number
}

export interface RemoteKeySet extends KeySource {
  /**
   * Resolves when the keys have been fetched once.
   *
   * @throws {Refusal} `keys_unavailable` with what went wrong
   */
  ready(): Promise<void>
  /** Stops a fetch under way; every later `find` is refused. */
  close(): void
}

const MAX_SET_BYTES = 256 * 1024

/** @throws {TypeError} when the URL is not acceptable */
export function remoteKeySet(options: RemoteKeySetOptions): RemoteKeySet {
  const url = checkUrl(options.url, 'key set url')
  const fetchKeys = options.fetch ?? fetch
  const clockMs = options.clockMs ?? (() => performance.now())
  const minRefreshMs = options.minRefreshMs ?? 10_000
  const maxAgeMs = options.maxAgeMs ?? 600_000
  const timeoutMs = options.timeoutMs ?? 5_000
  const closing = new AbortController()

  let keys: KnownKeys = new Map()
  let set = keySetOf(keys)
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failed = false
  let underWay: Promise<void> | undefined

  async function load(): Promise<void> {
    triedAt = clockMs()
    try {
      const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)])
      const text = await fetchText(url, fetchKeys, signal)
      const jwks = parseJson(text, { maxBytes: MAX_SET_BYTES })
      if (!isJsonObject(jwks)) throw new Error('expected a JSON object')
      keys = importAll(jwks, options.algorithms, keys)
      set = keySetOf(keys)
      // From before the request: an answer that took long is as old as its question.
      fetchedAt = triedAt
      failed = false
    } catch (cause) {
      failed = true
      throw unavailable(cause)
    }
  }

  function refresh(): Promise<void> {
    underWay ??= load().finally(() => {
      underWay = undefined
    })
    return underWay
  }

  const mayTry = () => underWay !== undefined || clockMs() - triedAt >= minRefreshMs

  async function findAfterRefresh(kid: string | undefined, algorithm: string) {
    await refresh()
    return set.find(kid, algorithm)
  }

  return {
    find(kid, algorithm): VerificationKey | undefined | Promise<VerificationKey | undefined> {
      if (closing.signal.aborted) refuse({ code: 'keys_unavailable', detail: 'closed' })
      const ageMs = clockMs() - fetchedAt
      if (ageMs > maxAgeMs) {
        if (mayTry()) return findAfterRefresh(kid, algorithm)
        const never = fetchedAt === Number.NEGATIVE_INFINITY
        const detail = never
          ? 'the keys could not be fetched yet'
          : 'the keys are too old to be believed'
        refuse({ code: 'keys_unavailable', detail })
      }
      // A failure here changes nothing yet: the keys at hand are still young enough.
      if (ageMs > maxAgeMs / 5 && mayTry()) refresh().catch(() => undefined)
      const key = set.find(kid, algorithm)
      if (key !== undefined) return key
      if (mayTry()) return findAfterRefresh(kid, algorithm)
      if (failed) refuse({ code: 'keys_unavailable', detail: 'the last fetch of the keys failed' })
      return undefined
    },
    async renew() {
      if (closing.signal.aborted) refuse({ code: 'keys_unavailable', detail: 'closed' })
      // A fetch under way was begun before the call.
      await underWay?.catch(() => undefined)
      await refresh()
    },
    async ready() {
      if (closing.signal.aborted) refuse({ code: 'keys_unavailable', detail: 'closed' })
      if (clockMs() - fetchedAt > maxAgeMs) await refresh()
    },
    close() {
      closing.abort()
    },
  }
}

function unavailable(cause: unknown): Refusal {
  const detail = cause instanceof Error ? cause.message : 'the keys could not be fetched'
  return new Refusal({ code: 'keys_unavailable', detail }, { cause })
}

/** The body, read no further than it may be long; a redirect is an error (RFC 8725 §3.10). */
async function fetchText(url: URL, get: typeof fetch, signal: AbortSignal): Promise<Uint8Array> {
  const response = await get(url, {
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
    signal,
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`key set answered ${response.status}`)
  }
  const bytes = await readBounded(response.body, MAX_SET_BYTES)
  if (bytes.byteLength > MAX_SET_BYTES) {
    throw new Error(`key set is larger than ${MAX_SET_BYTES} bytes`)
  }
  return bytes
}
