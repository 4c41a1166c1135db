/**
 * How every connection to Redis is made. A connection here is one TCP connection to one server
 * process and is never made again: ioredis may not reconnect, queue, resend or retry, because a
 * command meant for one server must not reach the one that came after it.
 */
import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { Redis, type RedisOptions } from 'ioredis'

/** An answer later than this is a refusal, unless configured otherwise. */
export const COMMAND_TIMEOUT_MS = 200
const CONNECT_TIMEOUT_MS = 1000

export interface Address {
  readonly host: string
  readonly port: number
  /** The number of a database; where there is one server. */
  readonly db?: number
}

export interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** TLS on every connection, with these options besides; an own authority (`ca`), a client certificate. */
  readonly tls?: ConnectionOptions | undefined
}

/** What is not said about the Sentinels themselves is as for the servers, but for user and password. */
export interface SentinelOptions extends Credentials {
  /** The name of the primary in the Sentinels' configuration. */
  readonly name: string
  readonly sentinels: readonly Address[]
}

function redisOptions({ username, password, tls }: Credentials): RedisOptions {
  return {
    lazyConnect: true,
    protocol: 2,
    connectTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    disableClientInfo: true,
    retryStrategy: () => null,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls }),
  }
}

/**
 * Reads `redis://[user[:password]@]host[:port][/database]`, or `rediss://` for TLS. Not left to ioredis, which
 * takes `REDISS://` for no TLS, and options of any name from the query.
 *
 * @param given counts where the URL says nothing
 * @throws {TypeError} any other URL, without quoting it: it may hold a password
 */
export function parseRedisUrl(text: string, given: Credentials): [Address, Credentials] {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const database = /^\/?(\d{0,4})$/.exec(url?.pathname ?? '-')?.[1]
  const isKnown = url?.protocol === 'redis:' || url?.protocol === 'rediss:'
  if (!isKnown || url.hostname === '' || database === undefined || /[?#]/.test(text)) {
    throw new TypeError(
      'url must be redis:// or rediss://, a host, and nothing behind the database',
    )
  }
  const username = decoded(url.username)
  const password = decoded(url.password)
  if (username === undefined || password === undefined) {
    throw new TypeError('user and password in url must be percent-encoded')
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const address = { host, port: Number(url.port || 6379), db: Number(database) }
  return [
    address,
    {
      username: username || given.username,
      password: password || given.password,
      tls: given.tls ?? (url.protocol === 'rediss:' ? {} : undefined),
    },
  ]
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

export function connectTo(address: Address, credentials: Credentials): Redis {
  const { tls } = credentials
  // Not done by Node for what is no HTTPS, and some services route by it.
  const servername = isIP(address.host) === 0 ? address.host : undefined
  const named = tls && servername !== undefined ? { servername, ...tls } : tls
  return quiet(new Redis({ ...redisOptions({ ...credentials, tls: named }), ...address }))
}

/** Asks the Sentinels which server is the primary now. */
export function connectBySentinel(options: SentinelOptions, credentials: Credentials): Redis {
  const sentinelTls = options.tls ?? credentials.tls
  return quiet(
    new Redis({
      ...redisOptions(credentials),
      // Without it ioredis uses no TLS to the server, whatever `tls` says.
      enableTLSForSentinelMode: true,
      name: options.name,
      sentinels: options.sentinels.map(({ host, port }) => ({ host, port })),
      sentinelRetryStrategy: () => null,
      ...(options.username === undefined ? {} : { sentinelUsername: options.username }),
      ...(options.password === undefined ? {} : { sentinelPassword: options.password }),
      ...(sentinelTls === undefined ? {} : { sentinelTLS: sentinelTls }),
    }),
  )
}

// Errors reach whoever waits for a command, or come with `close`; unheard ones would end the process.
function quiet(redis: Redis): Redis {
  return redis.on('error', () => undefined)
}

/**
 * Connects and signs in.
 *
 * @throws {Error} why not; ioredis itself rejects with a bare "Connection is closed"
 */
export async function connected(redis: Redis): Promise<void> {
  let reason: unknown
  const note = (error: unknown): void => {
    reason ??= error
  }
  redis.on('error', note)
  try {
    await redis.connect()
  } catch (error) {
    throw reason ?? error
  } finally {
    redis.off('error', note)
  }
}

/** @throws {Error} `no answer within … ms` */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    // Timers run before input is read: after a pause of our own, an answer may already be here.
    const giveUp = (): void => reject(new Error(`no answer within ${ms} ms`))
    timer = setTimeout(() => setImmediate(giveUp), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
