/**
 * The way to one server that keeps spends: one connection at a time, and certainty about what is at
 * its other end.
 *
 * What is asked in one turn of the event loop travels as one batch: all commands, then `WAIT` when
 * replicas must confirm, then a read of the epoch's guard. The server runs them in this order, so a
 * guard that is still the epoch's proves that nothing was lost before the marks were made. A batch
 * does not wait for the one before it.
 */
import type { Redis } from 'ioredis'
import { Refusal } from '../refusal.ts'
import type { Epoch } from '../revocation/feed.ts'
import { unavailable } from './bounds.ts'
import { type Command, type Reply, sendBatch } from './redis-batch.ts'
import { connected, within } from './redis-connect.ts'
import { inspectServer, type Server } from './redis-server.ts'

export interface LinkOptions {
  readonly connect: () => Redis
  readonly replicas: number
  readonly commandTimeoutMs: number
  readonly clock: () => number
  /** Why the server may not be used; empty when it may. */
  readonly problems: (server: Server) => string[]
  /** A connection whose server has been checked. */
  readonly opened: (link: Link) => void
  readonly closed: (link: Link) => void
  /** A reply that says that the server is not the one to ask (any more). */
  readonly misplaced: () => void
}

interface Job {
  readonly epoch: Epoch
  readonly commands: readonly Command[]
  readonly resolve: (replies: readonly Reply[]) => void
  readonly reject: (error: Error) => void
}

/** The command may or may not have been run: it may be tried again, under the same request id. */
export class LinkLost extends Error {}

const MAX_RECONNECT_MS = 500
/** A connection that has not answered anything for so long is given up. */
const DEAD_AFTER_MS = 1000
const ELSEWHERE = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|READONLY|LOADING|MASTERDOWN|UNBLOCKED)\b/

export class Link {
  readonly #options: LinkOptions
  #redis: Redis | undefined
  #server: Server | undefined
  #epoch: Epoch | undefined
  #jobs: Job[] = []
  #attempts = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false
  /** Since when something has been asked and nothing answered. */
  #askedMs: number | undefined
  #problem = 'not connected'

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** The checked server at the other end; undefined from the moment the connection is lost. */
  get server(): Server | undefined {
    return this.#server
  }

  get problem(): string {
    return this.#problem
  }

  /** The epoch in which spends may be made on this connection. */
  get epoch(): Epoch | undefined {
    return this.#epoch
  }

  set epoch(epoch: Epoch | undefined) {
    this.#epoch = epoch !== undefined && epoch.server === this.#server?.runId ? epoch : undefined
  }

  /** Connects once. @throws {Error} what is wrong with the server, or with reaching it */
  async open(): Promise<Server> {
    const redis = this.#options.connect()
    try {
      await connected(redis)
      const server = await within(1000, inspectServer(redis, this.#options.clock))
      if (server.role !== 'master' || server.loading) throw new Error('the server is not a primary')
      const problems = this.#options.problems(server)
      if (problems.length > 0) throw new Error(problems.join('; '))
      if (this.#closed || redis.status !== 'ready') throw new Error('the connection was lost')
      this.#redis = redis
      this.#server = server
      this.#attempts = 0
      this.#askedMs = undefined
      redis.once('close', () => this.#lost(redis))
      this.#options.opened(this)
      return server
    } catch (error) {
      redis.disconnect()
      this.#problem = error instanceof Error ? error.message : String(error)
      throw error
    }
  }

  /** Connects and stays connected, whatever happens. */
  keep(): void {
    if (this.#closed || this.#redis !== undefined || this.#timer !== undefined) return
    const delayMs = Math.min(20 * 2 ** this.#attempts++, MAX_RECONNECT_MS)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.open().catch(() => this.keep())
    }, delayMs).unref()
  }

  /**
   * Runs the commands in the epoch that was given.
   *
   * @throws {LinkLost} the answer did not come; @throws {Refusal} ledger_unavailable
   */
  run(epoch: Epoch, commands: readonly Command[]): Promise<readonly Reply[]> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ epoch, commands, resolve, reject })
      if (this.#jobs.length === 1) setImmediate(() => this.#flush())
    })
  }

  /** For everything that is not a spend; sent on the connection whose server `server` describes. */
  async ask<T>(question: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#redis === undefined) throw unavailable(this.#problem)
    this.#askedMs ??= performance.now()
    try {
      const answer = await within(2 * this.#options.commandTimeoutMs, question(this.#redis))
      this.#askedMs = undefined
      return answer
    } catch (error) {
      this.#notice(error)
      throw unavailable('the store did not answer', error)
    }
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#redis?.disconnect()
  }

  #flush(): void {
    const jobs = this.#jobs
    this.#jobs = []
    const redis = this.#redis
    const epoch = this.#epoch
    if (redis === undefined || epoch === undefined || redis.status !== 'ready') {
      for (const job of jobs) job.reject(unavailable('the epoch of the store is not known'))
      return
    }
    const commands: Command[] = []
    const sent: Job[] = []
    for (const job of jobs) {
      if (job.epoch.guard !== epoch.guard) {
        job.reject(unavailable('the store began a new epoch'))
        continue
      }
      sent.push(job)
      commands.push(...job.commands)
    }
    if (sent.length === 0) return
    const { replicas, commandTimeoutMs } = this.#options
    if (replicas > 0) commands.push(['wait', replicas, Math.ceil(commandTimeoutMs * 0.75)])
    commands.push(['get', epoch.guardKey])
    this.#askedMs ??= performance.now()
    this.#settle(sent, epoch, sendBatch(redis, commands))
  }

  async #settle(
    sent: readonly Job[],
    epoch: Epoch,
    answer: Promise<readonly Reply[]>,
  ): Promise<void> {
    try {
      const replies = await within(this.#options.commandTimeoutMs, answer)
      const guard = replies.at(-1) as Reply
      if (guard[0] !== null) throw new LinkLost(guard[0].message)
      this.#askedMs = undefined
      if (guard[1] !== epoch.guard) {
        this.#epoch = undefined
        throw unavailable('the store has lost data')
      }
      const { replicas } = this.#options
      const confirmed = replicas > 0 ? Number(replies.at(-2)?.[1]) : 0
      let next = 0
      for (const job of sent) {
        const own = replies.slice(next, next + job.commands.length)
        next += job.commands.length
        for (const [error] of own) this.#notice(error)
        if (confirmed >= replicas) job.resolve(own)
        else job.reject(unavailable('too few replicas confirmed'))
      }
    } catch (error) {
      this.#notice(error)
      for (const job of sent) job.reject(this.#failure(error))
    }
  }

  #failure(error: unknown): Error {
    if (error instanceof LinkLost || error instanceof Refusal) return error
    return unavailable('the store did not answer', error)
  }

  #notice(error: unknown): void {
    if (error === null) return
    const text = error instanceof Error ? error.message : ''
    if (ELSEWHERE.test(text)) {
      this.#options.misplaced()
      // A server that was a primary and is none now: look again for the one that is.
      if (/^(READONLY|MASTERDOWN|LOADING|UNBLOCKED)/.test(text)) this.#redis?.disconnect()
    } else if (performance.now() - (this.#askedMs ?? Infinity) > DEAD_AFTER_MS) {
      this.#redis?.disconnect()
    }
  }

  #lost(redis: Redis): void {
    if (this.#redis !== redis) return
    this.#redis = undefined
    this.#server = undefined
    this.#epoch = undefined
    this.#problem = 'the connection was lost'
    this.#options.closed(this)
    this.keep()
  }
}
