/**
 * Which server keeps which id, in the three ways Redis is run. Writ routes by itself, so that every
 * command goes to a connection whose server has been checked, and nothing is redirected behind its
 * back.
 */
import type { Redis } from 'ioredis'
import {
  type Address,
  type Credentials,
  connectBySentinel,
  connected,
  connectTo,
  parseRedisUrl,
  type SentinelOptions,
  within,
} from './redis-connect.ts'
import { Link, type LinkOptions } from './redis-link.ts'
import { type Declared, problemsOf, replicaProblemsOf, type Server } from './redis-server.ts'

export interface Place extends Credentials {
  readonly url?: string | undefined
  readonly sentinel?: SentinelOptions | undefined
  readonly cluster?: { readonly nodes: readonly Address[] } | undefined
}

export interface Topology {
  readonly kind: Declared['topology']
  /** Connects to all. @throws {Error} what is wrong, and what to set */
  open(): Promise<void>
  linkOf(slot: number): Link | undefined
  links(): readonly Link[]
  /** A slot that the link's server owns, the given one if it can be. */
  ownedSlot(link: Link, wanted: number): number | undefined
  /** The slots of the link's server as text, or `-` where one server has them all. */
  slotsOf(link: Link): string
  /** Looks again how the slots are spread. */
  refresh(): Promise<void>
  /** A further connection to the server that owns the slot; not connected yet. */
  connect(slot: number): Redis
  close(): void
}

export type Events = Pick<
  LinkOptions,
  'opened' | 'closed' | 'clock' | 'replicas' | 'commandTimeoutMs'
>

const SLOTS = 16_384
const REFRESH_MS = 5000
const REFRESH_AFTER_TROUBLE_MS = 100

/** @throws {TypeError} not exactly one of url, sentinel and cluster */
export function topologyOf(place: Place, events: Events): Topology {
  const { url, sentinel, cluster } = place
  if ([url, sentinel, cluster].filter((given) => given !== undefined).length !== 1) {
    throw new TypeError('give one of url, sentinel and cluster')
  }
  if (cluster !== undefined) return new ClusterTopology(cluster.nodes, place, events)
  if (sentinel !== undefined) {
    return oneServer('sentinel', () => connectBySentinel(sentinel, place), events)
  }
  const [address, credentials] = parseRedisUrl(url as string, place)
  return oneServer('single', () => connectTo(address, credentials), events)
}

function oneServer(kind: 'single' | 'sentinel', connect: () => Redis, events: Events): Topology {
  const declared: Declared = { topology: kind, replicas: events.replicas }
  const link = new Link({
    ...events,
    connect,
    problems: (server) => problemsOf(server, declared),
    misplaced: () => undefined,
  })
  return {
    kind,
    async open() {
      refuseToStart(await link.open().catch(startError), declared)
    },
    linkOf: () => link,
    links: () => [link],
    ownedSlot: (_, wanted) => wanted,
    slotsOf: () => '-',
    refresh: async () => undefined,
    connect,
    close: () => link.close(),
  }
}

class ClusterTopology implements Topology {
  readonly kind = 'cluster'
  readonly #seeds: readonly Address[]
  readonly #credentials: Credentials
  readonly #events: Events
  readonly #declared: Declared
  #links = new Map<string, Link>()
  #slots: (Link | undefined)[] = []
  #addresses: (Address | undefined)[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(seeds: readonly Address[], credentials: Credentials, events: Events) {
    this.#seeds = seeds
    this.#credentials = credentials
    this.#events = events
    this.#declared = { topology: 'cluster', replicas: events.replicas }
  }

  async open(): Promise<void> {
    const fresh = await this.#refresh().catch(startError)
    if (this.#slots.filter((link) => link !== undefined).length < SLOTS) {
      startError(new Error('the Cluster does not cover all slots: finish its set-up'))
    }
    for (const link of fresh) refuseToStart(await link.open().catch(startError), this.#declared)
    this.#schedule(REFRESH_MS)
  }

  linkOf(slot: number): Link | undefined {
    return this.#slots[slot]
  }

  links(): readonly Link[] {
    return [...this.#links.values()]
  }

  ownedSlot(link: Link, wanted: number): number | undefined {
    if (this.#slots[wanted] === link) return wanted
    const found = this.#slots.indexOf(link)
    return found < 0 ? undefined : found
  }

  slotsOf(link: Link): string {
    const ranges: string[] = []
    for (let first = 0; first < SLOTS; first++) {
      if (this.#slots[first] !== link) continue
      let last = first
      while (this.#slots[last + 1] === link) last++
      ranges.push(`${first}-${last}`)
      first = last
    }
    return ranges.join(',')
  }

  async refresh(): Promise<void> {
    for (const link of await this.#refresh()) link.keep()
  }

  connect(slot: number): Redis {
    const address = this.#addresses[slot]
    if (address === undefined) throw new Error('no server is known for the slot')
    return connectTo(address, this.#credentials)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const link of this.#links.values()) link.close()
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    this.#timer = setTimeout(async () => {
      const links = await this.#refresh().catch(() => undefined)
      for (const link of links ?? []) link.keep()
      const whole = links !== undefined && this.links().every((link) => link.server !== undefined)
      this.#schedule(whole ? REFRESH_MS : REFRESH_AFTER_TROUBLE_MS)
    }, ms)
    this.#timer.unref()
  }

  /** Asks one server after another how the slots are spread; answers links that are new. */
  async #refresh(): Promise<Link[]> {
    for (const [name, link] of this.#links) {
      if (link.server === undefined) continue
      const ranges = await link.ask((redis) => redis.cluster('SLOTS')).catch(() => undefined)
      if (ranges !== undefined) return this.#adopt(ranges as unknown as SlotRange[], parse(name))
    }
    const known = [...this.#addresses.filter((address) => address !== undefined), ...this.#seeds]
    const unique = new Map(known.map((address) => [`${address.host}:${address.port}`, address]))
    let reason: unknown
    for (const address of unique.values()) {
      const redis = connectTo(address, this.#credentials)
      try {
        await connected(redis)
        return this.#adopt(
          (await within(1000, redis.cluster('SLOTS'))) as unknown as SlotRange[],
          address,
        )
      } catch (error) {
        reason = error
      } finally {
        redis.disconnect()
      }
    }
    throw reason
  }

  #adopt(ranges: readonly SlotRange[], asked: Address): Link[] {
    const links = new Map<string, Link>()
    const slots: (Link | undefined)[] = new Array(SLOTS)
    const addresses: (Address | undefined)[] = new Array(SLOTS)
    const fresh: Link[] = []
    for (const [first, last, [host, port]] of ranges) {
      // An empty host means: the one that was asked.
      const address = { host: host || asked.host, port: Number(port) }
      const name = `${address.host}:${address.port}`
      const link = links.get(name) ?? this.#links.get(name) ?? this.#makeLink(address)
      if (!links.has(name) && !this.#links.has(name)) fresh.push(link)
      links.set(name, link)
      slots.fill(link, first, last + 1)
      addresses.fill(address, first, last + 1)
    }
    for (const [name, link] of this.#links) if (!links.has(name)) link.close()
    this.#links = links
    this.#slots = slots
    this.#addresses = addresses
    return fresh
  }

  #makeLink(address: Address): Link {
    return new Link({
      ...this.#events,
      connect: () => connectTo(address, this.#credentials),
      problems: (server) => problemsOf(server, this.#declared),
      closed: (link) => {
        this.#events.closed(link)
        this.#schedule(0)
      },
      misplaced: () => this.#schedule(0),
    })
  }
}

function parse(name: string): Address {
  const colon = name.lastIndexOf(':')
  return { host: name.slice(0, colon), port: Number(name.slice(colon + 1)) }
}

type SlotRange = readonly [first: number, last: number, primary: readonly [string, number]]

function refuseToStart(server: Server, declared: Declared): void {
  const problems = replicaProblemsOf(server, declared)
  if (problems.length > 0) startError(new Error(problems.join('; ')))
}

function startError(error: unknown): never {
  const why = error instanceof Error ? error.message : String(error)
  throw new Error(`Redis may not be used as it is: ${why}`, { cause: error })
}
