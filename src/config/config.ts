/**
 * A file, the environment and flags → one frozen, typed value, or a list of everything that is wrong.
 *
 * Precedence: flag, environment, file, default. Nothing that decides who may do what has a default:
 * an absent file, trust domain, server or policy directory is an error, never "allow". Paths are
 * relative to the working directory.
 */
import { readFile } from 'node:fs/promises'
import { parseDocument } from 'yaml'
import { applyEnvironment } from './environment.ts'
import { ConfigError, describeIssue, type Problem } from './problems.ts'
import { type Settings, schema } from './schema.ts'
import { Secret } from './secret.ts'
import { type CertificateFiles, type StoreConfig, toStore } from './store.ts'
import { type TrustConfig, toTrust } from './trust.ts'
import { type Address, parseAddress } from './url.ts'

export { ConfigError, type Problem } from './problems.ts'
export { Secret } from './secret.ts'
export type { CertificateFiles, RedisConfig } from './store.ts'
export type { BundleConfig, IssuerConfig, KeysConfig, TrustConfig, UsersConfig } from './trust.ts'
export type { Address } from './url.ts'

export type ClientScope = Settings['clients'][number]['scopes'][number]

export interface ClientConfig {
  readonly clientId: string
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] }
  readonly scopes: readonly ClientScope[]
  readonly resources: readonly string[]
  /** The SPIFFE ID this client may ask for tokens as, by `private_key_jwt`. */
  readonly workload: string | undefined
}

export interface MtlsConfig {
  /** The listener as callers reach it. */
  readonly url: string
  readonly credentials:
    | ({ readonly kind: 'files' } & CertificateFiles)
    | { readonly kind: 'workload_api'; readonly socket: string }
}

export interface Config {
  readonly issuer: string
  readonly listen: {
    readonly public: Address
    readonly mtls: Address | undefined
    readonly admin: Address
  }
  readonly keys: { readonly directory: string; readonly algorithm: 'ES256' | 'RS256' | 'Ed25519' }
  readonly store: StoreConfig
  readonly trust: TrustConfig
  readonly servers: readonly { readonly resource: string; readonly file: string }[]
  /** The directory of Cedar policies. */
  readonly policies: string
  readonly tokens: { readonly lifetimeSeconds: number; readonly sessionLifetimeSeconds: number }
  readonly dpop: { readonly nonceSecretFile: string | undefined }
  readonly identity: { readonly onSecondKey: 'record' | 'refuse' }
  readonly revocation: {
    readonly beatEveryMs: number
    readonly staleAfterMs: number
    /** Verifiers that may follow the feed over HTTP at this broker at once. */
    readonly followers: number
    /** Of them, those of one IPv4 address or one IPv6 network of 64 bits: a proxy is one. */
    readonly followersPerNetwork: number
  }
  readonly audit: { readonly directory: string; readonly arguments: boolean }
  readonly clients: readonly ClientConfig[]
  readonly mtls: MtlsConfig | undefined
  /** Peers whose `Client-Cert` headers are believed (RFC 9440). */
  readonly proxies: readonly string[]
  readonly delegation: { readonly lifetimeSeconds: number; readonly maxDepth: number }
  readonly admin: {
    /** The admin listener as browsers reach it; undefined: `localhost` and the listener's port. */
    readonly url: string | undefined
    readonly name: string
    readonly idleSeconds: number
    readonly absoluteSeconds: number
  }
  readonly shutdown: { readonly drainSeconds: number }
  /** What an operator should know about these settings, one sentence each. */
  readonly notes: readonly string[]
}

export interface ConfigSources {
  /** Otherwise `WRIT_CONFIG`, otherwise `config/writ.yaml`. */
  readonly file?: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  /** Settings given on the command line, in the shape of the file; `undefined` members are not given. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined
}

/** @throws {ConfigError} listing every problem with its path */
export async function loadConfig(sources: ConfigSources): Promise<Config> {
  const problems: Problem[] = []
  const file = sources.file ?? sources.env.WRIT_CONFIG ?? 'config/writ.yaml'
  const settings = await readSettings(file)
  await applyEnvironment(settings, sources.env, problems)
  merge(settings, sources.flags ?? {})

  const parsed = schema.safeParse(settings)
  if (!parsed.success) {
    problems.push(...parsed.error.issues.flatMap((issue) => describeIssue(issue, settings)))
  }
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems)
  const clients = await loadClients(parsed.data, problems)
  if (problems.length > 0) throw new ConfigError(problems)
  return deepFreeze({ ...toConfig(parsed.data), clients })
}

async function readSettings(file: string): Promise<Record<string, unknown>> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new ConfigError([
      { path: file, message: `the configuration file cannot be read: ${code}` },
    ])
  }
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true })
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    // The pretty message quotes the line, and the line may hold a secret: only its first line is shown.
    throw new ConfigError(
      faults.map((fault) => ({
        path: file,
        message: fault.message.split('\n')[0]!.replace(/:$/, ''),
      })),
    )
  }
  const settings: unknown = document.toJS({ maxAliasCount: 0 })
  if (settings === null || typeof settings !== 'object' || Array.isArray(settings)) {
    throw new ConfigError([{ path: file, message: 'expected settings, one `key: value` per line' }])
  }
  return withoutNulls(settings) as Record<string, unknown>
}

/** A key with nothing after it (its lines are comments) is a key that was not given. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isGroup(value)) return value
  const given = Object.entries(value).filter(([, inner]) => inner !== null)
  return Object.fromEntries(given.map(([key, inner]) => [key, withoutNulls(inner)]))
}

function merge(into: Record<string, unknown>, from: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(from)) {
    if (value === undefined) continue
    const there = into[key]
    if (isGroup(value) && isGroup(there)) merge(there, value)
    else into[key] = value
  }
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

async function loadClients(settings: Settings, problems: Problem[]): Promise<ClientConfig[]> {
  const clients: ClientConfig[] = []
  for (const [i, client] of settings.clients.entries()) {
    const at = `clients[${i}].${client.jwks_file === undefined ? 'jwks' : 'jwks_file'}`
    let jwks: unknown = client.jwks
    if (client.jwks_file !== undefined) {
      try {
        jwks = JSON.parse(await readFile(client.jwks_file, 'utf8'))
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? 'it is not JSON'
        problems.push({ path: at, message: `the key set cannot be read: ${code}` })
        continue
      }
    }
    if (!isPublicKeySet(jwks)) {
      problems.push({
        path: at,
        message: 'expected a JSON Web Key Set of at least one public key, and nothing private',
      })
      continue
    }
    const { client_id: clientId, scopes, resources, workload } = client
    clients.push({ clientId, jwks, scopes, resources, workload })
  }
  return clients
}

/** A private or shared key in a configuration is a leak already; it is refused, not ignored. */
function isPublicKeySet(value: unknown): value is ClientConfig['jwks'] {
  const keys = isGroup(value) ? value.keys : undefined
  return (
    Array.isArray(keys) &&
    keys.length > 0 &&
    keys.every(
      (key) =>
        isGroup(key) &&
        (key.kty === 'EC' || key.kty === 'RSA' || key.kty === 'OKP') &&
        !['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth'].some((member) => member in key),
    )
  )
}

function toConfig(settings: Settings): Omit<Config, 'clients'> {
  const notes: string[] = []
  if (settings.dpop.nonce_secret_file === undefined) {
    notes.push('dpop.nonce_secret_file is not set, so DPoP proofs are accepted without a nonce')
  }
  return {
    issuer: settings.issuer,
    listen: {
      public: parseAddress(settings.listen.public)!,
      mtls: settings.listen.mtls === undefined ? undefined : parseAddress(settings.listen.mtls)!,
      admin: parseAddress(settings.listen.admin)!,
    },
    keys: settings.keys,
    store: toStore(settings.store),
    trust: toTrust(settings),
    servers: settings.servers.map((entry) => ({ resource: entry.resource, file: entry.catalogue })),
    policies: settings.policies,
    tokens: {
      lifetimeSeconds: settings.tokens.lifetime_seconds,
      sessionLifetimeSeconds: settings.tokens.session_lifetime_seconds,
    },
    dpop: { nonceSecretFile: settings.dpop.nonce_secret_file },
    identity: { onSecondKey: settings.identity.second_key },
    revocation: {
      beatEveryMs: settings.revocation.beat_every_ms,
      staleAfterMs: settings.revocation.stale_after_ms,
      followers: settings.revocation.followers,
      followersPerNetwork: settings.revocation.followers_per_network,
    },
    audit: settings.audit,
    mtls: settings.mtls && {
      url: settings.mtls.url,
      credentials:
        settings.mtls.workload_api === undefined
          ? {
              kind: 'files',
              certificateFile: settings.mtls.certificate_file!,
              keyFile: settings.mtls.key_file!,
            }
          : { kind: 'workload_api', socket: settings.mtls.workload_api },
    },
    proxies: settings.proxies,
    delegation: {
      lifetimeSeconds: settings.delegation.lifetime_seconds,
      maxDepth: settings.delegation.max_depth,
    },
    admin: {
      url: settings.admin.url,
      name: settings.admin.name,
      idleSeconds: settings.admin.idle_minutes * 60,
      absoluteSeconds: settings.admin.absolute_hours * 3600,
    },
    shutdown: { drainSeconds: settings.shutdown.drain_seconds },
    notes,
  }
}

function deepFreeze<T>(value: T): T {
  if (value === null || typeof value !== 'object' || value instanceof Secret) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
