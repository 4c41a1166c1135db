import { type GuardedFetch, guardedFetch } from '../guarded-fetch.ts'
import {
  type Bundle,
  DEFAULT_REFRESH_HINT_SECONDS,
  MAX_BUNDLE_BYTES,
  parseBundle,
} from './bundle.ts'
import type { BundleFollower, EndpointSource } from './bundle-source.ts'
import { type EndpointPeer, PeerRefused } from './endpoint-peer.ts'
import type { HeldBundle } from './held-bundle.ts'

export interface EndpointOptions {
  /** Set for `https_spiffe`: decides about the endpoint's certificate. */
  readonly peer: EndpointPeer | undefined
  /** How long one fetch may take. */
  readonly timeoutMs: number
  /** The least time between two fetches, whatever the hint; the first wait after a failure. */
  readonly minRefreshMs: number
}

/** However seldom the domain wants to be asked, it is asked this often. */
const MAX_REFRESH_MS = 3600_000
/** Brokers that started together do not ask together for ever. */
const JITTER = 0.1

/**
 * Follows a bundle endpoint (SPIFFE Federation §5.2), asking as often as its bundle says.
 *
 * Redirects are refused: they would let whoever can place one on the configured host choose another
 * (§7.5.1 leaves that to the operator, who can configure the place that serves).
 *
 * A bundle with a lower `spiffe_sequence` is an older one (§4.2), such as a replica that lags
 * behind: believing it would bring back keys that were withdrawn since. It is refused, and counts
 * as a failed fetch. An emptied bundle is obeyed whatever its number. A domain that was set up anew
 * and counts from the start is believed after a restart, which forgets the number.
 *
 * Nothing is written to disk: after a restart a domain is trusted again when its endpoint answers.
 *
 * @param source as `inGroups` has checked it
 * @throws {TypeError} for `allowAddresses` or a `caFile` that cannot be used
 */
export function followEndpoint(
  source: EndpointSource,
  held: HeldBundle,
  options: EndpointOptions,
): BundleFollower {
  const { peer, minRefreshMs } = options
  const url = new URL(source.endpoint.url)
  const fetchText: GuardedFetch = guardedFetch({
    allowAddresses: source.allowAddresses ?? [],
    ...(source.caFile === undefined ? {} : { caFile: source.caFile }),
    ...(peer === undefined ? {} : { verifyPeer: (chain) => peer.verify(chain) }),
    maxBytes: MAX_BUNDLE_BYTES,
    timeoutMs: options.timeoutMs,
  })
  const closing = new AbortController()
  let last: { readonly text: string; readonly bundle: Bundle } | undefined
  let highest: bigint | undefined
  let failures = 0
  let asking: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined

  async function fetchBundle(): Promise<void> {
    const askedAt = held.now()
    const { status, text } = await fetchText(url, {
      headers: { accept: 'application/json' },
      signal: closing.signal,
    })
    if (closing.signal.aborted) return
    if (status !== 200) throw new Error(`${url.host}: it answered ${status}`)
    const bundle = text === last?.text ? last.bundle : readBundle(text)
    last = { text, bundle }
    const problems = [...bundle.problems, ...(peer?.learn(bundle) ?? [])]
    held.install({ ...bundle, problems }, askedAt)
  }

  function readBundle(text: string): Bundle {
    const bundle = parseBundle(text)
    const { sequence } = bundle
    if (sequence === undefined) return bundle
    if (highest !== undefined && sequence < highest) {
      if (isEmpty(bundle)) return bundle
      throw new Error(
        `its spiffe_sequence ${sequence} is older than ${highest}, seen since the start`,
      )
    }
    highest = sequence
    if (sequence !== last?.bundle.sequence) return bundle
    // Trust Domain and Bundle §4.1.1 forbids it; to wait for the number would keep a withdrawn key.
    return { ...bundle, problems: [...bundle.problems, 'it changed without its spiffe_sequence'] }
  }

  async function ask(): Promise<void> {
    try {
      await fetchBundle()
      failures = 0
    } catch (error) {
      if (closing.signal.aborted) return
      failures += 1
      held.lose('the bundle endpoint', reasonOf(error))
    }
  }

  // One question at a time: an answer that took long would be installed over a newer one.
  async function askAlone(): Promise<void> {
    while (asking !== undefined) await asking
    if (closing.signal.aborted) return
    clearTimeout(timer)
    asking = ask().finally(() => {
      asking = undefined
      schedule()
    })
    await asking
  }

  function schedule(): void {
    if (closing.signal.aborted) return
    const hintSeconds = last?.bundle.refreshHintSeconds ?? DEFAULT_REFRESH_HINT_SECONDS
    const delayMs = untilNextMs({ hintSeconds, failures, minRefreshMs, maxAgeMs: held.maxAgeMs })
    timer = setTimeout(() => void askAlone(), delayMs * (1 - JITTER * Math.random()))
    timer.unref()
  }

  return {
    start: askAlone,
    async reload() {
      try {
        await peer?.reload()
      } catch (error) {
        held.report(`the bootstrap bundle cannot be used: ${reasonOf(error)}`)
      }
      await askAlone()
    },
    close() {
      closing.abort()
      clearTimeout(timer)
      void fetchText.close()
    },
  }
}

/**
 * How long to wait before an endpoint is asked again: as long as its bundle says, but no less than
 * the minimum, no more than an hour, and so that it can be asked three times before the bundle is
 * too old. After a failure (Federation §6.2: not in haste) the wait starts at the minimum and
 * doubles until it is the regular one.
 */
export function untilNextMs(at: {
  hintSeconds: number
  /** In a row. */
  failures: number
  minRefreshMs: number
  maxAgeMs: number
}): number {
  const { hintSeconds, failures, minRefreshMs, maxAgeMs } = at
  const longestMs = Math.min(MAX_REFRESH_MS, maxAgeMs / 3)
  const regularMs = Math.max(minRefreshMs, Math.min(hintSeconds * 1000, longestMs))
  return failures === 0 ? regularMs : Math.min(regularMs, minRefreshMs * 2 ** (failures - 1))
}

function isEmpty(bundle: Bundle): boolean {
  return bundle.jwtKeys.length === 0 && bundle.x509Authorities.length === 0
}

/** What the endpoint's certificate was refused for is told; other causes may quote the peer. */
function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof PeerRefused) return cause.message
  }
  return error instanceof Error ? error.message : String(error)
}
