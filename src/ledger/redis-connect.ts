/**
 * How every connection to Redis is made. A connection here is one TCP connection to one server
 * process and is never made again: ioredis may not reconnect, queue, resend or retry, because a
 * command meant for one server must not reach the one that came after it.
 */
import type { ConnectionOptions } from 'node:tls'
import { Redis, type RedisOptions } from 'ioredis'

/** An answer later than this is a refusal, unless configured otherwise. */
export const COMMAND_TIMEOUT_MS = 200
const CONNECT_TIMEOUT_MS = 1000

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly tls?: ConnectionOptions | undefined
}

export interface SentinelOptions extends Credentials {
  /** The name of the primary in the Sentinels' configuration. */
  readonly name: string
  readonly sentinels: readonly Address[]
}

export function redisOptions({ username, password, tls }: Credentials): RedisOptions {
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

export function connectTo(address: Address, credentials: Credentials): Redis {
  return quiet(new Redis({ ...redisOptions(credentials), ...address }))
}

export function connectByUrl(url: string, credentials: Credentials): Redis {
  return quiet(new Redis(url, redisOptions(credentials)))
}

/** Asks the Sentinels which server is the primary now. */
export function connectBySentinel(options: SentinelOptions, credentials: Credentials): Redis {
  return quiet(
    new Redis({
      ...redisOptions(credentials),
      name: options.name,
      sentinels: options.sentinels.map(({ host, port }) => ({ host, port })),
      sentinelRetryStrategy: () => null,
      ...(options.username === undefined ? {} : { sentinelUsername: options.username }),
      ...(options.password === undefined ? {} : { sentinelPassword: options.password }),
      ...(options.tls === undefined
        ? {}
        : { sentinelTLS: options.tls, enableTLSForSentinelMode: true }),
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
