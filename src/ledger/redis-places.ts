/**
 * Where each tag's keys are, and in which epoch they may be read and written: the part of a Redis
 * ledger that is the same for spends, documents and sessions.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Refusal } from '../refusal.ts'
import type { Epoch } from '../revocation/feed.ts'
import { checkEpoch, unavailable } from './bounds.ts'
import type { Command, Reply } from './redis-batch.ts'
import { coversSlot, type EpochOptions, standingEpoch } from './redis-epochs.ts'
import { slotOf } from './redis-keys.ts'
import { type Link, LinkLost } from './redis-link.ts'
import { type Place, type Topology, topologyOf } from './redis-topology.ts'

export interface PlacesOptions extends EpochOptions {
  readonly place: Place
  readonly role: 'broker' | 'verifier'
  readonly replicas: number
  readonly commandTimeoutMs: number
  readonly staleAfterMs: number
}

export interface Places {
  readonly topology: Topology
  /** Connects to all; a broker also learns the epochs, and answers since when all may be used. */
  open(): Promise<number>
  /** Of every server that can be asked: what the others keep is refused until they can. */
  epochs(): Promise<readonly Epoch[]>
  learn(epochs: readonly Epoch[]): void
  /** @throws {Refusal} ledger_unavailable */
  placeOf(tag: string): { readonly link: Link; readonly epoch: Epoch }
  /**
   * Runs the commands on the tag's server, once more when the connection was lost before their answer
   * came: only for what may be run twice.
   *
   * @throws {Refusal} ledger_unavailable, token_before_epoch
   */
  run(
    tag: string,
    issuedAt: number | undefined,
    commands: readonly Command[],
  ): Promise<{ readonly replies: readonly Reply[]; readonly again: boolean }>
  /**
   * Runs the commands once, and answers their values. After a refusal they may have been run or not.
   *
   * @throws {Refusal} ledger_unavailable
   */
  runOnce(tag: string, commands: readonly Command[]): Promise<readonly unknown[]>
}

/** How long one's own command is tried again after the connection was lost. */
const RETRY_WITHIN_MS = 150
const REFRESH_EVERY = 4

/** @throws {TypeError} not exactly one of url, sentinel and cluster */
export function redisPlaces(options: PlacesOptions): Places {
  const { role, replicas, commandTimeoutMs, staleAfterMs, clock } = options
  let learned = new Map<string, Epoch>()
  let learnedMs = Number.NEGATIVE_INFINITY
  let asked = 0

  const topology = topologyOf(options.place, {
    replicas,
    commandTimeoutMs,
    clock,
    closed: () => undefined,
    opened(link) {
      if (role === 'verifier') link.epoch = learned.get(link.server?.runId ?? '')
      else stand(link).catch(() => undefined)
    },
  })

  async function stand(link: Link): Promise<Epoch> {
    const epoch = await standingEpoch(link, topology, options)
    link.epoch = epoch
    return epoch
  }

  /** Of every server that can be asked: what the others keep is refused until they can. */
  async function epochs(): Promise<readonly Epoch[]> {
    if (++asked % REFRESH_EVERY === 0) await topology.refresh()
    const found = await Promise.allSettled(topology.links().map(stand))
    const standing = found.filter((result) => result.status === 'fulfilled')
    if (standing.length > 0) return standing.map(({ value }) => value)
    throw (found[0] as PromiseRejectedResult | undefined)?.reason ?? unavailable('no server')
  }

  function learn(epochs: readonly Epoch[]): void {
    if (role === 'broker') return
    learned = new Map(epochs.map((epoch) => [epoch.server, epoch]))
    learnedMs = performance.now()
    for (const link of topology.links()) link.epoch = learned.get(link.server?.runId ?? '')
  }

  /** Where the tag's marks are, and the epoch they are made in. */
  function placeOf(tag: string): { link: Link; epoch: Epoch } {
    const slot = topology.kind === 'cluster' ? slotOf(tag) : 0
    const link = topology.linkOf(slot)
    if (link?.server === undefined) throw unavailable(link?.problem ?? 'no server is known')
    const stale = role === 'verifier' && performance.now() - learnedMs > staleAfterMs
    if (link.epoch === undefined || stale) throw unavailable('the epoch of the store is not known')
    if (!coversSlot(link.epoch, slot)) throw unavailable('the server has only just got the slot')
    return { link, epoch: link.epoch }
  }

  /** Runs the commands, once more when the connection was lost before their answer came. */
  async function run(tag: string, issuedAt: number | undefined, commands: readonly Command[]) {
    const { link, epoch } = placeOf(tag)
    checkEpoch(issuedAt, epoch.since)
    try {
      return { replies: await link.run(epoch, commands), again: false }
    } catch (error) {
      if (!(error instanceof LinkLost)) throw error
      const deadline = performance.now() + RETRY_WITHIN_MS
      while (performance.now() < deadline) {
        await sleep(10)
        const place = tryPlaceOf(tag)
        // What was lost since then is unknown to the caller, who asked about the epoch before.
        if (place === undefined || place.epoch.since > epoch.since) continue
        const replies = await place.link.run(place.epoch, commands).catch((late: unknown) => {
          throw late instanceof LinkLost ? unavailable('the connection was lost', late) : late
        })
        return { replies, again: true }
      }
      throw unavailable('the connection was lost', error)
    }
  }

  function tryPlaceOf(tag: string): ReturnType<typeof placeOf> | undefined {
    try {
      return placeOf(tag)
    } catch {
      return undefined
    }
  }

  async function standPatiently(link: Link): Promise<Epoch> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await stand(link)
      } catch (error) {
        // Another broker that starts at the same moment may have begun the epoch.
        if (attempt === 5) throw error
        await sleep(20 * attempt)
      }
    }
  }

  return {
    topology,
    epochs,
    learn,
    placeOf,
    run,

    async open() {
      await topology.open()
      if (role === 'verifier') return 0
      const standing = await Promise.all(topology.links().map(standPatiently))
      return Math.max(...standing.map(({ since }) => since))
    },

    async runOnce(tag, commands) {
      const { link, epoch } = placeOf(tag)
      const replies = await link.run(epoch, commands).catch((error: unknown) => {
        throw error instanceof LinkLost ? unavailable('the connection was lost', error) : error
      })
      return replies.map(answerOf)
    },
  }
}

/** @throws {Refusal} ledger_unavailable when the command failed */
export function answerOf(reply: Reply | undefined): unknown {
  const [error, value] = reply ?? [new Error('no reply'), undefined]
  if (error === null) return value
  throw error instanceof Refusal ? error : unavailable(`the store refused: ${error.message}`, error)
}
