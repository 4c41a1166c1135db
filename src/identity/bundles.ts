import { open } from 'node:fs/promises'
import type { VerificationKey } from '../token/jws.ts'
import { type Bundle, MAX_BUNDLE_BYTES, parseBundle } from './bundle.ts'
import { isTrustDomainName } from './spiffe-id.ts'

export interface BundleSource {
  /** The trust domain's name, as in `corp.example`. */
  readonly trustDomain: string
  /** A SPIFFE bundle document. */
  readonly file: string
}

export interface BundlesOptions {
  /** How often the files are looked at. */
  readonly pollMs?: number
  /** How long the last good bundle serves after its file has become unreadable or invalid. */
  readonly maxStaleMs?: number
  /** Told in words about everything an operator should know; never with a key in it. */
  readonly onProblem?: (problem: BundleProblem) => void
  /** Milliseconds, monotonic; for tests. */
  readonly clock?: () => number
}

export interface BundleProblem {
  readonly trustDomain: string
  readonly detail: string
}

const POLL_MS = 1000
const MAX_STALE_MS = 10 * 60_000

/** One trust domain: its file, and the bundle that was last read from it. */
interface Held {
  readonly source: BundleSource
  bundle: Bundle
  version: number
  /** What the file looked like when it was last read; undefined asks for another look. */
  fingerprint: string | undefined
  /** Since when (monotonic) the file could not be used. */
  brokenSince: number | undefined
  lastProblem: string | undefined
}

/**
 * Opens one bundle file per trust domain and follows them.
 *
 * @throws {Error} naming the file when one cannot be read or is no bundle: a broker does not start
 *   on trust material it cannot read. {TypeError} for a trust domain without a proper name, or twice
 */
export async function openBundles(
  sources: readonly BundleSource[],
  options: BundlesOptions = {},
): Promise<Bundles> {
  const held = new Map<string, Held>()
  for (const source of sources) {
    const { trustDomain } = source
    if (!isTrustDomainName(trustDomain)) throw new TypeError(`"${trustDomain}" is no trust domain`)
    if (held.has(trustDomain)) throw new TypeError(`trust domain ${trustDomain} is listed twice`)
    const empty = { sequence: undefined, refreshHintSeconds: 0, jwtKeys: [], problems: [] }
    held.set(trustDomain, {
      source,
      bundle: empty,
      version: 0,
      fingerprint: undefined,
      brokenSince: undefined,
      lastProblem: undefined,
    })
  }
  return await Bundles.open(held, options)
}

/**
 * The trust bundles, one per trust domain and never pooled: a key is only ever found under the
 * name of the domain that published it, so one domain cannot vouch for another.
 *
 * A file may be replaced at any time. What is well-formed takes effect at the next look, an emptied
 * bundle included (it distrusts its domain at once). What is not well-formed, such as a file caught
 * half-written, leaves the last good bundle serving for a bounded time, and then distrusts too.
 */
export class Bundles {
  readonly #held: ReadonlyMap<string, Held>
  readonly #maxStaleMs: number
  readonly #clock: () => number
  readonly #onProblem: (problem: BundleProblem) => void
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #closed = false

  /** Use `openBundles`. */
  static async open(held: ReadonlyMap<string, Held>, options: BundlesOptions): Promise<Bundles> {
    const bundles = new Bundles(held, options)
    for (const entry of held.values()) await bundles.#read(entry, { first: true })
    bundles.#schedule(options.pollMs ?? POLL_MS)
    return bundles
  }

  private constructor(held: ReadonlyMap<string, Held>, options: BundlesOptions) {
    this.#held = held
    this.#maxStaleMs = options.maxStaleMs ?? MAX_STALE_MS
    this.#clock = options.clock ?? (() => performance.now())
    this.#onProblem = options.onProblem ?? (() => {})
  }

  knows(trustDomain: string): boolean {
    return this.#held.has(trustDomain)
  }

  /** The names of all trust domains. */
  trustDomains(): readonly string[] {
    return [...this.#held.keys()]
  }

  /** Grows whenever the keys of this trust domain may have changed; 0 for an unknown one. */
  version(trustDomain: string): number {
    return this.#current(trustDomain)?.version ?? 0
  }

  /** How many keys of this trust domain can vouch for a JWT-SVID right now. */
  usableKeys(trustDomain: string): number {
    return this.#current(trustDomain)?.bundle.jwtKeys.length ?? 0
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
    const keys = this.#current(trustDomain)?.bundle.jwtKeys ?? []
    if (kid !== undefined) return keys.find((key) => key.kid === kid)?.byAlgorithm.get(algorithm)
    const fitting = keys.filter((key) => key.byAlgorithm.has(algorithm))
    return fitting.length === 1 ? fitting[0]?.byAlgorithm.get(algorithm) : undefined
  }

  /** Looks at every file now, changed or not. Problems go to `onProblem`; this does not reject. */
  async reload(): Promise<void> {
    for (const held of this.#held.values()) held.fingerprint = undefined
    await this.#look()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #current(trustDomain: string): Held | undefined {
    const held = this.#held.get(trustDomain)
    if (held !== undefined) this.#enforceAge(held)
    return held
  }

  // Checked on every use and not by the timer alone: a late timer must not prolong trust.
  #enforceAge(held: Held): void {
    if (held.brokenSince === undefined || held.bundle.jwtKeys.length === 0) return
    const staleMs = this.#clock() - held.brokenSince
    if (staleMs <= this.#maxStaleMs) return
    this.#install(held, { ...held.bundle, jwtKeys: [] })
    this.#report(held, 'the last good bundle is too old now, nothing of this domain is accepted')
  }

  #schedule(pollMs: number): void {
    this.#timer = setTimeout(async () => {
      await this.#look()
      if (!this.#closed) this.#schedule(pollMs)
    }, pollMs)
    this.#timer.unref()
  }

  // One look at a time: two overlapping ones could install an older text over a newer one.
  async #look(): Promise<void> {
    while (this.#looking !== undefined) await this.#looking
    this.#looking = (async () => {
      for (const held of this.#held.values()) await this.#read(held, { first: false })
    })()
    try {
      await this.#looking
    } finally {
      this.#looking = undefined
    }
  }

  async #read(held: Held, { first }: { first: boolean }): Promise<void> {
    try {
      const found = await readIfChanged(held.source.file, held.fingerprint)
      if (found !== undefined) {
        this.#install(held, parseBundle(found.text), found.fingerprint)
        held.brokenSince = undefined
        this.#reportBundle(held)
      }
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      if (first) {
        throw new Error(`bundle of ${held.source.trustDomain}, ${held.source.file}: ${detail}`)
      }
      held.fingerprint = undefined
      held.brokenSince ??= this.#clock()
      this.#report(
        held,
        `${held.source.file} cannot be used, the last good bundle serves on: ${detail}`,
      )
      this.#enforceAge(held)
    }
  }

  #install(held: Held, bundle: Bundle, fingerprint?: string): void {
    const before = held.bundle.sequence
    held.bundle = bundle
    held.fingerprint = fingerprint
    held.version += 1
    if (before !== undefined && bundle.sequence !== undefined && bundle.sequence < before) {
      this.#report(held, `spiffe_sequence went back from ${before} to ${bundle.sequence}`)
    }
  }

  #reportBundle(held: Held): void {
    const problems = [...held.bundle.problems]
    if (held.bundle.jwtKeys.length === 0) {
      problems.push('the bundle holds no usable JWT-SVID key, nothing of this domain is accepted')
    }
    if (problems.length === 0) held.lastProblem = undefined
    else this.#report(held, problems.join('; '))
  }

  // The same trouble at every look is one line in the operator's log, not one a second.
  #report(held: Held, detail: string): void {
    if (held.lastProblem === detail) return
    held.lastProblem = detail
    this.#onProblem({ trustDomain: held.source.trustDomain, detail })
  }
}

/** The file's text when its fingerprint is not `known` any more. */
async function readIfChanged(
  file: string,
  known: string | undefined,
): Promise<{ text: string; fingerprint: string } | undefined> {
  const handle = await open(file, 'r')
  try {
    // The opened file is asked, not its name, so a rename between the two cannot mix two files.
    const stat = await handle.stat({ bigint: true })
    const fingerprint = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`
    if (fingerprint === known) return undefined
    if (stat.size > BigInt(MAX_BUNDLE_BYTES)) throw new Error('it is too large for a bundle')
    const bytes = await handle.readFile()
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { text, fingerprint }
  } finally {
    await handle.close()
  }
}
