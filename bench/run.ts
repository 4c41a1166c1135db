// npm run bench [-- --json]: what an exchange and a verification cost, against floors of the
// same run, and how soon a revocation is in force.
import { cpus } from 'node:os'
import { type ExchangeFigures, measureExchange } from './exchange.ts'
import { closeConnections, IN_FLIGHT, KEYS } from './load.ts'
import { measureProve } from './prove.ts'
import { measureRawVerify } from './raw.ts'
import { startBenchRedis } from './redis.ts'
import { measureRevocation, type RevocationFigures } from './revocation.ts'
import { round } from './statistics.ts'
import { measureSteps } from './steps.ts'
import { measureVerifyInChild, type VerifyFigures } from './verify.ts'

const json = process.argv.includes('--json')
const progress = (text: string): void => void process.stderr.write(`bench: ${text}\n`)

progress(`node ${process.version}, ${cpus().length} cores, ${KEYS} keys, ${IN_FLIGHT} in flight`)
const rawVerifyUs = measureRawVerify()
const redis = await startBenchRedis()
if (redis === undefined)
  progress('no redis-server: its figures are left out (apt-get install redis-server)')
const sqlite = await measureExchange(undefined, (text) => progress(`exchange on SQLite, ${text}`))
const onRedis =
  redis && (await measureExchange(redis.url, (text) => progress(`exchange on Redis, ${text}`)))
progress('verify')
const verifyMemory = await measureVerifyInChild(undefined)
const verifyRedis = redis && (await measureVerifyInChild(redis.url))
progress('proofs of identity')
const prove = await measureProve()
progress('steps')
const steps = await measureSteps()
await redis?.stop()
// A store of its own: brokers of another issuer were at work in the other one.
const empty = redis && (await startBenchRedis())
const revocationOnRedis =
  empty && (await measureRevocation(empty.url, (text) => progress(`revocation on Redis, ${text}`)))
await empty?.stop()
const revocationOnSqlite = await measureRevocation(undefined, (text) =>
  progress(`revocation on SQLite, ${text}`),
)
await closeConnections()

const result = {
  node: process.version,
  rawVerifyUs,
  exchange: { sqlite: inRaw(sqlite), ...(onRedis && { redis: inRaw(onRedis) }) },
  verify: { memory: inRaw(verifyMemory), ...(verifyRedis && { redis: inRaw(verifyRedis) }) },
  prove,
  stepsUs: steps,
  revocation: {
    ...(revocationOnRedis && { redis: revocationOnRedis }),
    sqlite: revocationOnSqlite,
  },
}
if (json) process.stdout.write(`${JSON.stringify(result)}\n`)
else print()
process.exit(0)

function inRaw<T extends { readonly floorUs: number }>(figures: T) {
  return { ...figures, floorRawVerifies: round(figures.floorUs / rawVerifyUs) }
}

function print(): void {
  const lines = [
    `one raw ES256 crypto.verify: ${rawVerifyUs} µs of CPU`,
    '',
    'exchange: CPU of the broker, floor = bare node:http, one check, one signature, one store command',
    exchangeLine('SQLite', sqlite),
    ...(onRedis === undefined ? [] : [exchangeLine('Redis', onRedis)]),
    '',
    'verify: the whole check with its spend, floor = two raw signature checks',
    verifyLine('memory', verifyMemory),
    ...(verifyRedis === undefined ? [] : [verifyLine('Redis', verifyRedis)]),
    '',
    'proving who asks, µs of CPU new / remembered:',
    `  ${Object.entries(prove)
      .map(([kind, { newUs, rememberedUs }]) => `${kind} ${newUs} / ${rememberedUs}`)
      .join('   ')}`,
    '',
    'steps of one exchange alone, median µs of wall time (the disk included):',
    `  ${Object.entries(steps)
      .map(([name, us]) => `${name} ${us}`)
      .join('   ')}`,
    '',
    `revoked (acknowledged) until refused everywhere, ${revocationOnSqlite.trials} one after another under load:`,
    ...(revocationOnRedis === undefined ? [] : [revocationLine('Redis', revocationOnRedis)]),
    revocationLine('SQLite', revocationOnSqlite),
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

function exchangeLine(store: string, figures: ExchangeFigures): string {
  const { cpuUs, floorUs, cpuVsFloor, withoutPolicyAndAudit: bare } = figures
  const floor = `floor ${floorUs} µs (${(floorUs / rawVerifyUs).toFixed(2)} raw verifies)`
  return `  ${store}: ${cpuUs} µs = ${cpuVsFloor}× ${floor}; without policy and audit ${bare.cpuUs} µs = ${bare.cpuVsFloor}×; ${figures.exchangesPerSecond}/s, p50 ${figures.p50Ms} ms, p99 ${figures.p99Ms} ms`
}

function verifyLine(store: string, figures: VerifyFigures): string {
  const { cpuUs, floorUs, cpuVsFloor } = figures
  const floor = `floor ${floorUs} µs (${(floorUs / rawVerifyUs).toFixed(2)} raw verifies)`
  return `  ${store}: ${cpuUs} µs = ${cpuVsFloor}× ${floor}; p50 ${figures.p50Ms} ms, p99 ${figures.p99Ms} ms`
}

function revocationLine(store: string, figures: RevocationFigures): string {
  const { brokers, verifiers, p50Ms, p99Ms, maxMs, exchangesPerSecond } = figures
  const { acknowledgedP50Ms: p50, acknowledgedP99Ms: p99 } = figures
  const who = `${brokers} broker${brokers > 1 ? 's' : ''}, ${verifiers} verifiers`
  return `  ${store} (${who}, ${exchangesPerSecond} exchanges/s): p50 ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms; acknowledged after p50 ${p50} ms, p99 ${p99} ms`
}
