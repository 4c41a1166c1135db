import type { Certificate } from '../x509/certificate.ts'
import type { Bundle, BundleKey } from './bundle.ts'

/** What a bundle vouches for: JWT-SVIDs by keys, X509-SVIDs by authorities. */
export type SvidKind = 'jwt' | 'x509'

export const SVID_KINDS: readonly SvidKind[] = ['jwt', 'x509']

/** What a source hands over; a kind that is not there is left as it was. */
export type BundleParts = Partial<Omit<Bundle, 'refreshHintSeconds'>>

/** How one trust domain stands, for readiness and for an operator; nothing in it is secret. */
export interface BundleHealth {
  readonly trustDomain: string
  readonly source: BundleSourceKind
  /**
   * For how long the source has not confirmed what is held: since the last good fetch of an
   * endpoint, since a file or a stream was lost, 0 while they are there. Undefined: never had one.
   */
  readonly ageSeconds: number | undefined
  readonly sequence: bigint | undefined
  readonly jwtKeys: number
  readonly x509Authorities: number
  /** What was last said to `onProblem` and has not been mended since. */
  readonly problem: string | undefined
}

export type BundleSourceKind = 'file' | 'https_web' | 'https_spiffe' | 'stream'

export interface HeldBundleOptions {
  readonly trustDomain: string
  readonly source: BundleSourceKind
  /** How long keys serve that their source does not confirm any more. */
  readonly maxAgeMs: number
  /** Milliseconds, monotonic. */
  readonly clock: () => number
  readonly onProblem: (problem: BundleProblem) => void
}

export interface BundleProblem {
  readonly trustDomain: string
  readonly detail: string
}

const ACCEPTED = {
  jwt: { keys: 'usable JWT-SVID key', svids: 'JWT-SVID' },
  x509: { keys: 'usable X.509 authority', svids: 'X509-SVID' },
} as const

/**
 * The bundle of one trust domain as it is believed at this moment: what its source said last, for
 * as long as that may be believed.
 *
 * A source installs what it has read and reports what went wrong; how long the last good keys serve
 * on is decided here, on every use, and not by a timer: a late timer must not prolong trust.
 */
export class HeldBundle {
  readonly trustDomain: string
  readonly source: BundleSourceKind
  readonly #options: HeldBundleOptions
  #jwtKeys: readonly BundleKey[] = []
  #x509Authorities: readonly Certificate[] = []
  #sequence: bigint | undefined
  #version = 0
  /** Since when (monotonic) the source does not confirm a kind any more. */
  readonly #unconfirmedSince: Record<SvidKind, number | undefined> = {
    jwt: undefined,
    x509: undefined,
  }
  readonly #had: Record<SvidKind, boolean> = { jwt: false, x509: false }
  #problem: string | undefined

  constructor(options: HeldBundleOptions) {
    this.trustDomain = options.trustDomain
    this.source = options.source
    this.#options = options
  }

  /** Grows whenever the keys may have changed. */
  get version(): number {
    this.#enforceAge()
    return this.#version
  }

  get jwtKeys(): readonly BundleKey[] {
    this.#enforceAge()
    return this.#jwtKeys
  }

  get x509Authorities(): readonly Certificate[] {
    this.#enforceAge()
    return this.#x509Authorities
  }

  get maxAgeMs(): number {
    return this.#options.maxAgeMs
  }

  /** By the clock that ages are told by. */
  now(): number {
    return this.#options.clock()
  }

  /** Of the last bundle that was installed. */
  get sequence(): bigint | undefined {
    return this.#sequence
  }

  /**
   * Believes from now on what the source said, an emptied bundle included: it distrusts its domain
   * at once.
   *
   * @param askedAt when an endpoint was asked for it (monotonic ms): what it said is as old as the
   *   question. Left out for a source that says at once when it changes
   */
  install(parts: BundleParts, askedAt?: number): void {
    const problems = [...(parts.problems ?? [])]
    if ('sequence' in parts) this.#sequence = parts.sequence
    if (parts.jwtKeys !== undefined) {
      if (parts.jwtKeys !== this.#jwtKeys) this.#version += 1
      this.#jwtKeys = parts.jwtKeys
      this.#confirm('jwt', askedAt)
    }
    if (parts.x509Authorities !== undefined) {
      if (parts.x509Authorities !== this.#x509Authorities) this.#version += 1
      this.#x509Authorities = parts.x509Authorities
      this.#confirm('x509', askedAt)
    }
    problems.push(...this.#emptiness())
    if (problems.length === 0) this.#problem = undefined
    else this.report(problems.join('; '))
  }

  /** Notes that the source cannot be used now: the last good keys serve on, for a bounded time. */
  lose(what: string, why: string, kinds: readonly SvidKind[] = SVID_KINDS): void {
    for (const kind of kinds) this.#unconfirmedSince[kind] ??= this.#options.clock()
    this.#enforceAge()
    const serves = this.#count('jwt') + this.#count('x509') > 0
    const then = serves ? 'the last good bundle serves on' : 'nothing of this domain is accepted'
    this.report(`${what} cannot be used, ${then}: ${why}`)
  }

  /** The same trouble at every look is one line in the operator's log, not one a second. */
  report(detail: string): void {
    if (this.#problem === detail) return
    this.#problem = detail
    this.#options.onProblem({ trustDomain: this.trustDomain, detail })
  }

  health(): BundleHealth {
    this.#enforceAge()
    const { jwt, x509 } = this.#unconfirmedSince
    const since = Math.min(jwt ?? Number.POSITIVE_INFINITY, x509 ?? Number.POSITIVE_INFINITY)
    const ageMs = Number.isFinite(since) ? Math.max(0, this.#options.clock() - since) : 0
    return {
      trustDomain: this.trustDomain,
      source: this.source,
      ageSeconds: this.#version === 0 ? undefined : ageMs / 1000,
      sequence: this.#sequence,
      jwtKeys: this.#jwtKeys.length,
      x509Authorities: this.#x509Authorities.length,
      problem: this.#problem,
    }
  }

  #confirm(kind: SvidKind, askedAt: number | undefined): void {
    this.#unconfirmedSince[kind] = askedAt
    if (this.#count(kind) > 0) this.#had[kind] = true
  }

  #count(kind: SvidKind): number {
    return kind === 'jwt' ? this.#jwtKeys.length : this.#x509Authorities.length
  }

  #enforceAge(): void {
    for (const kind of SVID_KINDS) {
      const since = this.#unconfirmedSince[kind]
      if (since === undefined || this.#count(kind) === 0) continue
      if (this.#options.clock() - since <= this.#options.maxAgeMs) continue
      if (kind === 'jwt') this.#jwtKeys = []
      else this.#x509Authorities = []
      this.#version += 1
      this.report(
        `the last good bundle is too old now, no ${ACCEPTED[kind].svids} of this domain is accepted`,
      )
    }
  }

  // A domain that never had keys of one kind does not use that kind: no word about it.
  #emptiness(): string[] {
    const empty = SVID_KINDS.filter((kind) => this.#count(kind) === 0)
    if (empty.length === SVID_KINDS.length) {
      const none = SVID_KINDS.map((kind) => `no ${ACCEPTED[kind].keys}`).join(' and ')
      return [`the bundle holds ${none}, nothing of this domain is accepted`]
    }
    return empty
      .filter((kind) => this.#had[kind])
      .map((kind) => {
        const { keys, svids } = ACCEPTED[kind]
        return `the bundle holds no ${keys} any more, no ${svids} of this domain is accepted`
      })
  }
}
