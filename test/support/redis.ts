/**
 * Real Redis servers for tests: each with a free port and a folder of its own, ended by process id.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import { Redis, type RedisOptions } from 'ioredis'
import { requireProgram } from './programs.ts'

/** For node:test's `{ skip }`. */
export const skipWithoutRedis = requireProgram(
  'redis-server',
  'install Redis 7.0 or newer (apt-get install redis-server)',
)

export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly url: string
  /** For whatever a test does to the server; closed with it. */
  readonly admin: Redis
  /** `kill -9`: whatever is not on disk is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port, with what is in its folder, or with nothing. */
  restart(how?: 'empty'): Promise<void>
  /** Stops and continues the process without ending it. */
  freeze(): void
  thaw(): void
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'everysec']

/** Servers that speak TLS alone: what they are started with, and how a test reaches them. */
export interface RedisTls {
  readonly args: readonly string[]
  readonly client: ConnectionOptions
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** @param args further arguments of `redis-server`; append-only by default */
export async function startRedis(
  args: readonly string[] = DURABLE,
  tls?: RedisTls,
): Promise<RedisServer> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await startAt(await freePort(), args, tls)
    } catch (error) {
      // Somebody else took the port between looking and listening.
      if (attempt === 2) throw error
    }
  }
}

async function startAt(
  port: number,
  args: readonly string[],
  tls: RedisTls | undefined,
): Promise<RedisServer> {
  let folder = mkdtempSync(join(tmpdir(), 'writ-redis-'))
  let child: ChildProcess
  let admin: Redis

  async function start(): Promise<void> {
    const base = [...listenArgs(port, tls), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
    child = await launch([...base, '--maxmemory-policy', 'noeviction', ...args], port, tls)
    admin = new Redis({ ...reach(port, tls), maxRetriesPerRequest: 2 })
    admin.on('error', () => undefined)
    for (;;) {
      if (
        await admin.ping().then(
          () => true,
          () => false,
        )
      )
        break
      await sleep(20)
    }
  }

  async function kill(): Promise<void> {
    admin.disconnect()
    await end(child)
  }

  await start()
  return {
    host: '127.0.0.1',
    port,
    url: `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    get admin() {
      return admin
    },
    kill,
    async restart(how) {
      if (how === 'empty') {
        rmSync(folder, { recursive: true, force: true })
        folder = mkdtempSync(join(tmpdir(), 'writ-redis-'))
      }
      await start()
    },
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface SentinelSetup {
  readonly primary: RedisServer
  readonly replicas: readonly RedisServer[]
  readonly name: string
  readonly sentinels: readonly { host: string; port: number }[]
  stop(): Promise<void>
}

/** A primary, its replicas, and one Sentinel that promotes a replica within about a second. */
export async function startSentinel(replicaCount = 1, tls?: RedisTls): Promise<SentinelSetup> {
  const primary = await startRedis(['--repl-diskless-sync-delay', '0'], tls)
  const replicas: RedisServer[] = []
  for (let n = 0; n < replicaCount; n++) {
    replicas.push(
      await startRedis(
        ['--replicaof', '127.0.0.1', String(primary.port), '--repl-diskless-sync-delay', '0'],
        tls,
      ),
    )
  }
  await until(
    async () =>
      (await primary.admin.info('replication')).match(/state=online/g)?.length === replicaCount,
  )
  await until(async () => {
    await primary.admin.set('warm-up', '', 'PX', 1)
    return (await primary.admin.wait(replicaCount, 200)) === replicaCount
  })
  const folder = mkdtempSync(join(tmpdir(), 'writ-sentinel-'))
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  writeFileSync(
    file,
    [
      ...listenArgs(port, tls).join(' ').split(/ ?--/).slice(1),
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor writ 127.0.0.1 ${primary.port} 1`,
      'sentinel down-after-milliseconds writ 300',
      'sentinel failover-timeout writ 2000',
    ].join('\n'),
  )
  const child = await launch([file, '--sentinel'], port, tls)
  const admin = new Redis(reach(port, tls))
  admin.on('error', () => undefined)
  await until(async () => {
    const known = (await admin.call('SENTINEL', 'replicas', 'writ')) as unknown[]
    return known.length === replicaCount
  })
  admin.disconnect()
  return {
    primary,
    replicas,
    name: 'writ',
    sentinels: [{ host: '127.0.0.1', port }],
    async stop() {
      await end(child)
      for (const server of [primary, ...replicas]) await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export interface ClusterSetup {
  readonly primaries: readonly RedisServer[]
  readonly replicas: readonly RedisServer[]
  readonly nodes: readonly { host: string; port: number }[]
  stop(): Promise<void>
}

/** Three primaries, each with a replica. */
export async function startCluster(tls?: RedisTls): Promise<ClusterSetup> {
  const args = [
    '--cluster-enabled',
    'yes',
    '--cluster-node-timeout',
    '1000',
    '--repl-diskless-sync-delay',
    '0',
    ...(tls === undefined ? [] : ['--tls-cluster', 'yes']),
  ]
  const started = await Promise.allSettled(Array.from({ length: 6 }, () => startRedis(args, tls)))
  const servers = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  const failed = started.find((each) => each.status === 'rejected')
  if (failed !== undefined) {
    // What is left running would keep the tests' process from ending.
    await Promise.all(servers.map((server) => server.stop()))
    throw failed.reason
  }
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  try {
    return { ...(await formCluster(servers)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function formCluster(servers: readonly RedisServer[]): Promise<Omit<ClusterSetup, 'stop'>> {
  const primaries = servers.slice(0, 3)
  const replicas = servers.slice(3)
  const [first] = primaries as [RedisServer]
  for (const [index, { admin }] of primaries.entries()) {
    const from = Math.floor((16_384 * index) / 3)
    const to = Math.floor((16_384 * (index + 1)) / 3) - 1
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to))
    await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1))
  }
  for (const { port } of servers.slice(1))
    await first.admin.call('CLUSTER', 'MEET', '127.0.0.1', String(port))
  await until(
    async () =>
      String(await first.admin.call('CLUSTER', 'NODES'))
        .trim()
        .split('\n').length === 6,
  )
  for (const [index, { admin }] of replicas.entries()) {
    const id = String(await primaries[index]?.admin.call('CLUSTER', 'MYID'))
    await until(async () => String(await admin.call('CLUSTER', 'NODES')).includes(id))
    await admin.call('CLUSTER', 'REPLICATE', id)
  }
  await until(async () => {
    for (const { admin } of primaries) {
      if (!(await admin.info('replication')).includes('state=online')) return false
      if (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) return false
    }
    return true
  })
  return {
    primaries,
    replicas,
    nodes: primaries.map(({ host, port }) => ({ host, port })),
  }
}

/** Waits until the condition holds. @throws {Error} when it does not within `limitMs` */
export async function until(
  condition: () => boolean | Promise<boolean>,
  limitMs = 15_000,
): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await Promise.resolve(condition()).catch(() => false))) {
    if (performance.now() > end) throw new Error(`did not become true within ${limitMs} ms`)
    await sleep(10)
  }
}

const CLUSTER_BUS = 10_000

/**
 * A port that is free, and whose Cluster bus port (10,000 above) is: both below those that the system
 * gives to outgoing connections (from 32,768), or one of these would take it in the meantime.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 12_000)
    if ((await isFree(port)) && (await isFree(port + CLUSTER_BUS))) return port
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => resolve(true))
  })
  if (free) await new Promise((resolve) => server.close(resolve))
  return free
}

function listenArgs(port: number, tls: RedisTls | undefined): string[] {
  if (tls === undefined) return ['--port', String(port)]
  return ['--port', '0', '--tls-port', String(port), '--tls-replication', 'yes', ...tls.args]
}

function reach(port: number, tls: RedisTls | undefined): RedisOptions {
  return { host: '127.0.0.1', port, ...(tls === undefined ? {} : { tls: tls.client }) }
}

async function launch(
  args: readonly string[],
  port: number,
  tls: RedisTls | undefined,
): Promise<ChildProcess> {
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  running.add(child)
  child.once('exit', () => running.delete(child))
  await until(async () => {
    if (child.exitCode !== null) return true
    const redis = new Redis({
      ...reach(port, tls),
      lazyConnect: true,
      retryStrategy: () => null,
    })
    redis.on('error', () => undefined)
    try {
      await redis.connect()
      return true
    } finally {
      redis.disconnect()
    }
  })
  if (child.exitCode !== null) throw new Error(`redis-server on ${port} ended: the port is taken`)
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
