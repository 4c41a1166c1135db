/** A broker and verifiers on a Redis, as they run: epochs and revocations travel in the feed. */
import type { Ledger } from '../../src/ledger/ledger.ts'
import { redisLedger } from '../../src/ledger/redis.ts'
import type { Place } from '../../src/ledger/redis-topology.ts'
import type { FeedTransport } from '../../src/revocation/feed.ts'
import { RevocationPublisher } from '../../src/revocation/publisher.ts'
import { type RefusedText, Revocations } from '../../src/revocation/revocations.ts'
import type { SigningKey } from '../../src/token/jws.ts'
import { keySourceOf, makeSigningKey } from '../support/feed-keys.ts'
import { until } from '../support/redis.ts'

export const issuer = 'https://broker.example'
export const resource = 'https://mcp.example/mcp'
export const now = (): number => Date.now() / 1000

export interface Broker {
  readonly ledger: Ledger
  readonly publisher: RevocationPublisher
  readonly key: SigningKey
  close(): Promise<void>
}

export interface Verifier {
  readonly ledger: Ledger
  readonly revocations: Revocations
  readonly refused: readonly RefusedText[]
  close(): Promise<void>
}

/** A busy test machine is no reason to refuse. */
const commandTimeoutMs = 1000

type Options = Place & { replicas?: number }

export async function startBroker(place: Options, key = makeSigningKey('k1')): Promise<Broker> {
  const ledger = redisLedger({
    ...place,
    role: 'broker',
    clockToleranceSeconds: 0,
    commandTimeoutMs,
  })
  await ledger.open()
  const publisher = new RevocationPublisher({
    issuer,
    key: () => key,
    keys: keySourceOf(key),
    transport: ledger.feed as FeedTransport,
    beatEveryMs: 50,
  })
  await publisher.start()
  return {
    ledger,
    publisher,
    key,
    async close() {
      await publisher.close()
      await ledger.close()
    },
  }
}

export async function startVerifier(place: Options, key: SigningKey): Promise<Verifier> {
  const ledger = redisLedger({ ...place, role: 'verifier', resource, commandTimeoutMs })
  await ledger.open()
  const refused: RefusedText[] = []
  const revocations = new Revocations({
    keys: keySourceOf(key),
    issuer,
    transport: ledger.feed as FeedTransport,
    onRefused: (text) => refused.push(text),
  })
  await revocations.start()
  return {
    ledger,
    revocations,
    refused,
    async close() {
      await revocations.close()
      await ledger.close()
    },
  }
}

/** Spends ids on many slots until all are honoured: every shard is trusted, and time has passed. */
export async function untilSpending(ledger: Ledger): Promise<void> {
  await until(async () => {
    const issuedAt = Math.floor(now())
    const ids = Array.from({ length: 20 }, (_, n) => `warm-${n}-${Math.random()}`)
    const spends = await Promise.all(ids.map((id) => ledger.spend(id, now() + 60, issuedAt)))
    return spends.every(Boolean)
  })
}

/** What a verifier would say to a token now: `true` is honoured, `false` spent, or the refusal. */
export async function attempt(ledger: Ledger, id: string, issuedAt: number) {
  try {
    // As a verifier does that looks first and spends later, and as one that passes `issuedAt`.
    if (issuedAt < ledger.honoursFrom(id)) return 'token_before_epoch'
    return await ledger.spend(id, now() + 60, issuedAt)
  } catch (error) {
    return (error as Error).message
  }
}
