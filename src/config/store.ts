/** Where what has been spent is kept, as the settings say it. */
import type { Settings } from './schema.ts'
import { Secret } from './secret.ts'
import { type Address, parseAddress } from './url.ts'

/** A certificate with its intermediates, and its private key, in PEM. */
export interface CertificateFiles {
  readonly certificateFile: string
  readonly keyFile: string
}

export type StoreConfig = { readonly kind: 'sqlite'; readonly file: string } | RedisConfig

export interface RedisConfig {
  readonly kind: 'redis'
  readonly url: Secret | undefined
  readonly sentinel:
    | {
        readonly name: string
        readonly nodes: readonly Address[]
        readonly username: string | undefined
        readonly password: Secret | undefined
      }
    | undefined
  readonly cluster: readonly Address[] | undefined
  readonly username: string | undefined
  readonly password: Secret | undefined
  /** Undefined unless TLS is asked for; a `rediss://` URL asks for it as well. */
  readonly tls:
    | {
        readonly caFile: string | undefined
        readonly credentials: CertificateFiles | undefined
      }
    | undefined
  readonly replicas: number | undefined
  readonly prefix: string | undefined
}

export function toStore(store: Settings['store']): StoreConfig {
  const { redis } = store
  if (redis === undefined) return { kind: 'sqlite', file: store.sqlite?.file ?? 'var/writ.db' }
  const { sentinel } = redis
  return {
    kind: 'redis',
    url: hide(redis.url),
    sentinel: sentinel && {
      name: sentinel.name,
      nodes: sentinel.nodes.map((node) => parseAddress(node)!),
      username: sentinel.username,
      password: hide(sentinel.password),
    },
    cluster: redis.cluster?.map((node) => parseAddress(node)!),
    username: redis.username,
    password: hide(redis.password),
    tls: toRedisTls(redis),
    replicas: redis.replicas,
    prefix: redis.prefix,
  }
}

function toRedisTls(redis: NonNullable<Settings['store']['redis']>): RedisConfig['tls'] {
  const {
    tls_ca_file: caFile,
    tls_certificate_file: certificateFile,
    tls_key_file: keyFile,
  } = redis
  const credentials =
    certificateFile === undefined || keyFile === undefined
      ? undefined
      : { certificateFile, keyFile }
  if (redis.tls !== true && caFile === undefined && credentials === undefined) return undefined
  return { caFile, credentials }
}

function hide(value: string | undefined): Secret | undefined {
  return value === undefined ? undefined : new Secret(value)
}
