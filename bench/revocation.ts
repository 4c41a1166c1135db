// From the acknowledgement of a revocation until the last verifier refuses, one after another, under load.
import { fileURLToPath } from 'node:url'
import { type BrokerProcess, startBrokers } from '../test/attacks/brokers.ts'
import { startProgram } from '../test/attacks/program.ts'
import { type Got, LIST, newKey, obtain, present } from '../test/attacks/sender.ts'
import { makeSite, type VerifierProcess } from '../test/attacks/site.ts'
import type { LoadOptions } from './revocation-load.ts'
import { percentile, round } from './statistics.ts'

const TRIALS = 1000
const WARM_UP_TRIALS = 50
const EXCHANGES_PER_SECOND = 200
const VERIFIERS = 4
const LOAD_KEYS = 20
/** What nobody waits for longer: then something is broken, and not late. */
const GIVE_UP_MS = 30_000

export interface RevocationFigures {
  /** Milliseconds from the acknowledgement until the last verifier has answered with a refusal. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** How long the admin waited for the acknowledgement. */
  readonly acknowledgedP50Ms: number
  readonly acknowledgedP99Ms: number
  readonly trials: number
  readonly brokers: number
  readonly verifiers: number
  readonly exchangesPerSecond: number
}

/**
 * Two brokers on Redis, or one on SQLite whose verifiers follow it over HTTP.
 *
 * @throws {Error} when a verifier accepts what it has refused before
 */
export async function measureRevocation(
  redisUrl: string | undefined,
  progress: (text: string) => void,
): Promise<RevocationFigures> {
  const redis = redisUrl === undefined ? undefined : { url: redisUrl }
  const site = await makeSite(redis === undefined ? {} : { store: { redis } })
  let brokers: BrokerProcess[] = []
  let load: ReturnType<typeof startProgram> | undefined
  try {
    progress('starting')
    brokers = await startBrokers(site, redis === undefined ? 1 : 2)
    const verifiers = await Promise.all(
      Array.from({ length: VERIFIERS }, () => site.startVerifier(redis && { redis })),
    )
    const options: LoadOptions = {
      issuer: site.issuer,
      ports: brokers.map(({ port }) => port),
      svids: await Promise.all(
        Array.from({ length: LOAD_KEYS }, (_, n) => site.svid(`/agents/l${n}`)),
      ),
      perSecond: EXCHANGES_PER_SECOND,
    }
    const file = fileURLToPath(new URL('revocation-load.ts', import.meta.url))
    load = startProgram([file, JSON.stringify(options)])
    const key = newKey()
    const svid = await site.svid()
    const tokens: Got[] = []
    const trial = async (n: number): Promise<{ waitedMs: number; afterMs: number }> => {
      const got = await obtain(site, 'session', { key, svid })
      tokens.push(got)
      return refusedEverywhere(got, brokers[n % brokers.length]!, verifiers)
    }
    progress('warming up')
    for (let n = 0; n < WARM_UP_TRIALS; n += 1) await trial(n)
    const before = await load.ask<{ issued: number }>({})
    const sinceMs = performance.now()
    progress('measuring')
    const trials: { waitedMs: number; afterMs: number }[] = []
    for (let n = 0; n < TRIALS; n += 1) trials.push(await trial(n))
    const seconds = (performance.now() - sinceMs) / 1000
    const { issued } = await load.ask<{ issued: number }>({})
    for (const [n, got] of tokens.entries()) {
      await mustRefuse(verifiers[n % VERIFIERS]!, got)
    }
    const after = trials.map(({ afterMs }) => afterMs)
    const waited = trials.map(({ waitedMs }) => waitedMs)
    return {
      p50Ms: round(percentile(after, 0.5)),
      p99Ms: round(percentile(after, 0.99)),
      maxMs: round(Math.max(...after)),
      acknowledgedP50Ms: round(percentile(waited, 0.5)),
      acknowledgedP99Ms: round(percentile(waited, 0.99)),
      trials: TRIALS,
      brokers: brokers.length,
      verifiers: VERIFIERS,
      exchangesPerSecond: Math.round((issued - before.issued) / seconds),
    }
  } finally {
    await load?.stop('SIGKILL')
    await Promise.all(brokers.map((broker) => broker.stop('SIGKILL')))
    await site.stop()
  }
}

/** A token that every verifier accepts is revoked, and tried everywhere until it is refused. */
async function refusedEverywhere(
  got: Got,
  broker: BrokerProcess,
  verifiers: readonly VerifierProcess[],
): Promise<{ waitedMs: number; afterMs: number }> {
  await Promise.all(verifiers.map((verifier) => untilAnswered(verifier, got, 200)))
  const askedMs = performance.now()
  await broker.revoke({ kind: 'jti', value: got.jti })
  const acknowledgedMs = performance.now()
  const refusedMs = await Promise.all(
    verifiers.map((verifier) => untilAnswered(verifier, got, 401)),
  )
  await Promise.all(verifiers.map((verifier) => mustRefuse(verifier, got)))
  return {
    waitedMs: acknowledgedMs - askedMs,
    afterMs: Math.max(...refusedMs) - acknowledgedMs,
  }
}

/** Presents the token again and again; answers when the wanted answer came. */
async function untilAnswered(
  { port }: VerifierProcess,
  got: Got,
  wanted: 200 | 401,
): Promise<number> {
  const sinceMs = performance.now()
  for (;;) {
    const { status, text } = await present(port, got, LIST)
    const nowMs = performance.now()
    if (status === wanted) return nowMs
    if (nowMs - sinceMs > GIVE_UP_MS) throw new Error(`bench: no ${wanted}, but ${status} ${text}`)
  }
}

/** Whatever else it may say, it does not accept what it refused before. */
async function mustRefuse({ port }: VerifierProcess, got: Got): Promise<void> {
  const { status } = await present(port, got, LIST)
  if (status === 200) throw new Error('bench: a verifier accepted what had been revoked')
}
