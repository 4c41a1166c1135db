import type { VerificationKey } from '../../token/jws.ts'
import type { Certificate } from '../x509/certificate.ts'
import { followEndpoint } from './bundle-endpoint.ts'
import { followFile } from './bundle-file.ts'
import { inGroups } from './bundle-order.ts'
import type { BundleFollower, BundleSource, EndpointSource } from './bundle-source.ts'
import { followStream } from './bundle-stream.ts'
import { type EndpointPeer, foreignPeer, selfServingPeer } from './endpoint-peer.ts'
import { type BundleHealth, type BundleProblem, HeldBundle } from './held-bundle.ts'

export type {
  BundleEndpoint,
  BundleSource,
  BundleStream,
  EndpointSource,
  FileSource,
  StreamedBundle,
  StreamSource,
} from './bundle-source.ts'
export type { BundleHealth, BundleProblem } from './held-bundle.ts'

export interface BundlesOptions {
  /** How often files are looked at; a second by default. */
  readonly pollMs?: number
  /** How long the last good bundle serves after its file has become unreadable; 10 min by default. */
  readonly maxStaleMs?: number
  /** How long one fetch, or the first word of a stream, may take; 5 s by default. */
  readonly timeoutMs?: number
  /** The least time between two fetches from one endpoint; 5 s by default. */
  readonly minRefreshMs?: number
  /** Told in words about everything an operator should know; never with a key in it. */
  readonly onProblem?: (problem: BundleProblem) => void
  /** Milliseconds, monotonic; for tests. */
  readonly clock?: () => number
}

const POLL_MS = 1000
const MAX_STALE_MS = 10 * 60_000
const TIMEOUT_MS = 5000
const MIN_REFRESH_MS = 5000
const MAX_AGE_SECONDS = 3600

/**
 * Opens one bundle per trust domain, from a file, an endpoint or a stream, and follows it.
 *
 * An endpoint or stream that does not answer stops nobody from starting: its domain is trusted with
 * nothing until it does, and `onProblem` is told.
 *
 * @throws {Error} naming the file when one of the operator's cannot be read or is no bundle: a
 *   broker does not start on trust material it cannot read. {TypeError} for a trust domain without
 *   a proper name or listed twice, and for an endpoint that could never be fetched safely
 */
export async function openBundles(
  sources: readonly BundleSource[],
  options: BundlesOptions = {},
): Promise<Bundles> {
  const settings = settingsOf(options)
  const groups = inGroups(sources)
  const followers: BundleFollower[] = []
  const held = new Map(
    sources.map((source) => [source.trustDomain, heldOf(source, settings)] as const),
  )
  const bundles = new Bundles(held, followers)
  try {
    for (const group of groups) {
      const opened = await Promise.all(
        group.map((source) => {
          return follow(source, { held: held.get(source.trustDomain)!, bundles, settings })
        }),
      )
      followers.push(...opened)
      await Promise.all(opened.map((follower) => follower.start()))
    }
    return bundles
  } catch (error) {
    bundles.close()
    throw error
  }
}

/**
 * The trust bundles, one per trust domain and never pooled: a key or an authority is only ever found
 * under the name of the domain that published it, so one domain cannot vouch for another.
 */
export class Bundles {
  readonly #held: ReadonlyMap<string, HeldBundle>
  readonly #followers: readonly BundleFollower[]

  /** Use `openBundles`. */
  constructor(held: ReadonlyMap<string, HeldBundle>, followers: readonly BundleFollower[]) {
    this.#held = held
    this.#followers = followers
  }

  knows(trustDomain: string): boolean {
    return this.#held.has(trustDomain)
  }

  /** The names of all trust domains. */
  trustDomains(): readonly string[] {
    return [...this.#held.keys()]
  }

  /** Grows whenever what this trust domain vouches with may have changed; 0 for an unknown one. */
  version(trustDomain: string): number {
    return this.#held.get(trustDomain)?.version ?? 0
  }

  /** How many keys and authorities of this trust domain can vouch for an SVID right now. */
  usableKeys(trustDomain: string): number {
    const held = this.#held.get(trustDomain)
    return held === undefined ? 0 : held.jwtKeys.length + held.x509Authorities.length
  }

  /**
   * The one key of this trust domain's bundle that is called `kid` and fits `algorithm`. An SVID
   * may leave `kid` out (JWT-SVID §2.2); then the bundle must leave no choice.
   */
  jwtKey(
    trustDomain: string,
    kid: string | undefined,
    algorithm: string,
  ): VerificationKey | undefined {
    const keys = this.#held.get(trustDomain)?.jwtKeys ?? []
    if (kid !== undefined) return keys.find((key) => key.kid === kid)?.byAlgorithm.get(algorithm)
    const fitting = keys.filter((key) => key.byAlgorithm.has(algorithm))
    return fitting.length === 1 ? fitting[0]?.byAlgorithm.get(algorithm) : undefined
  }

  /** The certificates in which a path of an X509-SVID of this trust domain may end. */
  x509Authorities(trustDomain: string): readonly Certificate[] {
    return this.#held.get(trustDomain)?.x509Authorities ?? []
  }

  /** How each trust domain stands, for readiness and operators. */
  health(): readonly BundleHealth[] {
    return [...this.#held.values()].map((held) => held.health())
  }

  /**
   * Asks every source now, changed or not, and reads bootstrap bundles again. Problems go to
   * `onProblem`; this does not reject.
   */
  async reload(): Promise<void> {
    await Promise.all(this.#followers.map((follower) => follower.reload()))
  }

  close(): void {
    for (const follower of this.#followers) follower.close()
  }
}

type Settings = Required<BundlesOptions>

// By name: an option given as undefined is one that was not given.
function settingsOf(options: BundlesOptions): Settings {
  return {
    pollMs: options.pollMs ?? POLL_MS,
    maxStaleMs: options.maxStaleMs ?? MAX_STALE_MS,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    minRefreshMs: options.minRefreshMs ?? MIN_REFRESH_MS,
    onProblem: options.onProblem ?? (() => {}),
    clock: options.clock ?? (() => performance.now()),
  }
}

function heldOf(source: BundleSource, settings: Settings): HeldBundle {
  const maxAgeMs =
    'file' in source ? settings.maxStaleMs : (source.maxAgeSeconds ?? MAX_AGE_SECONDS) * 1000
  return new HeldBundle({
    trustDomain: source.trustDomain,
    source: 'file' in source ? 'file' : 'stream' in source ? 'stream' : source.endpoint.profile,
    maxAgeMs,
    clock: settings.clock,
    onProblem: settings.onProblem,
  })
}

async function follow(
  source: BundleSource,
  context: { held: HeldBundle; bundles: Bundles; settings: Settings },
): Promise<BundleFollower> {
  const { held, bundles, settings } = context
  if ('file' in source) return followFile(source, held, settings.pollMs)
  if ('stream' in source) return followStream(source, held, settings.timeoutMs)
  return followEndpoint(source, held, { ...settings, peer: await peerOf(source, bundles) })
}

async function peerOf(source: EndpointSource, bundles: Bundles): Promise<EndpointPeer | undefined> {
  const { endpoint, trustDomain } = source
  if (endpoint.profile === 'https_web') return undefined
  if (endpoint.bootstrapFile === undefined) return foreignPeer(endpoint.spiffeId, bundles)
  try {
    return await selfServingPeer(endpoint.spiffeId, endpoint.bootstrapFile)
  } catch (error) {
    throw new Error(`bootstrap bundle of ${trustDomain}, ${(error as Error).message}`)
  }
}
