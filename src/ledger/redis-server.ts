/** What one Redis or Valkey server says about itself, and whether it may keep spends. */
import type { Redis } from 'ioredis'
import { CLOCK_TOLERANCE_SECONDS } from './bounds.ts'

export interface Server {
  /** New with every start of the process. */
  readonly runId: string
  /** New with every change of whose history it follows. */
  readonly replicationId: string
  readonly version: string
  readonly role: string
  readonly mode: string
  readonly appendOnly: boolean
  readonly evictionPolicy: string
  /** Those that follow it now, not those still copying. */
  readonly replicas: number
  readonly loading: boolean
  /** Its clock minus ours, in seconds. */
  readonly clockOffsetSeconds: number
}

/** What the operator declared. */
export interface Declared {
  readonly topology: 'single' | 'sentinel' | 'cluster'
  /** Replicas that must confirm every write. */
  readonly replicas: number
}

export async function inspectServer(redis: Redis, clock: () => number): Promise<Server> {
  const before = clock()
  const [text, time] = await Promise.all([redis.info(), redis.time()])
  const [seconds, microseconds] = time
  const fields = parseInfo(text)
  const field = (name: string): string => fields.get(name) ?? ''
  return {
    runId: field('run_id'),
    replicationId: field('master_replid'),
    version: field('redis_version'),
    role: field('role'),
    mode: field('redis_mode'),
    appendOnly: field('aof_enabled') === '1',
    evictionPolicy: field('maxmemory_policy'),
    replicas: text.match(/^slave\d+:.*state=online/gm)?.length ?? 0,
    loading: field('loading') === '1',
    // Half way between question and answer, so that a slow network does not look like a wrong clock.
    clockOffsetSeconds: Number(seconds) + Number(microseconds) / 1e6 - (before + clock()) / 2,
  }
}

export function parseInfo(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}

/** Why spends may not be kept on this server, each with what to set; empty when they may. */
export function problemsOf(server: Server, declared: Declared): string[] {
  const { topology, replicas } = declared
  const problems: string[] = []
  if (!isRecent(server.version)) {
    problems.push(`version ${server.version} is too old: use Redis 7.0 or newer, or Valkey`)
  }
  if (topology !== 'cluster' && server.mode === 'cluster') {
    problems.push('the server is part of a Cluster: set cluster instead of url')
  }
  if (server.evictionPolicy !== 'noeviction') {
    problems.push(
      `maxmemory-policy is ${server.evictionPolicy}, which drops spends: set it to noeviction`,
    )
  }
  if (topology !== 'single' && replicas < 1) {
    problems.push(`${topology} fails over to replicas: set replicas to 1 or more`)
  } else if (!server.appendOnly && replicas < 1) {
    problems.push('nothing keeps spends over a restart: set appendonly yes, or declare replicas')
  }
  if (Math.abs(server.clockOffsetSeconds) > CLOCK_TOLERANCE_SECONDS) {
    problems.push(
      `its clock is ${server.clockOffsetSeconds.toFixed(1)} s from ours, more than ` +
        `${CLOCK_TOLERANCE_SECONDS} s: synchronise both with NTP`,
    )
  }
  if (server.runId === '' || server.replicationId === '') {
    problems.push('INFO does not tell its run id: permit the user the INFO command')
  }
  return problems
}

/** Checked at the start only: later, replicas come and go, and `WAIT` refuses while too few are there. */
export function replicaProblemsOf(server: Server, { replicas }: Declared): string[] {
  if (server.replicas < replicas) {
    return [`${server.replicas} of ${replicas} declared replicas are connected: start the others`]
  }
  // Two halves of a split must never both find enough replicas to confirm a spend.
  const needed = Math.ceil(server.replicas / 2)
  if (replicas > 0 && replicas < needed) {
    return [`${server.replicas} replicas are connected: set replicas to ${needed} or more`]
  }
  return []
}

function isRecent(version: string): boolean {
  return Number.parseInt(version, 10) >= 7
}
