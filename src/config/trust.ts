/** What the `trust` entries of a configuration come to, with every default filled in. */
import type { Settings } from './schema.ts'
import { GITHUB_ISSUER, kindOf } from './trust-schema.ts'

/** Where an issuer's keys come from. */
export type KeysConfig =
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'discovery' }

/** Where the bundle of one trust domain comes from. */
export type BundleConfig = { readonly trustDomain: string } & (
  | { readonly kind: 'file'; readonly file: string }
  | {
      readonly kind: 'endpoint'
      readonly url: string
      /** Set for the profile `https_spiffe`; without it the profile is `https_web`. */
      readonly spiffe: { readonly id: string; readonly bootstrapFile: string } | undefined
      readonly maxAgeSeconds: number
      readonly allowAddresses: readonly string[]
      readonly caFile: string | undefined
    }
  | { readonly kind: 'workload_api'; readonly socket: string; readonly maxAgeSeconds: number }
)

interface TokensOfIssuer {
  /** Part of every id: `oidc:<alias>:<sub>`, `user:<alias>:<sub>`. */
  readonly alias: string
  readonly issuer: string
  readonly keys: KeysConfig
  readonly algorithms: readonly string[]
  readonly maxAgeSeconds: number
  /** Attribute name → JSON pointer into the claims; undefined takes the usual ones of its kind. */
  readonly attributes: Readonly<Record<string, string>> | undefined
  readonly allowAddresses: readonly string[]
  readonly caFile: string | undefined
}

/** An issuer whose tokens name workloads. */
export interface IssuerConfig extends TokensOfIssuer {
  readonly kind: 'kubernetes' | 'github' | 'oidc'
  readonly audience: string
  readonly tokenReview:
    | { readonly url: string; readonly tokenFile: string; readonly caFile: string | undefined }
    | undefined
}

/** An issuer whose tokens name those on whose behalf a workload acts. */
export interface UsersConfig extends TokensOfIssuer {
  readonly audiences: readonly string[]
  readonly tokenTypes: readonly ('id_token' | 'access_token' | 'id_jag')[]
}

export interface TrustConfig {
  readonly bundles: readonly BundleConfig[]
  readonly issuers: readonly IssuerConfig[]
  readonly users: readonly UsersConfig[]
}

type Entry = Settings['trust'][number]

const BUNDLE_MAX_AGE_SECONDS = 3600
/** A projected token is good for an hour and renewed at four fifths of it; a CI job's for minutes. */
const MAX_AGE_SECONDS = { kubernetes: 3600, github: 900, oidc: 3600, users: 3600 } as const
const ALGORITHMS = { kubernetes: ['RS256'], github: ['RS256'] } as const
const OTHER_ALGORITHMS = ['RS256', 'ES256'] as const

/** @param settings checked against the schema */
export function toTrust(settings: Settings): TrustConfig {
  const bundles: BundleConfig[] = []
  const issuers: IssuerConfig[] = []
  const users: UsersConfig[] = []
  for (const entry of settings.trust) {
    const kind = kindOf(entry)
    if (kind === undefined) continue
    if (kind === 'spiffe') bundles.push(toBundle(entry))
    else if (kind === 'users') users.push(toUsers(entry, settings.issuer))
    else issuers.push(toIssuer(entry, kind, settings.issuer))
  }
  return { bundles, issuers, users }
}

function toBundle(entry: Entry): BundleConfig {
  const trustDomain = entry.spiffe!
  const bundle = entry.bundle!
  if (bundle.file !== undefined) return { trustDomain, kind: 'file', file: bundle.file }
  const maxAgeSeconds = bundle.max_age_seconds ?? BUNDLE_MAX_AGE_SECONDS
  if (bundle.workload_api !== undefined) {
    return { trustDomain, kind: 'workload_api', socket: bundle.workload_api, maxAgeSeconds }
  }
  return {
    trustDomain,
    kind: 'endpoint',
    url: bundle.endpoint!,
    spiffe:
      bundle.spiffe_id === undefined
        ? undefined
        : { id: bundle.spiffe_id, bootstrapFile: bundle.bootstrap_file! },
    maxAgeSeconds,
    allowAddresses: bundle.allow_addresses ?? [],
    caFile: bundle.ca_file,
  }
}

function toIssuer(entry: Entry, kind: IssuerConfig['kind'], broker: string): IssuerConfig {
  const review = entry.token_review
  return {
    ...shared(entry, kind),
    kind,
    audience: entry.audience ?? broker,
    tokenReview: review && {
      url: review.url,
      tokenFile: review.token_file,
      // The API server is mostly the issuer itself, with the same authority.
      caFile: review.ca_file ?? entry.ca_file,
    },
  }
}

function toUsers(entry: Entry, broker: string): UsersConfig {
  return {
    ...shared(entry, 'users'),
    audiences: entry.audiences ?? [broker],
    tokenTypes: entry.token_types ?? ['id_token', 'access_token', 'id_jag'],
  }
}

function shared(entry: Entry, kind: IssuerConfig['kind'] | 'users'): TokensOfIssuer {
  const usual = kind === 'kubernetes' || kind === 'github' ? ALGORITHMS[kind] : OTHER_ALGORITHMS
  return {
    alias: entry[kind]!,
    issuer: entry.issuer ?? GITHUB_ISSUER,
    keys: toKeys(entry.keys),
    algorithms: entry.algorithms ?? usual,
    maxAgeSeconds: entry.max_age_seconds ?? MAX_AGE_SECONDS[kind],
    attributes: entry.attributes,
    allowAddresses: entry.allow_addresses ?? [],
    caFile: entry.ca_file,
  }
}

function toKeys(keys: Entry['keys']): KeysConfig {
  if (keys?.jwks_file !== undefined) return { kind: 'file', file: keys.jwks_file }
  if (keys?.jwks_url !== undefined) return { kind: 'url', url: keys.jwks_url }
  return { kind: 'discovery' }
}
