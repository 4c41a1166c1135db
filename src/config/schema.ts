/**
 * What a configuration file may say. Every key is named here; any other key is an error.
 *
 * A description completes the sentence "expected …" in an error. `secret` marks values that may come
 * from a file named by an environment variable (`…_FILE`) and are never printed.
 */
import { z } from 'zod'
import {
  address,
  adminUrl,
  httpsUrl,
  integer,
  issuer,
  path,
  proxy,
  resource,
  secret,
  spiffeId,
  text,
} from './fields.ts'
import { trust } from './trust-schema.ts'
import { listensLocally } from './url.ts'

const redis = z
  .strictObject({
    url: secret('a redis:// or rediss:// URL').optional(),
    sentinel: z
      .strictObject({
        name: text('the name of the Sentinel group'),
        nodes: z.array(address).min(1).describe('a list of host:port'),
        username: text('a Sentinel user name').optional(),
        password: secret('the Sentinel password').optional(),
      })
      .optional(),
    cluster: z.array(address).min(1).describe('a list of host:port').optional(),
    username: text('a Redis user name').optional(),
    password: secret('the Redis password').optional(),
    tls: z.boolean().describe('true or false').optional(),
    tls_ca_file: path('the certificates of the authorities of the Redis servers').optional(),
    tls_certificate_file: path("the broker's certificate chain for Redis").optional(),
    tls_key_file: path("the broker's private key for Redis").optional(),
    replicas: integer(0, 16, 'replicas').optional(),
    prefix: text('a prefix for keys').optional(),
  })
  .refine(
    ({ url, sentinel, cluster }) =>
      [url, sentinel, cluster].filter((given) => given !== undefined).length === 1,
    { error: 'give one of url, sentinel and cluster' },
  )
  .refine(
    ({ tls_certificate_file: certificate, tls_key_file: key }) =>
      (certificate === undefined) === (key === undefined),
    { error: 'give both tls_certificate_file and tls_key_file, or neither' },
  )
  .refine(
    ({ tls, tls_ca_file: ca, tls_key_file: key }) =>
      tls !== false || (ca === undefined && key === undefined),
    { error: 'tls is false, so there is no use for tls_ca_file and tls_key_file' },
  )
  .describe('the settings of a Redis store')

/** What a client may be allowed; the last three are the roles of the admin API. */
const SCOPES = [
  'writ:introspect',
  'writ:report',
  'writ:viewer',
  'writ:approver',
  'writ:admin',
] as const

const client = z
  .strictObject({
    client_id: z
      .string()
      .regex(/^[\x21-\x7e]{1,200}$/)
      .describe('up to 200 visible ASCII characters'),
    jwks_file: path("the client's public JSON Web Key Set").optional(),
    jwks: z
      .looseObject({ keys: z.array(z.looseObject({})) })
      .describe('a JSON Web Key Set')
      .optional(),
    scopes: z
      .array(z.enum(SCOPES).describe(`one of ${SCOPES.join(', ')}`))
      .describe(`a list of ${SCOPES.join(', ')}`)
      .default([]),
    resources: z
      .array(resource)
      .describe('a list of resources whose tokens this client may introspect and report about')
      .default([]),
    workload: spiffeId.optional(),
  })
  .refine((value) => value.scopes.length > 0 || value.workload !== undefined, {
    error: 'give scopes, a workload, or both: without them the client may do nothing',
  })
  .refine((value) => (value.jwks === undefined) !== (value.jwks_file === undefined), {
    error: 'give one of jwks and jwks_file',
  })
  // Ids of workloads and people stand beside those of clients in tokens and in the audit.
  .refine(
    ({ client_id: id, workload }) => !/^(spiffe:\/\/|oidc:|user:)/i.test(id) || id === workload,
    {
      path: ['client_id'],
      error:
        'is the id of a workload or a person; a client may have that of its own workload alone',
    },
  )

const mtls = z
  .strictObject({
    url: httpsUrl('the mTLS listener as callers reach it, an origin'),
    certificate_file: path("the listener's certificate chain").optional(),
    key_file: path("the listener's private key").optional(),
    workload_api: text(
      'the address of a Workload API, such as unix:///run/spire/agent.sock',
    ).optional(),
  })
  .refine(({ url }) => !URL.canParse(url) || new URL(url).origin === url, {
    error: 'url must be an origin such as https://broker.example:4471, nothing after it',
  })
  .refine(
    ({ certificate_file: certificate, key_file: key, workload_api: api }) =>
      api === undefined
        ? certificate !== undefined && key !== undefined
        : certificate === undefined && key === undefined,
    { error: 'give certificate_file and key_file, or workload_api' },
  )
  .describe('the settings of the mTLS listener')

const settings = z.strictObject({
  issuer,
  listen: z
    .strictObject({
      public: address.default('127.0.0.1:4470'),
      mtls: address.optional(),
      admin: address.default('127.0.0.1:4472'),
    })
    .prefault({}),
  keys: z
    .strictObject({
      directory: path('the directory of signing keys').default('keys/signing'),
      algorithm: z
        .enum(['ES256', 'RS256', 'Ed25519'])
        .describe('ES256, RS256 or Ed25519')
        .default('ES256'),
    })
    .prefault({}),
  store: z
    .strictObject({
      sqlite: z
        .strictObject({ file: path('the database file').default('var/writ.db') })
        .describe('the settings of an SQLite store')
        .optional(),
      redis: redis.optional(),
    })
    .refine((value) => value.sqlite === undefined || value.redis === undefined, {
      error: 'give one of sqlite and redis',
    })
    .prefault({}),
  trust,
  servers: z
    .array(z.strictObject({ resource, catalogue: path("the server's pinned definitions") }))
    .min(1)
    .describe('a list of at least one MCP server'),
  policies: path('the directory of Cedar policies'),
  tokens: z
    .strictObject({
      lifetime_seconds: integer(5, 300, 'seconds').default(60),
      session_lifetime_seconds: integer(5, 300, 'seconds').default(300),
    })
    .prefault({}),
  dpop: z.strictObject({ nonce_secret_file: path('the nonce secret').optional() }).prefault({}),
  identity: z
    .strictObject({
      second_key: z
        .enum(['record', 'refuse'])
        .describe('record or refuse: what a second sender key for one SVID means')
        .default('record'),
    })
    .prefault({}),
  revocation: z
    .strictObject({
      beat_every_ms: integer(20, 10_000, 'milliseconds').default(250),
      stale_after_ms: integer(100, 60_000, 'milliseconds').default(1000),
      followers: integer(1, 100_000, 'followers').default(256),
      followers_per_network: integer(1, 100_000, 'followers').default(64),
    })
    .refine((value) => value.stale_after_ms >= 2 * value.beat_every_ms, {
      error:
        'stale_after_ms must be at least twice beat_every_ms, or every late beat stops all calls',
    })
    .prefault({}),
  audit: z
    .strictObject({
      directory: path('the directory of audit logs').default('var/audit'),
      arguments: z.boolean().describe('true or false').default(false),
    })
    .prefault({}),
  clients: z
    .array(client)
    .refine((list) => new Set(list.map((item) => item.client_id)).size === list.length, {
      error: 'each client_id may appear once',
    })
    .describe('a list of clients')
    .default([]),
  mtls: mtls.optional(),
  proxies: z
    .array(proxy)
    .describe('a list of proxies whose Client-Cert headers are believed')
    .default([]),
  delegation: z
    .strictObject({
      lifetime_seconds: integer(10, 3600, 'seconds').default(300),
      max_depth: integer(1, 8, 'actors').default(5),
    })
    .prefault({}),
  admin: z
    .strictObject({
      url: adminUrl.optional(),
      name: text('what passkeys are saved under').default('Writ'),
      idle_minutes: integer(1, 24 * 60, 'minutes').default(15),
      absolute_hours: integer(1, 24 * 7, 'hours').default(12),
    })
    .prefault({}),
  shutdown: z.strictObject({ drain_seconds: integer(0, 300, 'seconds').default(10) }).prefault({}),
})

export const schema = settings
  .refine((value) => (value.mtls === undefined) === (value.listen.mtls === undefined), {
    path: ['mtls'],
    error: 'mtls and listen.mtls go together: give both, or neither',
  })
  .refine((value) => value.admin.url !== undefined || listensLocally(value.listen.admin), {
    path: ['admin', 'url'],
    error:
      'listen.admin is not on loopback, so say how browsers reach it, as in https://writ.example',
  })
  .superRefine((value, context) => {
    for (const [index, entry] of value.trust.entries()) {
      if (entry.issuer !== value.issuer) continue
      const message = "the broker's own tokens prove no identity; this issuer is the broker itself"
      context.addIssue({ code: 'custom', path: ['trust', index, 'issuer'], message })
    }
  })

export type Settings = z.output<typeof schema>

/** The part of JSON Schema that the rest of this folder walks. */
export interface SchemaNode {
  readonly type?: string
  readonly description?: string
  readonly secret?: boolean
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  /** What a group of freely chosen names holds; `false` where names are fixed. */
  readonly additionalProperties?: SchemaNode | boolean
}

/** The same schema as data, for naming near misses and typing environment variables. */
export const schemaTree = z.toJSONSchema(schema, { io: 'input' }) as SchemaNode

/** The schema at a path; numbers step into lists. */
export function nodeAt(path: readonly PropertyKey[]): SchemaNode | undefined {
  return path.reduce<SchemaNode | undefined>(
    (node, step) =>
      typeof step === 'number'
        ? node?.items
        : node?.properties && Object.hasOwn(node.properties, step)
          ? node.properties[step as string]
          : typeof node?.additionalProperties === 'object'
            ? node.additionalProperties
            : undefined,
    schemaTree,
  )
}
