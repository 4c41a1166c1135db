/** Whose proofs of identity count: one entry for each trust domain and for each token issuer. */
import { z } from 'zod'
import { alias, httpsUrl, integer, networks, path, spiffeId, text, trustDomain } from './fields.ts'

/** What a JWT of an issuer may be signed with; one that is not listed is refused. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const
const TOKEN_TYPES = ['id_token', 'access_token', 'id_jag'] as const
/** The keys that say what an entry is. */
const KINDS = ['spiffe', 'kubernetes', 'github', 'oidc', 'users'] as const
export type TrustKind = (typeof KINDS)[number]

const bundleShape = z.strictObject({
  file: path("the trust domain's SPIFFE bundle").optional(),
  endpoint: httpsUrl('a federation endpoint').optional(),
  profile: z
    .enum(['https_web', 'https_spiffe'])
    .describe('https_web or https_spiffe: how the endpoint proves itself')
    .optional(),
  spiffe_id: spiffeId.optional(),
  bootstrap_file: path('the bundle the first fetch is checked with').optional(),
  workload_api: text(
    'the address of a Workload API, such as unix:///run/spire/agent.sock',
  ).optional(),
  max_age_seconds: integer(60, 604_800, 'seconds').optional(),
  allow_addresses: networks('addresses the endpoint may have besides public ones').optional(),
  ca_file: path("the certificates that vouch for the endpoint's name").optional(),
})

const bundle = bundleShape
  .superRefine((value, context) => {
    const problem = faultOfBundle(value)
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
  })
  .describe('where the bundle comes from')

function faultOfBundle(value: z.output<typeof bundleShape>): string | undefined {
  const sources = [value.file, value.endpoint, value.workload_api]
  if (sources.filter((given) => given !== undefined).length !== 1) {
    return 'give one of file, endpoint and workload_api'
  }
  if (value.endpoint === undefined) {
    const extra = (
      ['profile', 'spiffe_id', 'bootstrap_file', 'allow_addresses', 'ca_file'] as const
    )
      .filter((name) => value[name] !== undefined)
      .join(', ')
    return extra === '' ? undefined : `${extra}: for an endpoint only`
  }
  if (value.profile === undefined) return 'an endpoint needs a profile: https_web or https_spiffe'
  const spiffe = value.profile === 'https_spiffe'
  if (spiffe !== (value.spiffe_id !== undefined && value.bootstrap_file !== undefined)) {
    return 'https_spiffe needs spiffe_id and bootstrap_file'
  }
  if (!spiffe && (value.spiffe_id !== undefined || value.bootstrap_file !== undefined)) {
    return 'spiffe_id and bootstrap_file are for https_spiffe only'
  }
  return spiffe && value.ca_file !== undefined ? 'ca_file is for https_web only' : undefined
}

const keys = z
  .strictObject({
    jwks_file: path("the issuer's JSON Web Key Set").optional(),
    jwks_url: httpsUrl("the issuer's JSON Web Key Set").optional(),
    discovery: z.literal(true).describe('true').optional(),
  })
  .refine((value) => Object.values(value).filter((given) => given !== undefined).length === 1, {
    error: 'give one of jwks_file, jwks_url and discovery',
  })
  .describe("where the issuer's keys come from")

const tokenReview = z
  .strictObject({
    url: httpsUrl("the cluster's API server"),
    token_file: path('the token the broker asks with'),
    ca_file: path('the certificates that vouch for the API server').optional(),
  })
  .describe('how to ask the cluster whether a pod still exists')

const pointer = z
  .string()
  .regex(/^(\/([^~/]|~[01])*)+$/)
  .describe('a JSON pointer into the claims, such as /kubernetes.io/namespace')

const entry = z.strictObject({
  spiffe: trustDomain.optional(),
  kubernetes: alias.optional(),
  github: alias.optional(),
  oidc: alias.optional(),
  users: alias.optional(),
  bundle: bundle.optional(),
  issuer: httpsUrl('the issuer, exactly as its tokens name it').optional(),
  keys: keys.optional(),
  audience: text("what the tokens' aud must be; the broker's issuer by default").optional(),
  audiences: z
    .array(text('an audience'))
    .min(1)
    .describe("a list of audiences; the broker's issuer by default")
    .optional(),
  algorithms: z
    .array(z.enum(ALGORITHMS).describe(`one of ${ALGORITHMS.join(', ')}`))
    .min(1)
    .describe('a list of algorithms')
    .optional(),
  token_types: z
    .array(z.enum(TOKEN_TYPES).describe(`one of ${TOKEN_TYPES.join(', ')}`))
    .min(1)
    .describe(`a list of ${TOKEN_TYPES.join(', ')}`)
    .optional(),
  max_age_seconds: integer(10, 86_400, 'seconds').optional(),
  attributes: z
    .record(
      z
        .string()
        .regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$/)
        .describe('a name of letters, digits and _'),
      pointer,
    )
    .describe('names, each with a JSON pointer into the claims')
    .optional(),
  allow_addresses: networks('addresses the issuer may have besides public ones').optional(),
  ca_file: path("the certificates that vouch for the issuer's name").optional(),
  token_review: tokenReview.optional(),
})

type Entry = z.output<typeof entry>

const SHARED = [
  'issuer',
  'keys',
  'algorithms',
  'max_age_seconds',
  'attributes',
  'allow_addresses',
  'ca_file',
] as const
/** What belongs to an entry of each kind, besides its own name. */
const MEMBERS: Readonly<Record<TrustKind, readonly (keyof Entry)[]>> = {
  spiffe: ['bundle'],
  kubernetes: [...SHARED, 'audience', 'token_review'],
  github: [...SHARED, 'audience'],
  oidc: [...SHARED, 'audience'],
  users: [...SHARED, 'audiences', 'token_types'],
}

export function kindOf(value: Entry): TrustKind | undefined {
  const given = KINDS.filter((kind) => value[kind] !== undefined)
  return given.length === 1 ? given[0] : undefined
}

const checkedEntry = entry.superRefine((value, context) => {
  const say = (message: string) => context.addIssue({ code: 'custom', message })
  const kind = kindOf(value)
  if (kind === undefined) return say(`give one of ${KINDS.join(', ')}: what is trusted here`)
  for (const name of Object.keys(value) as (keyof Entry)[]) {
    if (name === kind || value[name] === undefined || MEMBERS[kind].includes(name)) continue
    say(`${name} does not belong to ${kind}; known here: ${MEMBERS[kind].join(', ')}`)
  }
  if (kind === 'spiffe') {
    if (value.bundle === undefined) say('a trust domain needs a bundle')
    return
  }
  if (value.issuer === undefined && kind !== 'github') say(`${kind} needs the issuer`)
  if (value.keys === undefined && kind !== 'github') say(`${kind} needs keys`)
})

export const trust = z
  .array(checkedEntry)
  .min(1)
  .superRefine((entries, context) => {
    const seen = new Set<string>()
    for (const [index, value] of entries.entries()) {
      const kind = kindOf(value)
      if (kind === undefined) continue
      // Ids are `oidc:<alias>:…` and `user:<alias>:…`: an alias that two entries share would mix them.
      const space = kind === 'spiffe' || kind === 'users' ? kind : 'workloads'
      const issuer = value.issuer ?? (kind === 'github' ? GITHUB_ISSUER : undefined)
      const names = [
        `${space} ${value[kind]}`,
        ...(issuer === undefined ? [] : [`issuer ${issuer}`]),
      ]
      for (const name of names) {
        if (seen.has(name)) {
          context.addIssue({ code: 'custom', path: [index], message: `${name} is listed twice` })
        }
        seen.add(name)
      }
    }
  })
  .describe('a list of at least one trust domain or issuer')

export const GITHUB_ISSUER = 'https://token.actions.githubusercontent.com'
